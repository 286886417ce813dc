//! The settings of compaction and the figures they come to for a window.

use serde::Serialize;

use crate::share::Share;

/// When to compact, what to keep, how large a summary may be. All sizes are in tokens.
///
/// The default is the rule of the original specification ([`Preset::Nexus`](crate::Preset::Nexus)) for
/// a window that is not known; give it one: `Policy { window: 200_000, ..Policy::default() }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The model's limit; 0 where it is not known: then size never triggers.
    pub window: u64,
    /// The model's separate limit for its input, where it has one.
    pub input_limit: Option<u64>,
    /// The most the model writes in one answer, where it is known.
    pub output_limit: Option<u64>,
    /// What is held back of the window; `None` leaves it to `trigger`.
    pub reserve: Option<u64>,
    /// How the threshold comes from the limits.
    pub trigger: Trigger,
    /// Whether size has to pass the threshold, not only reach it.
    pub strict: bool,
    /// What the next answer is expected to add: `output_limit` where it is known, else this part of
    /// the window.
    pub growth: Option<Share>,
    /// Whether size alone may trigger.
    pub automatic: bool,
    /// The most turns to keep verbatim; `None` does not limit by turns.
    pub keep_recent_turns: Option<u64>,
    /// The most messages to keep verbatim; `None` does not limit by messages.
    pub keep_recent_messages: Option<u64>,
    /// The most tokens to keep verbatim, as a part of the threshold; `None` does not limit by tokens.
    pub keep_recent_tokens: Option<Share>,
    /// Where the cut goes when what is to be kept begins at no legal place.
    pub boundary: Boundary,
    /// What to do when even the newest entry is more than is to be kept.
    pub oversized: Oversized,
    /// Words to the summarizer about what matters.
    pub summary_hint: Option<String>,
    /// The most prose a summary may hold, as a part of the threshold.
    pub prose: Share,
    /// The most index (asks, files, names) a summary may hold, as a part of the threshold.
    pub index: Share,
    /// What a compaction may leave at most, as a part of the threshold: less is kept until it fits.
    pub ceiling: Share,
    /// What a compaction is hoped to leave, as a part of the threshold.
    pub low_water: Share,
}

/// How the threshold comes from the model's limits. [`Policy::reserve`] overrides all of these.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trigger {
    /// The window less the largest of these parts of it.
    Reserve(Vec<Share>),
    /// A part of the window.
    Ratio(Share),
    /// The input limit, where there is one, less the smaller of buffer and output; else the window
    /// less the output.
    InputElseWindow {
        /// Held back of the input limit, in tokens.
        buffer: u64,
        /// The most that is held back for the answer, in tokens, and what is where the model's
        /// output limit is not known.
        output_at_most: u64,
    },
    /// The smaller of the input limit less the buffer, and the window less the larger of buffer and
    /// output.
    InputAndWindow {
        /// Held back of the input limit, in tokens.
        buffer: u64,
        /// The most that is held back for the answer, in tokens, and what is where the model's
        /// output limit is not known.
        output_at_most: u64,
    },
}

/// Where the cut goes when what is to be kept begins at no legal place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Boundary {
    /// On to the first legal place at which the kept tail is within its budget.
    Within,
    /// On from the entry with which the kept tail reaches its budget, that entry included.
    Reaching,
    /// Back to the nearest legal place.
    Before,
    /// Back to the start of the turn; where everything would be kept, to the start of the last turn.
    TurnBefore,
}

/// What to do when even the newest entry is more than is to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Oversized {
    /// Keep it, and what of its call group precedes it.
    Keep,
    /// Keep nothing, where no call is open.
    Cover,
}

/// The figures of a policy, worked out for its window. All sizes are in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// The size that triggers; 0 where the window is not known.
    pub threshold: u64,
    /// Whether size has to pass the threshold, not only reach it.
    pub strict: bool,
    /// What is held back of the limit.
    pub reserve: u64,
    /// What the next answer is expected to add.
    pub growth: u64,
    /// The most turns that are kept.
    pub keep_turns: Option<u64>,
    /// The most messages that are kept.
    pub keep_messages: Option<u64>,
    /// The most tokens that are kept.
    pub keep_tokens: Option<u64>,
    /// The most prose in a summary.
    pub prose: u64,
    /// The most index in a summary.
    pub index: u64,
    /// What a compaction may leave at most.
    pub ceiling: u64,
    /// What a compaction is hoped to leave.
    pub low_water: u64,
    /// Over this the next call would fail: compact before it.
    pub emergency: u64,
}

impl Budget {
    /// The most a summary may hold.
    pub fn summary(&self) -> u64 {
        self.prose.saturating_add(self.index)
    }

    /// Whether a context of this size, and the answer expected next, is over the threshold.
    pub fn is_over(&self, tokens: u64) -> bool {
        let expected = tokens.saturating_add(self.growth);
        tokens > 0 && (expected > self.threshold || !self.strict && expected == self.threshold)
    }
}

impl Policy {
    /// The figures this policy comes to.
    pub fn budget(&self) -> Budget {
        let limit = self.window.min(self.input_limit.unwrap_or(u64::MAX));
        let threshold = match self.reserve {
            Some(reserve) => limit.saturating_sub(reserve),
            None => self.trigger.threshold(self, limit),
        };
        let reserve = limit - threshold;
        let part = |share: &Share| match limit {
            0 => share.of_unknown(),
            _ => share.of(threshold),
        };
        let growth = self.growth.map_or(0, |growth| {
            self.output_limit.unwrap_or_else(|| growth.of(self.window)).min(threshold / 2)
        });
        Budget {
            threshold,
            strict: self.strict,
            reserve,
            growth,
            keep_turns: self.keep_recent_turns,
            keep_messages: self.keep_recent_messages,
            keep_tokens: self.keep_recent_tokens.as_ref().map(part),
            prose: part(&self.prose),
            index: part(&self.index),
            ceiling: self.ceiling.of(threshold),
            low_water: self.low_water.of(threshold),
            emergency: limit - (reserve / 2).min(self.output_limit.unwrap_or(u64::MAX)),
        }
    }
}

impl Trigger {
    /// The threshold under `limit`, which is the smaller of window and input limit.
    fn threshold(&self, policy: &Policy, limit: u64) -> u64 {
        let output = |most: u64| policy.output_limit.unwrap_or(most).min(most);
        match self {
            Self::Reserve(shares) => {
                let held = shares.iter().map(|share| share.of(limit)).max().unwrap_or(0);
                less(limit, held)
            }
            Self::Ratio(share) => less(limit, limit - share.of(limit).min(limit)),
            Self::InputElseWindow { buffer, output_at_most } => {
                let output = output(*output_at_most);
                let held = if policy.input_limit.is_some() { output.min(*buffer) } else { output };
                less(limit, held)
            }
            Self::InputAndWindow { buffer, output_at_most } => {
                let of_window = less(policy.window, output(*output_at_most).max(*buffer));
                match policy.input_limit {
                    Some(_) => less(limit, *buffer).min(of_window),
                    None => of_window,
                }
            }
        }
    }
}

/// `limit` less what is held back, made safe: at least one token is, and no more than half of it.
fn less(limit: u64, held: u64) -> u64 {
    limit.saturating_sub(held.min(limit / 2).max(1))
}

/// Whether a context of this size is due for compaction. Never where the window is not known.
pub fn should_compact(tokens: u64, policy: &Policy) -> bool {
    policy.automatic && policy.window > 0 && policy.budget().is_over(tokens)
}

/// By how many tokens a compaction must shrink a context of this size to be worth landing: a
/// twentieth, or one token where somebody asked for it.
pub fn required_gain(tokens: u64, forced: bool) -> u64 {
    if forced { 1 } else { tokens.div_ceil(20).max(1) }
}
