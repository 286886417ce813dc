//! Every schedule of two writers and the committer with so many preemptions.

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
    locks_of!(loom);
}

writers_and_a_committer!(loom);

/// Preemptions in one schedule at most; a thread that waits is not preempted. Fewer where readers ask the committer,
/// and where a group is in flight, each of which makes schedules many times as many.
const PREEMPTIONS: usize = 3;
const PREEMPTIONS_WITH_READERS: usize = 2;
const PREEMPTIONS_WITH_FLIGHTS: usize = 1;

fn every_schedule(case: Case) {
    let mut builder = loom::model::Builder::new();
    let preemptions = match (case.overlaps, case.waits_to_show) {
        (true, _) => PREEMPTIONS_WITH_FLIGHTS,
        (false, true) => PREEMPTIONS_WITH_READERS,
        (false, false) => PREEMPTIONS,
    };
    builder.preemption_bound = Some(preemptions);
    builder.check(move || run(case));
}

#[test]
fn two_writers_and_the_committer_in_every_schedule() {
    for case in Case::all(2, 1) {
        every_schedule(case);
    }
}

#[test]
fn groups_that_overlap_in_every_schedule() {
    for case in Case::overlapping(2, 1) {
        every_schedule(case);
    }
}

#[test]
fn planted_bugs_are_found() {
    for plant in [Plant::EarlyAnswer, Plant::StaleRead, Plant::Unasked, Plant::Unlanded] {
        let case = Case::of(2, 1).planted(plant);
        let found = std::panic::catch_unwind(|| every_schedule(case));
        assert!(found.is_err(), "{plant:?} was not found");
    }
}
