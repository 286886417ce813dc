//! A counter without a vocabulary: one pass over the bytes, nine counts, nine coefficients fitted
//! to what real tokenizers and providers report. Linear on any input.

use crate::count::TokenCounter;

/// Estimates tokens from the classes of a text's bytes.
///
/// Mean error on held-out text is about 5 % for the tokenizer it was fitted to; calibrate with what
/// the provider reports to do better.
///
/// ```
/// use treering_provider::{ByteClasses, TokenCounter};
///
/// let counter = ByteClasses::default();
/// assert_eq!(counter.count(""), 0);
/// assert_eq!(counter.count("fn parseLine(input: &str) -> Vec<u32>"), 13);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByteClasses {
    id: &'static str,
    coefficients: [u64; FEATURES],
    per_message: u32,
}

const FEATURES: usize = 9;

// What is counted, in the order of the coefficients.
const ALPHABETIC_RUNS: usize = 0;
const FIVE_LETTER_STEPS: usize = 1;
const HUMPS: usize = 2;
const DIGIT_TRIPLES: usize = 3;
const PUNCTUATION: usize = 4;
const PUNCTUATION_RUNS: usize = 5;
const BLANK_RUNS: usize = 6;
const NEWLINES: usize = 7;
const NON_ASCII: usize = 8;

impl ByteClasses {
    /// Fitted to o200k; the default for every model family without a fit of its own.
    pub const fn openai() -> Self {
        Self {
            id: "byte-classes/openai/1",
            coefficients: [947, 343, 1_251, 1_532, 271, 156, 166, 1_525, 1_266],
            per_message: 3,
        }
    }

    /// Fitted to what Anthropic reports.
    pub const fn claude() -> Self {
        Self {
            id: "byte-classes/claude/1",
            coefficients: [1_277, 143, 782, 1_547, 117, 812, 658, 1_031, 1_566],
            per_message: 8,
        }
    }

    /// The preset of a model's family, by its name.
    pub fn for_model(model: &str) -> Self {
        if model.to_ascii_lowercase().contains("claude") { Self::claude() } else { Self::openai() }
    }

    /// Thousandths of a token. The sum over two texts is that of both, where a line end parts them.
    pub(crate) fn thousandths(&self, text: &str) -> u64 {
        let counts = features(text.as_bytes());
        let weighed = counts.iter().zip(&self.coefficients);
        weighed.map(|(count, coefficient)| count * coefficient).sum()
    }
}

impl Default for ByteClasses {
    fn default() -> Self {
        Self::openai()
    }
}

impl TokenCounter for ByteClasses {
    fn id(&self) -> &str {
        self.id
    }

    fn count(&self, text: &str) -> u32 {
        u32::try_from(self.thousandths(text).div_ceil(1_000)).unwrap_or(u32::MAX)
    }

    fn per_message(&self) -> u32 {
        self.per_message
    }
}

// A machine reads the bytes one by one. What it counts at a byte depends on the byte's class and on
// the state before it: the class of the byte before, and how far into its run that is.

// Classes of bytes.
const OTHER: u8 = 0;
const LOWER: u8 = 1;
const UPPER: u8 = 2;
const DIGIT: u8 = 3;
const MARK: u8 = 4;
const BLANK: u8 = 5;
const NEWLINE: u8 = 6;
const LEAD: u8 = 7;
/// Part of the character before it.
const CONTINUED: u8 = 8;
const CLASSES: usize = 9;

// States. Letters have one for each place in a step of five, by case; digits one for each in a triple.
const AFTER_OTHER: u8 = 0;
const AFTER_LOWER: u8 = 1;
const AFTER_UPPER: u8 = AFTER_LOWER + STEP;
const AFTER_DIGIT: u8 = AFTER_UPPER + STEP;
const AFTER_MARK: u8 = AFTER_DIGIT + TRIPLE;
const AFTER_BLANK: u8 = AFTER_MARK + 1;
const AFTER_BLANKS: u8 = AFTER_BLANK + 1;
const STATES: usize = AFTER_BLANKS as usize + 1;
const STEP: u8 = 5;
const TRIPLE: u8 = 3;

/// Bits of one feature's count in a packed word: nine fit, for as many bytes as one can count.
const LANE_BITS: usize = 7;
const LANE_MAX: usize = (1 << LANE_BITS) - 1;

/// What happens at a byte: the state behind it, and one in the lane of each feature it counts for.
#[derive(Clone, Copy)]
struct Transition {
    state: u8,
    counted: u64,
}

static CLASS_OF: [u8; 256] = {
    let mut classes = [OTHER; 256];
    let mut at = 0;
    while at < 256 {
        // Every value of `at` is one byte.
        #[allow(clippy::cast_possible_truncation, reason = "at is below 256")]
        let byte = at as u8;
        classes[at] = match byte {
            b'a'..=b'z' => LOWER,
            b'A'..=b'Z' => UPPER,
            b'0'..=b'9' => DIGIT,
            b' ' | b'\t' => BLANK,
            b'\n' => NEWLINE,
            0x80..=0xBF => CONTINUED,
            0xC0.. => LEAD,
            _ if byte.is_ascii_punctuation() => MARK,
            _ => OTHER,
        };
        at += 1;
    }
    classes
};

static MACHINE: [[Transition; CLASSES]; STATES] = {
    let mut machine = [[Transition { state: AFTER_OTHER, counted: 0 }; CLASSES]; STATES];
    let mut state = 0;
    while state < STATES {
        let mut class = 0;
        while class < CLASSES {
            #[allow(clippy::cast_possible_truncation, reason = "both are below 256")]
            let (before, read) = (state as u8, class as u8);
            machine[state][class] = transition(before, read);
            class += 1;
        }
        state += 1;
    }
    machine
};

const fn transition(before: u8, class: u8) -> Transition {
    match class {
        LOWER | UPPER => letter(before, class == UPPER),
        DIGIT => {
            let inside = before >= AFTER_DIGIT && before < AFTER_MARK;
            let place = if inside { (before - AFTER_DIGIT + 1) % TRIPLE } else { 0 };
            let counted = if place == 0 { lane(DIGIT_TRIPLES) } else { 0 };
            Transition { state: AFTER_DIGIT + place, counted }
        }
        MARK => {
            let run = if before == AFTER_MARK { 0 } else { lane(PUNCTUATION_RUNS) };
            Transition { state: AFTER_MARK, counted: lane(PUNCTUATION) + run }
        }
        BLANK if before == AFTER_BLANK => {
            Transition { state: AFTER_BLANKS, counted: lane(BLANK_RUNS) }
        }
        BLANK if before == AFTER_BLANKS => Transition { state: AFTER_BLANKS, counted: 0 },
        BLANK => Transition { state: AFTER_BLANK, counted: 0 },
        NEWLINE => Transition { state: AFTER_OTHER, counted: lane(NEWLINES) },
        LEAD => Transition { state: AFTER_OTHER, counted: lane(NON_ASCII) },
        _ => Transition { state: AFTER_OTHER, counted: 0 },
    }
}

const fn letter(before: u8, upper: bool) -> Transition {
    let inside = before >= AFTER_LOWER && before < AFTER_DIGIT;
    let place = if inside { (before - AFTER_LOWER + 1) % STEP } else { 0 };
    let mut counted = 0;
    if !inside {
        counted += lane(ALPHABETIC_RUNS);
    } else if place == 0 {
        counted += lane(FIVE_LETTER_STEPS);
    }
    if upper && inside && before < AFTER_UPPER {
        counted += lane(HUMPS);
    }
    let first = if upper { AFTER_UPPER } else { AFTER_LOWER };
    Transition { state: first + place, counted }
}

const fn lane(feature: usize) -> u64 {
    1 << (feature * LANE_BITS)
}

fn features(bytes: &[u8]) -> [u64; FEATURES] {
    let mut counts = [0; FEATURES];
    let mut state = AFTER_OTHER;
    for block in bytes.chunks(LANE_MAX) {
        let mut packed = 0;
        for byte in block {
            let class = CLASS_OF[usize::from(*byte)];
            let next = MACHINE[usize::from(state)][usize::from(class)];
            state = next.state;
            packed += next.counted;
        }
        for (lane, count) in counts.iter_mut().enumerate() {
            *count += packed >> (lane * LANE_BITS) & LANE_MAX as u64;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_feature_counts_what_its_name_says() {
        let counts = features("parseLine  x1234 \u{e9}\u{4e2d}\n->\n".as_bytes());
        // Letters: "parseLine" and "x"; one step of five letters; one hump; digits 123 and 4.
        assert_eq!(counts, [2, 1, 1, 2, 2, 1, 1, 2, 2]);
    }

    /// The nine counts by their definitions, one by one.
    fn defined(text: &str) -> [u64; FEATURES] {
        let runs = |of: fn(&u8) -> bool| {
            let runs = text.as_bytes().split(move |byte| !of(byte));
            runs.map(|run| run.len() as u64).filter(|length| *length > 0)
        };
        let letters = || runs(u8::is_ascii_alphabetic);
        let pairs = text.as_bytes().windows(2);
        let hump = |pair: &&[u8]| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase();
        [
            letters().count() as u64,
            letters().map(|length| (length - 1) / 5).sum(),
            pairs.filter(hump).count() as u64,
            runs(u8::is_ascii_digit).map(|length| length.div_ceil(3)).sum(),
            runs(u8::is_ascii_punctuation).sum(),
            runs(u8::is_ascii_punctuation).count() as u64,
            runs(|byte| matches!(byte, b' ' | b'\t')).filter(|length| *length > 1).count() as u64,
            runs(|byte| *byte == b'\n').sum(),
            text.chars().filter(|c| !c.is_ascii()).count() as u64,
        ]
    }

    proptest::proptest! {
        #[test]
        fn the_machine_counts_what_is_defined(text in "[a-cA-C0-9 \t\n.:\\PC]{0,400}") {
            proptest::prop_assert_eq!(features(text.as_bytes()), defined(&text));
        }
    }

    #[test]
    fn counts_of_lines_add_up() {
        let counter = ByteClasses::claude();
        let (first, second) = ("let aB = 12;\n", "  // done\n");
        let both = format!("{first}{second}");
        assert_eq!(
            counter.thousandths(&both),
            counter.thousandths(first) + counter.thousandths(second)
        );
    }

    #[test]
    fn presets_have_names_of_their_own() {
        assert_eq!(ByteClasses::for_model("Claude-Opus-4-5"), ByteClasses::claude());
        assert_eq!(ByteClasses::for_model("qwen3-coder"), ByteClasses::default());
        assert_ne!(ByteClasses::openai().id(), ByteClasses::claude().id());
    }
}
