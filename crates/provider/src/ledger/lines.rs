//! Lines worth keeping: the line that says what failed, sentences that decide, check boxes; and
//! what makes two commands the same.

/// Characters of a user's ask that are kept, where it is longer.
pub(super) const ASK_CHARS: usize = 180;
/// Characters of an error line or a command.
pub(super) const LINE_CHARS: usize = 160;
/// Lengths of a sentence that may be a decision, in bytes.
const SENTENCE_BYTES: std::ops::RangeInclusive<usize> = 20..=300;
/// Lines of a failed result that are looked at, from each end.
const ERROR_LINES: usize = 200;

/// Words that decide or forbid.
const CUES: &[&str] = &[
    "agreed",
    "always",
    "because",
    "decided",
    "decision",
    "do not",
    "don't",
    "instead",
    "make sure",
    "must",
    "never",
    "only",
    "prefer",
    "rather than",
    "should not",
    "shouldn't",
];

/// `text` on one line with single blanks, cut to `limit` characters with a mark where it was cut.
pub(super) fn one_line(text: &str, limit: usize) -> String {
    let mut line = String::with_capacity(text.len().min(limit + 4));
    let mut length = 0;
    for word in text.split_whitespace() {
        if length > 0 {
            line.push(' ');
            length += 1;
        }
        for c in word.chars().filter(|c| !c.is_control()) {
            if length >= limit {
                line.truncate(line.trim_end().len());
                line.push_str("...");
                return line;
            }
            line.push(c);
            length += 1;
        }
    }
    line
}

/// What tells two commands apart: white space, a change of directory before and filters of the
/// output behind do not.
pub(super) fn command_key(command: &str) -> String {
    let mut key = one_line(command, 4 * LINE_CHARS);
    while key.starts_with("cd ") {
        let Some((_, rest)) = key.split_once("&& ") else {
            break;
        };
        key = rest.to_owned();
    }
    for filter in ["| head", "| tail", "| grep", "2>&1"] {
        if let Some(at) = key.find(filter).filter(|at| *at > 0) {
            key.truncate(at);
        }
    }
    key.truncate(key.trim_end().len());
    key
}

/// The line that says best what failed.
pub(super) fn error_line(output: &str) -> Option<String> {
    let first = output.lines().take(ERROR_LINES);
    let typed = |line: &&str| {
        line.split(|c: char| !c.is_alphanumeric()).any(|word| {
            (word.ends_with("Error") || word.ends_with("Exception")) && line.contains(':')
        })
    };
    let last = output.lines().rev().take(ERROR_LINES);
    let mut lines = first.clone().filter(|line| says_error(line));
    let found = last.clone().find(typed).or_else(|| lines.next());
    let found = found.or_else(|| last.clone().find(|line| !line.trim().is_empty()));
    found.map(|line| one_line(line, LINE_CHARS))
}

fn says_error(line: &str) -> bool {
    const WORDS: &[&str] = &[
        "error",
        "failed",
        "panic",
        "exception",
        "cannot find",
        "not found",
        "no such file",
        "denied",
        "fail:",
        "undefined reference",
    ];
    let lower = line.to_ascii_lowercase();
    WORDS.iter().any(|word| lower.contains(word))
}

/// The exit code that a result names, in the words of the runtimes that have no error flag.
pub(super) fn exit_code(output: &str) -> Option<i64> {
    let mut tail = output.len().saturating_sub(200);
    while !output.is_char_boundary(tail) {
        tail += 1;
    }
    let head = output.lines().take(4);
    let ends = head.chain(output[tail..].lines());
    ends.filter_map(exit_code_of_line).last()
}

fn exit_code_of_line(line: &str) -> Option<i64> {
    let lower = line.to_ascii_lowercase();
    let rest = ["exit code", "exited with code", "exit status", "\"exit_code\""]
        .iter()
        .find_map(|mark| lower.split_once(mark).map(|(_, rest)| rest.to_owned()))?;
    let digits = rest.trim_start_matches([':', ' ', '=']);
    let end = digits.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// Calls `found` for each sentence that decides, forbids or explains.
pub(super) fn decisions<'t>(text: &'t str, mut found: impl FnMut(&'t str)) {
    for sentence in sentences(text) {
        let lower = sentence.to_ascii_lowercase();
        if CUES.iter().any(|cue| has_word(&lower, cue)) {
            found(sentence);
        }
    }
}

/// Sentences: a line, or what of it ends with a full stop that a blank follows (not `lib.rs`).
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let of_line = |line| {
        let mut rest: &str = line;
        std::iter::from_fn(move || {
            let mut stops = rest.match_indices(['.', '!', '?']).map(|(at, _)| at + 1);
            let end = stops.find(|at| rest[*at..].starts_with(' ')).unwrap_or(rest.len());
            let (sentence, behind) = rest.split_at(end);
            rest = behind;
            (!sentence.is_empty()).then_some(sentence)
        })
    };
    text.lines()
        .flat_map(of_line)
        .map(|sentence| sentence.trim_matches(|c: char| c.is_whitespace() || "-*#>".contains(c)))
        .filter(|sentence| SENTENCE_BYTES.contains(&sentence.len()))
}

fn has_word(text: &str, word: &str) -> bool {
    let letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    text.match_indices(word).any(|(at, _)| {
        !letter(text[..at].chars().next_back()) && !letter(text[at + word.len()..].chars().next())
    })
}

/// Calls `found` for each check box line: its text and whether it is ticked.
pub(super) fn check_boxes<'t>(text: &'t str, mut found: impl FnMut(&'t str, bool)) {
    for line in text.lines() {
        let item = line.trim_start().trim_start_matches(['-', '*', '+', ' ']);
        let open = item.strip_prefix("[ ] ").map(|rest| (rest, false));
        let ticked = || item.strip_prefix("[x] ").or_else(|| item.strip_prefix("[X] "));
        if let Some((rest, done)) = open.or_else(|| ticked().map(|rest| (rest, true)))
            && !rest.trim().is_empty()
        {
            found(rest.trim(), done);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_by_characters_with_a_mark() {
        assert_eq!(one_line("a\n  b\tc", 9), "a b c");
        assert_eq!(one_line(&"\u{e9}".repeat(9), 4), "\u{e9}\u{e9}\u{e9}\u{e9}...");
    }

    #[test]
    fn commands_are_the_same_but_for_folder_and_filters() {
        let key = command_key("cd /a/b && npm test 2>&1 | tail -5");
        assert_eq!(key, command_key("npm  test"));
        assert_ne!(key, command_key("npm run test"));
    }

    #[test]
    fn the_line_that_names_the_error_is_found() {
        let trace = "Traceback\n  File x\nValueError: bad input\n\n";
        assert_eq!(error_line(trace).as_deref(), Some("ValueError: bad input"));
        let rustc = "Compiling\nerror[E0308]: mismatched types\n --> a.rs\nerror: aborting";
        assert_eq!(error_line(rustc).as_deref(), Some("error[E0308]: mismatched types"));
        assert_eq!(error_line("nope\n").as_deref(), Some("nope"));
        assert_eq!(error_line(" \n"), None);
    }

    #[test]
    fn exit_codes_are_read_in_several_dialects() {
        assert_eq!(exit_code("...\n\nCommand exited with code 2"), Some(2));
        assert_eq!(exit_code("Exit code: 0\nall fine"), Some(0));
        assert_eq!(exit_code("nothing of the kind"), None);
    }

    #[test]
    fn sentences_with_cue_words_are_decisions() {
        let mut found = Vec::new();
        let text = "I looked at it. We use lib.rs instead of main.rs, as said. Fine!\n- never log bodies, please";
        decisions(text, |sentence| found.push(sentence));
        assert_eq!(
            found,
            ["We use lib.rs instead of main.rs, as said.", "never log bodies, please"]
        );
    }

    #[test]
    fn boxes_are_open_or_ticked() {
        let mut found = Vec::new();
        check_boxes("- [ ] write it\n* [x] read it\n[] no", |text, done| {
            found.push((text, done));
        });
        assert_eq!(found, [("write it", false), ("read it", true)]);
    }
}
