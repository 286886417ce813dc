//! Power loss, failing syncs, calls and full disks on a simulated disk; and planted bugs, which the
//! same campaign must find.

use tests::campaign::{Counts, Engine, Failure, Plan, at_every_call, run};
use tests::engines::{Bug, Redb, Tiny};
use tests::profile::CRASHES;
use treering_tree::Durability;

/// Seeds within which a planted bug must show.
const SEEDS_TO_FIND_A_BUG: u64 = 200;

/// Runs the seeds of every kind whose name begins so, and says what they came to.
fn hold(prefix: &str) {
    for crash in CRASHES.iter().filter(|crash| crash.name.starts_with(prefix)) {
        let counts = holds(&crash.engine(), crash.plan(), 0..crash.seeds);
        println!("{}: {} seeds, {counts:?}", crash.name, crash.seeds);
        let fails = crash.failure != Failure::None;
        assert_eq!(counts.failures > 0, fails, "failures while the power was there");
        assert_eq!(counts.acknowledged_later > 0, fails, "appends behind them");
    }
}

fn holds(engine: &impl Engine, plan: Plan, seeds: std::ops::Range<u64>) -> Counts {
    let mut counts = Counts::default();
    for seed in seeds {
        match run(engine, plan, seed) {
            Ok(done) => counts.add(done),
            Err(why) => panic!("{why}"),
        }
    }
    counts
}

fn found_within(engine: &impl Engine, plan: Plan) {
    let found = (0..SEEDS_TO_FIND_A_BUG).find_map(|seed| run(engine, plan, seed).err());
    println!("found: {}", found.expect("the planted bug was not found"));
}

#[test]
fn invariant_4_power_loss_keeps_what_was_acknowledged() {
    hold("power-loss");
}

#[test]
fn invariant_4_a_failed_sync_then_appends_then_power_loss_keep_what_was_acknowledged() {
    hold("failed-sync");
}

#[test]
fn invariant_4_failed_calls_full_disks_and_power_loss_keep_what_was_acknowledged() {
    hold("failed-call");
    hold("full-disk");
}

#[test]
fn invariant_4_commits_without_the_log_keep_what_was_acknowledged() {
    hold("two-phase-");
}

/// Few enough that a merge begins and ends within the groups of one round.
const MERGE_AFTER: usize = 32;

#[test]
fn invariant_4_power_loss_at_every_call_of_an_index_merge_keeps_what_was_acknowledged() {
    let start = std::time::Instant::now();
    let engine = Redb::new(Durability::Logged).merging_after(MERGE_AFTER);
    let plan = Plan { images: 4, groups: 12, ..Plan::new(Failure::None) };
    let mut counts = Counts::default();
    for seed in 0..3 {
        counts.add(at_every_call(&engine, plan, seed, MERGE_AFTER - 4).unwrap());
    }
    println!("{counts:?} in {:?}", start.elapsed());
    assert!(counts.crashes > 200, "{counts:?}");
}

#[test]
fn invariant_4_failures_while_the_index_is_merged_keep_what_was_acknowledged() {
    hold("merging-");
}

#[test]
fn invariant_4_groups_that_overlap_keep_what_was_acknowledged() {
    hold("overlapping-");
}

#[test]
fn a_tiny_store_without_a_bug_holds() {
    holds(&Tiny::new(None), Plan::new(Failure::None), 0..SEEDS_TO_FIND_A_BUG);
}

#[test]
fn planted_syncs_that_do_nothing_are_found() {
    found_within(&Redb::new(Durability::Logged), Plan::new(Failure::SilentSyncs));
}

#[test]
fn planted_acknowledgement_before_the_commit_is_found() {
    found_within(&Tiny::new(Some(Bug::AcknowledgesBeforeCommit)), Plan::new(Failure::None));
}

#[test]
fn planted_head_before_its_entry_is_found() {
    found_within(&Tiny::new(Some(Bug::HeadBeforeEntry)), Plan::new(Failure::None));
}

#[test]
fn planted_one_phase_commits_with_a_failed_sync_are_found() {
    found_within(&Redb::new(Durability::Relaxed), Plan::new(Failure::Sync));
}

#[test]
fn planted_creation_in_place_is_found() {
    let plan = Plan { creation_may_fail: false, ..Plan::new(Failure::None) };
    found_within(&Redb::new(Durability::Logged), plan);
}
