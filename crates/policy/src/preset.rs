//! The rules of the tools that do this today, as settings of one [`Policy`], and the recommended ones.
//! Where a rule of theirs is a flaw, the tests say what is different and why.

use crate::policy::{Boundary, Oversized, Policy, Trigger};
use crate::share::Share;

/// A named set of rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preset {
    /// The recommended arithmetic: reserve the larger of a quarter up to 16,384 and 15 % up to
    /// 64,000, keep a quarter of the threshold up to 20,000.
    #[default]
    Recommended,
    /// The original specification: 20 % or 10,000 held back, 6 turns kept.
    Nexus,
    /// 85 % of the window, 2 turns within a quarter of that.
    BooCode,
    /// The input limit less a buffer, or the window less the output; a quarter of that kept.
    OpencodeV1,
    /// The smaller of both limits; 15,000 tokens kept from the start of a turn.
    OpencodeV2,
    /// 75 % of the window with the next answer in it; 6 messages kept.
    LlamaShears,
    /// 16,384 held back, 20,000 tokens kept.
    Pi,
    /// 90 % of the window, 20,000 tokens kept.
    Codex,
}

/// The one table of presets and their names.
const PRESETS: [(Preset, &str); 8] = [
    (Preset::Recommended, "recommended"),
    (Preset::Nexus, "nexus"),
    (Preset::BooCode, "boocode"),
    (Preset::OpencodeV1, "opencode-v1"),
    (Preset::OpencodeV2, "opencode-v2"),
    (Preset::LlamaShears, "llama-shears"),
    (Preset::Pi, "pi"),
    (Preset::Codex, "codex"),
];

impl Preset {
    /// All of them, the recommended one first.
    pub fn all() -> impl Iterator<Item = Self> {
        PRESETS.iter().map(|(preset, _)| *preset)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        PRESETS.iter().find(|(preset, _)| *preset == self).map_or("", |(_, name)| name)
    }

    /// The preset of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        PRESETS.iter().find(|(_, known)| *known == name).map(|(preset, _)| *preset)
    }

    /// Its rules for a window; 0 where that is not known.
    pub fn policy(self, window: u64) -> Policy {
        let plain = Policy { window, ..plain() };
        match self {
            Self::Recommended => Policy {
                trigger: Trigger::Reserve(vec![
                    Share::new(1, 4).at_most(16_384),
                    Share::percent(15).at_most(64_000),
                ]),
                keep_recent_tokens: Some(quarter().at_least(1_000).at_most(20_000).within(1, 3)),
                ceiling: Share::percent(80),
                ..plain
            },
            Self::Nexus => Policy {
                trigger: Trigger::Reserve(vec![Share::percent(20).at_least(10_000)]),
                keep_recent_turns: Some(6),
                boundary: Boundary::Before,
                ..plain
            },
            Self::BooCode => Policy {
                trigger: Trigger::Ratio(Share::percent(85)),
                strict: false,
                keep_recent_turns: Some(2),
                keep_recent_tokens: Some(quarter().at_most(8_000)),
                ..plain
            },
            Self::OpencodeV1 => Policy {
                trigger: Trigger::InputElseWindow { buffer: 20_000, output_at_most: 32_000 },
                strict: false,
                keep_recent_tokens: Some(quarter().at_most(15_000)),
                oversized: Oversized::Cover,
                ..plain
            },
            Self::OpencodeV2 => Policy {
                trigger: Trigger::InputAndWindow { buffer: 20_000, output_at_most: 32_000 },
                strict: false,
                keep_recent_tokens: Some(safe(15_000)),
                boundary: Boundary::TurnBefore,
                ..plain
            },
            Self::LlamaShears => Policy {
                trigger: Trigger::Ratio(Share::percent(75)),
                strict: false,
                growth: Some(Share::new(1, 6).at_least(256)),
                keep_recent_messages: Some(6),
                boundary: Boundary::Before,
                // A third of the window.
                prose: Share::new(4, 9).at_least(256),
                index: Share::fixed(0),
                ..plain
            },
            Self::Pi => Policy {
                trigger: Trigger::Reserve(vec![Share::fixed(16_384)]),
                keep_recent_tokens: Some(safe(20_000)),
                boundary: Boundary::Reaching,
                prose: Share::fixed(13_107).within(1, 4),
                index: Share::fixed(0),
                ..plain
            },
            Self::Codex => Policy {
                trigger: Trigger::Ratio(Share::percent(90)),
                strict: false,
                keep_recent_tokens: Some(safe(20_000)),
                ..plain
            },
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Preset::Nexus.policy(0)
    }
}

/// So many tokens, where the threshold has room for them.
const fn safe(tokens: u64) -> Share {
    Share::fixed(tokens).within(2, 3)
}

/// A quarter of the threshold, at least 2,000.
const fn quarter() -> Share {
    Share::new(1, 4).at_least(2_000).within(2, 3)
}

/// What the presets share.
fn plain() -> Policy {
    Policy {
        window: 0,
        input_limit: None,
        output_limit: None,
        reserve: None,
        trigger: Trigger::Reserve(Vec::new()),
        strict: true,
        growth: None,
        automatic: true,
        keep_recent_turns: None,
        keep_recent_messages: None,
        keep_recent_tokens: None,
        boundary: Boundary::Within,
        oversized: Oversized::Keep,
        summary_hint: None,
        prose: Share::new(1, 20).at_least(256).at_most(4_096).within(1, 8),
        index: Share::new(1, 40).at_least(256).at_most(3_000).within(1, 8),
        ceiling: Share::new(1, 1),
        low_water: Share::new(1, 2),
    }
}

#[cfg(test)]
mod tests;
