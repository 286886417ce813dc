//! Why a compaction was not done: outcomes, not errors.

use std::fmt;

use serde::{Deserialize, Serialize};
use treering_tree::Id;

/// Why nothing was written. Every reason carries the numbers it rests on; sizes are in tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SkipReason {
    /// The session has no entry.
    Empty,
    /// The context is not due.
    UnderThreshold {
        /// Its size.
        tokens: u64,
        /// What would trigger.
        threshold: u64,
        /// The model's limit.
        window: u64,
    },
    /// The window is not known, so size says nothing.
    UnknownWindow {
        /// Size of the context.
        tokens: u64,
    },
    /// The policy does not let size trigger.
    NotAutomatic {
        /// Size of the context.
        tokens: u64,
    },
    /// Everything that stands in the context is to be kept.
    AllKept {
        /// Size of the context.
        tokens: u64,
        /// Turns in it.
        turns: u64,
        /// Turns the policy keeps.
        keep_turns: Option<u64>,
        /// Messages the policy keeps.
        keep_messages: Option<u64>,
        /// Tokens the policy keeps.
        keep_tokens: Option<u64>,
    },
    /// No place where a cut may go: every one would part a tool call from its result.
    NoLegalCut {
        /// Size of the context.
        tokens: u64,
    },
    /// Whatever is covered, the next call would fail.
    Unreachable {
        /// Pins, prompts and the summary.
        overhead: u64,
        /// The smallest tail that can be kept.
        kept: u64,
        /// What triggered.
        threshold: u64,
        /// What must not be passed.
        emergency: u64,
    },
    /// The result would not be enough smaller.
    NoProgress {
        /// Size of the context.
        before: u64,
        /// Size it would have.
        after: u64,
        /// By how much it must shrink.
        required: u64,
    },
    /// The branch moved off the newest entry the summary covers.
    Stale {
        /// That entry.
        high_water: Id,
        /// Where the branch is.
        head: Option<Id>,
    },
    /// A newer compaction covers as much.
    Superseded {
        /// That compaction.
        by: Id,
    },
    /// An entry that was pinned, and so not summarized, is no longer.
    PinsChanged {
        /// How many such entries.
        entries: u64,
    },
    /// The branch moved each time before the result could land.
    Contended {
        /// How often it was tried.
        tries: u64,
    },
    /// Another process took the branch's lease over, so this one may not land.
    LeaseLost {
        /// The fencing number that was lost.
        fence: u64,
    },
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the session is empty"),
            Self::UnderThreshold { tokens, threshold, window } => {
                write!(
                    f,
                    "{tokens} tokens are under the threshold of {threshold} (window {window})"
                )
            }
            Self::UnknownWindow { tokens } => {
                write!(f, "the window is not known, so {tokens} tokens say nothing")
            }
            Self::NotAutomatic { tokens } => {
                write!(f, "{tokens} tokens, but the policy does not compact by size")
            }
            Self::AllKept { tokens, turns, .. } => {
                write!(f, "all {turns} turns ({tokens} tokens) are to be kept")
            }
            Self::NoLegalCut { tokens } => {
                write!(f, "no cut in {tokens} tokens keeps tool calls and results together")
            }
            Self::Unreachable { overhead, kept, emergency, .. } => write!(
                f,
                "{overhead} tokens of overhead and {kept} kept stay over {emergency}: use a larger window or unpin"
            ),
            Self::NoProgress { before, after, required } => {
                write!(f, "{before} tokens would become {after}, not at least {required} less")
            }
            Self::Stale { high_water, .. } => {
                write!(f, "the branch moved off {high_water}, the newest entry covered")
            }
            Self::Superseded { by } => write!(f, "compaction {by} covers as much"),
            Self::PinsChanged { entries } => {
                write!(f, "{entries} entries were unpinned meanwhile and are not in the summary")
            }
            Self::Contended { tries } => write!(f, "the branch moved before each of {tries} tries"),
            Self::LeaseLost { fence } => {
                write!(f, "another process took the lease over from holder {fence}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_says_what_it_rests_on() {
        let id = Id::from_bytes([0xab; 32]);
        let (a, b, c) = (123, 456, 789);
        let said = [
            (SkipReason::UnderThreshold { tokens: a, threshold: b, window: c }, "123 456 789"),
            (SkipReason::UnknownWindow { tokens: a }, "123"),
            (SkipReason::NotAutomatic { tokens: a }, "123"),
            (SkipReason::NoLegalCut { tokens: a }, "123"),
            (
                SkipReason::Unreachable { overhead: a, kept: b, threshold: 1, emergency: c },
                "123 456 789",
            ),
            (SkipReason::NoProgress { before: a, after: b, required: c }, "123 456 789"),
            (SkipReason::Stale { high_water: id, head: None }, "abababab"),
            (SkipReason::Superseded { by: id }, "abababab"),
            (SkipReason::PinsChanged { entries: a }, "123"),
            (SkipReason::Contended { tries: a }, "123"),
            (SkipReason::LeaseLost { fence: a }, "123"),
            (SkipReason::Empty, "empty"),
        ];
        for (reason, needs) in said {
            let text = reason.to_string();
            assert!(needs.split(' ').all(|need| text.contains(need)), "{text}");
        }
    }
}
