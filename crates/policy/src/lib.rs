//! When to compact and where to cut: arithmetic over counts and the places of entries.
//!
//! ```text
//!   0 ......... low water ......... threshold .... emergency .. window
//!               a good result       start          wait        the call would fail
//!
//!   | lifted | summary |  what was visible before  |  kept tail  |
//!                      |<------- covered --------->|^ first kept
//! ```
//!
//! It never reads a text, a clock or a store, never waits and never fails: what cannot be done is a
//! [`SkipReason`] that carries its numbers. The planner's argument is a [`View`] of what stands in the
//! context, so it cannot see, or lose, what an earlier compaction kept.
//!
//! ```
//! use treering_policy::{Policy, Preset, should_compact};
//!
//! let policy = Policy { window: 200_000, ..Policy::default() };
//! assert_eq!(policy.budget().threshold, 160_000);
//! assert!(!should_compact(160_000, &policy));
//! assert!(should_compact(160_001, &policy));
//!
//! // The rules of other tools are the same type with other numbers.
//! let pi = Preset::Pi.policy(200_000);
//! assert_eq!(pi.budget().threshold, 183_616);
//! ```

mod breaker;
mod plan;
mod policy;
mod preset;
mod share;
mod skip;

pub use breaker::{Breaker, Outcome, Reading, Rest};
pub use plan::{Before, Plan, Step, View, plan};
pub use policy::{Boundary, Budget, Oversized, Policy, Trigger, required_gain, should_compact};
pub use preset::Preset;
pub use share::Share;
pub use skip::SkipReason;
