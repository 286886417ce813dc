//! How large a context is, by what the provider last said and an estimate of what came since; and
//! what estimates learn from what the provider says.
//!
//! ```text
//!   pins, summary, kept tail   later entries                        head
//!   ------------------------   -------------- anchor --------------
//!          estimated             estimated    reported   estimated
//!                                             size = reported + factor * estimate behind it
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use treering_tree::context::Source;
use treering_tree::{Message, Role};

/// Factors are kept between these, in thousandths.
const FACTORS: std::ops::RangeInclusive<u64> = 500..=3_000;
/// Estimates smaller than this teach nothing.
const MIN_LESSON_TOKENS: u64 = 50;
/// Lessons after which a calibrator is trusted.
const LESSONS_TO_TRUST: u64 = 3;
/// What untrusted estimates are multiplied by, in thousandths.
const SAFETY: u64 = 1_300;
/// What remains of old lessons when a new one comes, in thousandths.
const MEMORY: u64 = 970;
/// Why a model stopped when its answer is not whole, in the words of the runtimes.
const BROKEN_STOPS: [&str; 5] = ["aborted", "error", "cancelled", "canceled", "interrupted"];

/// One item of a context, as far as its size goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its size by the counter, in tokens.
    pub tokens: u32,
    /// What the provider reported for it.
    pub anchor: Option<Anchor>,
}

/// What the provider reported for an answer, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Size of the prompt.
    pub prompt: u64,
    /// Size of the answer.
    pub output: u64,
}

impl Step {
    /// The step of an item. Only an answer that came whole, and after the newest compaction, is an
    /// anchor: what stands before it was answered in another context.
    pub fn new(source: Source, tokens: u32, message: &Message) -> Self {
        let stopped = message.stop.as_deref().unwrap_or_default();
        let usage = message.usage.filter(|usage| {
            source == Source::Later
                && message.role == Role::Assistant
                && usage.prompt() > 0
                && !BROKEN_STOPS.contains(&stopped)
        });
        Self {
            tokens,
            anchor: usage.map(|usage| Anchor { prompt: usage.prompt(), output: usage.output }),
        }
    }
}

/// Size of a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Tokens in all: what the next prompt will have.
    pub tokens: u64,
    /// How many of them the provider reported.
    pub reported: u64,
    /// How many the model's prompt has beside the entries, in this estimate: instructions, tools. 0
    /// where a report includes them.
    pub overhead: u64,
}

/// What one model's reports taught: by how much its tokens differ from the counter's, and how many
/// its prompts have beside the entries. Plain data, kept by the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Calibrator {
    /// Tokens reported, and what was estimated for them: running sums in millionths.
    reported: u64,
    estimated: u64,
    lessons: u64,
    overhead: Option<u64>,
}

impl Calibrator {
    /// One that knows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the reports in a context of these steps teach, oldest first.
    pub fn taught_by(steps: &[Step]) -> Self {
        let mut calibrator = Self::new();
        for (at, step) in steps.iter().enumerate() {
            // One answer may be several entries, each with the same report.
            let again = at.checked_sub(1).and_then(|before| steps[before].anchor) == step.anchor;
            if let Some(anchor) = step.anchor.filter(|_| !again) {
                calibrator.learn(&steps[..at], anchor.prompt);
            }
        }
        calibrator
    }

    /// Reported over estimated tokens, in thousandths; 1000 until something was learnt.
    pub fn factor(&self) -> u64 {
        let factor = (u128::from(self.reported) * 1_000).checked_div(u128::from(self.estimated));
        let factor = factor.map_or(1_000, |factor| u64::try_from(factor).unwrap_or(u64::MAX));
        factor.clamp(*FACTORS.start(), *FACTORS.end())
    }

    /// Tokens a prompt has beside the entries, once a first answer told.
    pub fn overhead(&self) -> Option<u64> {
        self.overhead
    }

    /// Tokens that a counter's estimate stands for. Too many rather than too few until three
    /// answers were seen.
    pub fn tokens(&self, estimate: u64) -> u64 {
        let factor = match self.lessons {
            LESSONS_TO_TRUST.. => self.factor(),
            _ => SAFETY,
        };
        estimate.saturating_mul(factor).div_ceil(1_000)
    }

    /// Size of the context these steps are, oldest first.
    pub fn size(&self, steps: &[Step]) -> Size {
        let (reported, behind) = self.split(steps);
        let overhead = if reported.is_some() { 0 } else { self.overhead.unwrap_or(0) };
        let reported = reported.unwrap_or(0);
        let tokens =
            reported.saturating_add(overhead).saturating_add(self.tokens(estimate(behind)));
        Size { tokens, reported, overhead }
    }

    /// The same without anchors, for contexts the model has not seen yet.
    pub fn size_unanchored(&self, steps: &[Step]) -> Size {
        let overhead = self.overhead.unwrap_or(0);
        let tokens = overhead.saturating_add(self.tokens(estimate(steps)));
        Size { tokens, reported: 0, overhead }
    }

    /// Learns from an answer: `prompt` tokens were reported for a context of these steps. The first
    /// answer tells the overhead, later ones the factor; a prompt that shrank was edited by the
    /// provider and tells nothing.
    pub fn learn(&mut self, steps: &[Step], prompt: u64) {
        let (anchor, behind) = self.split(steps);
        let estimated = estimate(behind);
        let Some(reported) = prompt.checked_sub(anchor.unwrap_or(0)) else {
            return;
        };
        if anchor.is_none() {
            let entries = estimated.saturating_mul(self.factor()) / 1_000;
            self.overhead = Some(reported.saturating_sub(entries));
        } else if estimated >= MIN_LESSON_TOKENS && reported >= MIN_LESSON_TOKENS {
            let bounded = |factor: &u64| estimated.saturating_mul(*factor) / 1_000;
            let reported = reported.clamp(bounded(FACTORS.start()), bounded(FACTORS.end()));
            let mix = |old: u64, new: u64| {
                let remembered = u128::from(old) * u128::from(MEMORY) / 1_000;
                let learnt = u128::from(new) * u128::from(1_000 - MEMORY) * 1_000;
                u64::try_from(remembered + learnt).unwrap_or(u64::MAX)
            };
            self.reported = mix(self.reported, reported);
            self.estimated = mix(self.estimated, estimated);
            self.lessons = self.lessons.saturating_add(1);
        }
    }

    /// Size of the context up to the newest answer, and the steps behind it.
    fn split<'s>(&self, steps: &'s [Step]) -> (Option<u64>, &'s [Step]) {
        let Some(at) = steps.iter().rposition(|step| step.anchor.is_some()) else {
            return (None, steps);
        };
        let (before, behind) = steps.split_at(at + 1);
        let anchor = before[at].anchor;
        // One answer may be several entries, each with the same report.
        let same = |step: &&Step| {
            step.anchor.map(|anchor| anchor.prompt) == anchor.map(|anchor| anchor.prompt)
        };
        let answer = before.iter().rev().take_while(same).map(|step| u64::from(step.tokens)).sum();
        let size = anchor.map(|Anchor { prompt, output }| {
            // Runtimes that write while the answer streams keep the first counts of the stream.
            let cut_short = output.saturating_mul(2) < answer;
            prompt.saturating_add(if cut_short { self.tokens(answer) } else { output })
        });
        (size, behind)
    }
}

fn estimate(steps: &[Step]) -> u64 {
    steps.iter().map(|step| u64::from(step.tokens)).sum()
}

/// Calibrators of several models, each by model and counter, as they are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Calibrations(BTreeMap<String, Calibrator>);

impl Calibrations {
    /// The calibrator of a model by a counter: what one counter taught says nothing of another.
    pub fn of(&mut self, model: &str, counter: &str) -> &mut Calibrator {
        self.0.entry(key(model, counter)).or_default()
    }

    /// The same to read: one that knows nothing where nothing was learnt.
    pub fn get(&self, model: &str, counter: &str) -> Calibrator {
        self.0.get(&key(model, counter)).copied().unwrap_or_default()
    }
}

fn key(model: &str, counter: &str) -> String {
    format!("{model} {counter}")
}

#[cfg(test)]
mod tests {
    use treering_tree::Usage;

    use super::*;

    fn steps(plain: &[u32]) -> Vec<Step> {
        plain.iter().map(|tokens| Step { tokens: *tokens, anchor: None }).collect()
    }

    fn answer(stop: Option<&str>, usage: Usage) -> Message {
        let mut message = Message::text(Role::Assistant, "done");
        message.usage = Some(usage);
        message.stop = stop.map(str::to_owned);
        message
    }

    #[test]
    fn the_reports_of_a_context_teach_what_they_would_have_one_by_one() {
        let anchored = |prompt| Some(Anchor { prompt, output: 100 });
        let plain = |tokens| Step { tokens, anchor: None };
        let answer = |prompt| Step { tokens: 100, anchor: anchored(prompt) };
        let all = [plain(1_000), answer(4_000), plain(200), answer(4_400), answer(4_400)];
        let mut expected = Calibrator::new();
        expected.learn(&all[..1], 4_000);
        expected.learn(&all[..3], 4_400);
        assert_eq!(Calibrator::taught_by(&all), expected);
        assert_eq!((expected.overhead(), expected.factor()), (Some(3_000), 1_500));
    }

    #[test]
    fn the_three_input_fields_and_the_answer_are_the_context() {
        let usage = Usage { input: 3, cached: 1_000, created: 200, output: 40 };
        let step = Step::new(Source::Later, 5, &answer(Some("toolUse"), usage));
        assert_eq!(step.anchor, Some(Anchor { prompt: 1_203, output: 40 }));
    }

    #[test]
    fn broken_old_and_empty_answers_are_no_anchors() {
        let usage = Usage { input: 1_000, ..Usage::default() };
        for (source, stop, usage) in [
            (Source::Later, Some("aborted"), usage),
            (Source::Later, Some("error"), usage),
            (Source::Kept, Some("stop"), usage),
            (Source::Pin, None, usage),
            (Source::Later, Some("stop"), Usage { output: 9, ..Usage::default() }),
        ] {
            assert_eq!(Step::new(source, 5, &answer(stop, usage)).anchor, None);
        }
    }

    #[test]
    fn the_newest_anchor_counts_with_what_came_behind_it() {
        let mut calibrator = Calibrator::new();
        let mut context = steps(&[100, 100, 100, 100]);
        context[1].anchor = Some(Anchor { prompt: 4_900, output: 100 });
        context[2].anchor = Some(Anchor { prompt: 5_900, output: 100 });
        assert_eq!(calibrator.size(&context), Size { tokens: 6_130, reported: 6_000, overhead: 0 });
        for _ in 0..3 {
            calibrator.learn(&context, 6_110);
        }
        assert_eq!(calibrator.factor(), 1_100);
        assert_eq!(calibrator.size(&context).tokens, 6_110);
    }

    #[test]
    fn a_count_from_the_middle_of_a_stream_is_not_the_answers() {
        let calibrator =
            Calibrator { reported: 1_000, estimated: 1_000, lessons: 3, overhead: None };
        let anchor = Some(Anchor { prompt: 5_000, output: 1 });
        let answer = [Step { tokens: 300, anchor }, Step { tokens: 200, anchor }];
        assert_eq!(calibrator.size(&answer).tokens, 5_500);
    }

    #[test]
    fn the_first_answer_tells_what_stands_beside_the_entries() {
        let mut calibrator = Calibrator::new();
        calibrator.learn(&steps(&[400, 100]), 9_500);
        assert_eq!(calibrator.overhead(), Some(9_000));
        assert_eq!(calibrator.size(&steps(&[1_000])).tokens, 10_300);
    }

    #[test]
    fn no_report_makes_the_factor_wild() {
        let mut calibrator = Calibrator::new();
        let mut context = steps(&[0, 100]);
        context[0].anchor = Some(Anchor { prompt: 900, output: 100 });
        for prompt in [u64::MAX, 1_000_000, 0, 999] {
            calibrator.learn(&context, prompt);
            assert!(FACTORS.contains(&calibrator.factor()), "{calibrator:?}");
        }
        let huge = [Step {
            tokens: u32::MAX,
            anchor: Some(Anchor { prompt: u64::MAX, output: u64::MAX }),
        }; 3];
        calibrator.learn(&huge, u64::MAX);
        assert_eq!(calibrator.size(&huge).tokens, u64::MAX);
    }

    #[test]
    fn calibrations_are_kept_as_json() {
        let mut kept = Calibrations::default();
        kept.of("claude-opus-4-5", "byte-classes/claude/1").learn(&steps(&[100]), 700);
        let json = serde_json::to_string(&kept).unwrap();
        assert_eq!(serde_json::from_str::<Calibrations>(&json).unwrap(), kept);
    }
}
