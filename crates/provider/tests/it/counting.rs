//! How near the counters come to what providers report, over the real sessions that carry usage.

use treering_provider::{ByteClasses, Calibrator, JobEntry, Step, TokenCounter, count_message};
use treering_tree::context::Source;

use crate::samples;

/// Mean errors that must not be passed, in percent of the context.
const ANCHORED_PERCENT: f64 = 0.3;
const UNANCHORED_PERCENT: f64 = 8.0;

/// What most runtimes do.
struct QuarterOfCharacters;

impl TokenCounter for QuarterOfCharacters {
    fn id(&self) -> &'static str {
        "chars/4"
    }

    fn count(&self, text: &str) -> u32 {
        u32::try_from(text.chars().count() / 4).unwrap()
    }
}

/// Errors in percent of the context, one for each prompt that was foretold.
#[derive(Default)]
struct Errors {
    anchored: Vec<f64>,
    unanchored: Vec<f64>,
    /// The counter alone: no anchor, nothing learnt.
    raw: Vec<f64>,
}

/// Foretells every prompt before its answer is seen, then learns from it.
fn foretell(counter: &dyn TokenCounter, entries: &[JobEntry], errors: &mut Errors) {
    let mut calibrator = Calibrator::new();
    let mut steps: Vec<Step> = Vec::new();
    let (mut last_prompt, mut raw) = (0, 0);
    for entry in entries {
        let tokens = count_message(counter, &entry.message);
        let step = Step::new(Source::Later, tokens, &entry.message);
        // An answer that is several entries has one prompt.
        if let Some(anchor) = step.anchor.filter(|anchor| anchor.prompt != last_prompt) {
            last_prompt = anchor.prompt;
            let error = |tokens: u64| {
                #[allow(clippy::cast_precision_loss, reason = "tokens of one context")]
                let (tokens, prompt) = (tokens as f64, anchor.prompt as f64);
                100.0 * (tokens - prompt).abs() / prompt
            };
            // The first prompt shows the instructions and tools, which no entry holds.
            if calibrator.overhead().is_some() {
                errors.anchored.push(error(calibrator.size(&steps).tokens));
                errors.unanchored.push(error(calibrator.size_unanchored(&steps).tokens));
                errors.raw.push(error(raw));
            }
            calibrator.learn(&steps, anchor.prompt);
        }
        steps.push(step);
        raw += u64::from(tokens);
    }
}

fn mean_and_p95(errors: &mut [f64]) -> (f64, f64) {
    errors.sort_by(f64::total_cmp);
    #[allow(clippy::cast_precision_loss, reason = "a few hundred")]
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    (mean, errors[errors.len() * 95 / 100])
}

#[test]
fn the_next_prompt_is_foretold() {
    let counters: [(&dyn TokenCounter, &str); 3] = [
        (&ByteClasses::claude(), "bytes, claude"),
        (&ByteClasses::openai(), "bytes, openai"),
        (&QuarterOfCharacters, "chars/4"),
    ];
    let samples = samples::all();
    for (counter, name) in counters {
        let mut errors = Errors::default();
        for sample in &samples {
            foretell(counter, &sample.entries, &mut errors);
        }
        if errors.raw.is_empty() {
            return;
        }
        let prompts = errors.raw.len();
        let anchored = mean_and_p95(&mut errors.anchored);
        let unanchored = mean_and_p95(&mut errors.unanchored);
        let raw = mean_and_p95(&mut errors.raw);
        println!("{name}: error in % of the context over {prompts} prompts, mean and p95");
        println!(
            "    anchored {:.2} {:.2}, calibrated {:.1} {:.1}, alone {:.1} {:.1}",
            anchored.0, anchored.1, unanchored.0, unanchored.1, raw.0, raw.1
        );
        if name != "chars/4" {
            assert!(anchored.0 <= ANCHORED_PERCENT, "{name}: {anchored:?}");
            assert!(unanchored.0 <= UNANCHORED_PERCENT, "{name}: {unanchored:?}");
        }
    }
}
