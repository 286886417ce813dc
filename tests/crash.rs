//! Power loss, failing syncs, calls and full disks on a simulated disk; and planted bugs, which the
//! same campaign must find.

use tests::campaign::{Counts, Engine, Failure, Plan, at_every_call, run};
use tests::engines::{Bug, Redb, Tiny};
use treering_tree::Durability;

/// Seeds within which a planted bug must show.
const SEEDS_TO_FIND_A_BUG: u64 = 200;

fn holds(engine: &impl Engine, plan: Plan, seeds: std::ops::Range<u64>) -> Counts {
    let mut counts = Counts::default();
    let start = std::time::Instant::now();
    for seed in seeds {
        match run(engine, plan, seed) {
            Ok(done) => counts.add(done),
            Err(why) => panic!("{why}"),
        }
    }
    println!("{:?}: {counts:?} in {:?}", plan.failure, start.elapsed());
    counts
}

fn found_within(engine: &impl Engine, plan: Plan) {
    let found = (0..SEEDS_TO_FIND_A_BUG).find_map(|seed| run(engine, plan, seed).err());
    println!("found: {}", found.expect("the planted bug was not found"));
}

#[test]
fn invariant_4_power_loss_keeps_what_was_acknowledged() {
    holds(&Redb::new(Durability::Logged), Plan::new(Failure::None), 0..200);
}

#[test]
fn invariant_4_a_failed_sync_and_power_loss_keep_what_was_acknowledged() {
    let counts = holds(&Redb::new(Durability::Logged), Plan::new(Failure::Sync), 0..200);
    assert!(counts.failures > 0, "no sync failed");
}

#[test]
fn invariant_4_a_failed_call_and_power_loss_keep_what_was_acknowledged() {
    let counts = holds(&Redb::new(Durability::Logged), Plan::new(Failure::Call), 0..100);
    assert!(counts.failures > 0, "no call failed");
}

#[test]
fn invariant_4_a_full_disk_and_power_loss_keep_what_was_acknowledged() {
    let counts = holds(&Redb::new(Durability::Logged), Plan::new(Failure::Full), 0..100);
    assert!(counts.failures > 0, "the disk was never full");
}

#[test]
fn invariant_4_commits_without_the_log_keep_what_was_acknowledged() {
    for failure in [Failure::None, Failure::Sync, Failure::Call, Failure::Full] {
        holds(&Redb::new(Durability::TwoPhase), Plan::new(failure), 0..50);
    }
}

/// Few enough that a merge begins and ends within the groups of one round.
const MERGE_AFTER: usize = 32;

#[test]
fn invariant_4_power_loss_at_every_call_of_an_index_merge_keeps_what_was_acknowledged() {
    let start = std::time::Instant::now();
    let engine = Redb::new(Durability::Logged).merging_after(MERGE_AFTER);
    let plan = Plan { images: 4, groups: 12, ..Plan::new(Failure::None) };
    let mut counts = Counts::default();
    for seed in 0..2 {
        counts.add(at_every_call(&engine, plan, seed, MERGE_AFTER - 4).unwrap());
    }
    println!("{counts:?} in {:?}", start.elapsed());
    assert!(counts.crashes > 200, "{counts:?}");
}

#[test]
fn invariant_4_failures_while_the_index_is_merged_keep_what_was_acknowledged() {
    let engine = Redb::new(Durability::Logged).merging_after(8);
    for failure in [Failure::None, Failure::Sync, Failure::Call, Failure::Full] {
        holds(&engine, Plan::new(failure), 0..40);
    }
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
