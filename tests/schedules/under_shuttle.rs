//! Random schedules of more writers, uniform and with few preemptions at random points (PCT).

#[path = "../../crates/tree/src/redb/flight.rs"]
mod flight;
#[path = "../../crates/tree/src/redb/group.rs"]
mod group;
#[allow(dead_code, reason = "what the writer alone asks")]
#[path = "../../crates/tree/src/redb/queue.rs"]
mod queue;
#[path = "../../crates/tree/src/redb/sight.rs"]
mod sight;

mod sync {
    locks_of!(shuttle);
}

writers_and_a_committer!(shuttle);

use tests::profile::SCHEDULES;

/// Preemptions of a PCT schedule.
const DEPTH: usize = 3;

#[test]
fn four_writers_in_random_schedules() {
    let cases = [Case::all(4, 3), Case::overlapping(4, 3)].concat();
    let each = SCHEDULES / (2 * cases.len());
    println!(
        "{} cases, {each} random schedules of each and as many of few preemptions",
        cases.len()
    );
    for case in cases {
        shuttle::check_random(move || run(case), each);
        shuttle::check_pct(move || run(case), each, DEPTH);
    }
}

#[test]
fn planted_bugs_are_found() {
    for plant in [Plant::EarlyAnswer, Plant::StaleRead, Plant::Unasked, Plant::Unlanded] {
        let case = Case::of(4, 3).planted(plant);
        let found = std::panic::catch_unwind(|| {
            shuttle::check_random(move || run(case), SCHEDULES);
        });
        assert!(found.is_err(), "{plant:?} was not found");
    }
}
