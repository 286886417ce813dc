//! How much of each kind of test runs with every change: together some ten minutes of one core. A soak runs
//! crashes and sequences on other seeds, one of each kind in turn, for as long as one likes.

use treering_tree::Durability;

use super::campaign::{Failure, Plan};
use super::engines::Redb;

/// Random histories against the model.
pub const SEQUENCES: u64 = 20_000;
/// Steps of one of them, from and to.
pub const STEPS: (usize, usize) = (10, 60);
/// Rounds of each of four writers, who read and swap a head in each: 200,000 operations.
pub const HEAD_ROUNDS: usize = 25_000;
/// Random schedules of the group commit, of all cases and both kinds together.
pub const SCHEDULES: usize = 1_000_000;
/// Kills of a process that appends.
pub const KILLS: usize = 300;
/// Flipped bits.
pub const FLIPS: u64 = 5_000;
/// Trashed pages.
pub const TRASHED: u64 = 1_500;
/// Cut-off ends.
pub const CUTS: u64 = 400;
/// Files with pages of an older one.
pub const STALE: u64 = 1_000;

/// One kind of crash campaign.
#[derive(Clone, Copy, Debug)]
pub struct Crash {
    /// What it is called.
    pub name: &'static str,
    /// How changes are made durable.
    pub durability: Durability,
    /// Entries after which the index is merged, where that is to happen within a round.
    pub merge_after: Option<usize>,
    /// Whether one group is applied while another is made durable.
    pub overlaps: bool,
    /// What fails beside the power.
    pub failure: Failure,
    /// Images made of each crash.
    pub images: usize,
    /// Seeds that run with every change.
    pub seeds: u64,
}

/// All of them.
pub const CRASHES: [Crash; 16] = [
    logged("power-loss", Failure::None, 12, 300),
    logged("failed-sync", Failure::Sync, 5, 3_000),
    logged("failed-call", Failure::Call, 12, 100),
    logged("full-disk", Failure::Full, 12, 100),
    two_phase("two-phase-power-loss", Failure::None),
    two_phase("two-phase-failed-sync", Failure::Sync),
    two_phase("two-phase-failed-call", Failure::Call),
    two_phase("two-phase-full-disk", Failure::Full),
    merging("merging-power-loss", Failure::None),
    merging("merging-failed-sync", Failure::Sync),
    merging("merging-failed-call", Failure::Call),
    merging("merging-full-disk", Failure::Full),
    overlapping("overlapping-power-loss", Failure::None),
    overlapping("overlapping-failed-sync", Failure::Sync),
    overlapping("overlapping-failed-call", Failure::Call),
    overlapping("overlapping-full-disk", Failure::Full),
];

const fn logged(name: &'static str, failure: Failure, images: usize, seeds: u64) -> Crash {
    let durability = Durability::Logged;
    Crash { name, durability, merge_after: None, overlaps: false, failure, images, seeds }
}

const fn two_phase(name: &'static str, failure: Failure) -> Crash {
    Crash { durability: Durability::TwoPhase, ..logged(name, failure, 12, 50) }
}

const fn merging(name: &'static str, failure: Failure) -> Crash {
    Crash { merge_after: Some(8), ..logged(name, failure, 12, 40) }
}

const fn overlapping(name: &'static str, failure: Failure) -> Crash {
    Crash { overlaps: true, ..logged(name, failure, 12, 100) }
}

impl Crash {
    /// The engine it is run on.
    pub fn engine(&self) -> Redb {
        let engine = Redb::new(self.durability);
        let engine = match self.merge_after {
            Some(entries) => engine.merging_after(entries),
            None => engine,
        };
        if self.overlaps { engine.overlapping() } else { engine }
    }

    /// How it goes.
    pub fn plan(&self) -> Plan {
        Plan { images: self.images, ..Plan::new(self.failure) }
    }
}
