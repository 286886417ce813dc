//! A provider's words as an error shows them: without the key, what was sent and what was answered, all of
//! which providers quote where they say what is wrong. No other place shows such words.

use std::collections::HashSet;

use serde_json::Value;

use super::key::Key;

/// Characters that a provider's words may share in a row with what passed, less than which tell nothing.
const SHARED: usize = 8;
/// Characters of a provider's words that are looked at; nothing of what comes after them is shown.
const LOOKED_AT_CHARS: usize = 4_096;
/// Characters that an error shows.
const SHOWN_CHARS: usize = 300;
/// What stands for words that are not shown.
const MARK: &str = "[...]";

/// What passed between us and a server in one try.
#[derive(Clone, Copy)]
pub(super) struct Secrets<'a> {
    pub(super) key: Option<&'a Key>,
    /// The request's body. All of its texts are secrets, but for the name of the model.
    pub(super) sent: &'a Value,
    /// What the model said until then.
    pub(super) heard: &'a str,
}

impl Secrets<'_> {
    /// A provider's words as an error shows them. A word of which any part belongs to eight characters
    /// in a row that passed as well is not shown. Linear in the texts that passed.
    pub(super) fn hide_in(&self, words: &str) -> String {
        let words = self.key.map_or_else(|| words.to_owned(), |key| key.hide_in(words));
        let end = words.char_indices().nth(LOOKED_AT_CHARS).map(|(end, _)| end);
        let looked_at = &words[..end.unwrap_or(words.len())];
        let hidden = self.hidden(looked_at, end.is_some());
        let mut shown = String::new();
        let mut at = 0;
        for part in looked_at.split_inclusive(is_blank) {
            let word = part.trim_end_matches(is_blank);
            let is_hidden = (at..at + word.len()).any(|at| hidden.contains(&at));
            at += part.len();
            match if is_hidden { MARK } else { word } {
                "" => {}
                MARK if shown.ends_with(MARK) => {}
                word if shown.is_empty() => shown.push_str(word),
                word => shown.extend([" ", word]),
            }
        }
        shortened(&shown)
    }

    /// Where the characters stand that are part of a run that passed, or may be where the words go on.
    fn hidden(&self, words: &str, goes_on: bool) -> HashSet<usize> {
        let places: Vec<usize> = units(words).map(|(at, _)| at).collect();
        let mine: HashSet<u128> = runs(words).collect();
        if mine.is_empty() {
            return HashSet::new();
        }
        let passed = texts(self.sent).into_iter().chain([self.heard]).flat_map(runs);
        let shared: HashSet<u128> = passed.filter(|run| mine.contains(run)).collect();
        let of_runs = runs(words).zip(places.windows(SHARED));
        let of_shared = of_runs.filter(|(run, _)| shared.contains(run)).flat_map(|(_, at)| at);
        let of_end = places.iter().rev().take(if goes_on { SHARED - 1 } else { 0 });
        of_shared.chain(of_end).copied().collect()
    }
}

/// The start of a text, on one line.
pub(super) fn shortened(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(SHOWN_CHARS).collect::<String>().trim().to_owned()
}

/// All texts of a request's body but the model's name; not the names of its fields.
fn texts(body: &Value) -> Vec<&str> {
    let mut left: Vec<&Value> = match body {
        Value::Object(fields) => {
            fields.iter().filter(|(name, _)| *name != "model").map(|(_, value)| value).collect()
        }
        other => vec![other],
    };
    let mut texts = Vec::new();
    while let Some(value) = left.pop() {
        match value {
            Value::String(text) => texts.push(text.as_str()),
            Value::Array(values) => left.extend(values),
            Value::Object(fields) => left.extend(fields.values()),
            _ => {}
        }
    }
    texts
}

/// Every run of [`SHARED`] units, as one number.
fn runs(text: &str) -> impl Iterator<Item = u128> {
    let longer = units(text).scan(0_u128, |run, (_, unit)| {
        *run = *run << u16::BITS | u128::from(unit);
        Some(*run)
    });
    longer.skip(SHARED - 1)
}

fn units(text: &str) -> Units<'_> {
    Units { text, at: 0, next: None, in_blank: false }
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || c.is_control()
}

/// A text as it is compared, so that it is the same however often it was escaped as JSON: its units of
/// UTF-16 with escapes read, blanks in a row as one; and where each stands.
struct Units<'t> {
    text: &'t str,
    at: usize,
    /// The second half of a pair.
    next: Option<(usize, u16)>,
    in_blank: bool,
}

impl Units<'_> {
    /// The next character, or the half of a pair that an escape names.
    fn read(&mut self) -> Option<Result<char, u16>> {
        let rest = &self.text[self.at..];
        let bare = rest.trim_start_matches('\\');
        let c = bare.chars().next()?;
        self.at += rest.len() - bare.len() + c.len_utf8();
        if bare.len() == rest.len() {
            return Some(Ok(c));
        }
        let digits = self.text.get(self.at..self.at + 4);
        let named = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        Some(match (c, named) {
            ('u', Some(unit)) => {
                self.at += 4;
                char::from_u32(unit.into()).ok_or(unit)
            }
            ('b' | 'f' | 'n' | 'r' | 't', _) => Ok(' '),
            _ => Ok(c),
        })
    }
}

impl Iterator for Units<'_> {
    type Item = (usize, u16);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(next) = self.next.take() {
            return Some(next);
        }
        loop {
            let at = self.at;
            let c = match self.read()? {
                Ok(c) if is_blank(c) && self.in_blank => continue,
                Ok(c) if is_blank(c) => ' ',
                Ok(c) => c,
                Err(half) => {
                    self.in_blank = false;
                    return Some((at, half));
                }
            };
            self.in_blank = c == ' ';
            let mut pair = [0; 2];
            let pair = c.encode_utf16(&mut pair);
            self.next = pair.get(1).map(|second| (at, *second));
            return pair.first().map(|first| (at, *first));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(sent: &Value, heard: &str, words: &str) -> String {
        Secrets { key: None, sent, heard }.hide_in(words)
    }

    /// Of a request whose text this is.
    fn of_text(text: &str, words: &str) -> String {
        shown(&json!({ "messages": [{ "content": text }] }), "", words)
    }

    #[test]
    fn eight_characters_in_a_row_are_hidden_and_seven_are_shown() {
        for (said, words, expected) in [
            ("say abcdefgh now", "bad: 'abcdefgh' here", "bad: [...] here"),
            ("say abcdefgh now", "bad: 'abcdefg' here", "bad: 'abcdefg' here"),
            ("say abcdefgh now", "at xabcdefghx", "at [...]"),
            ("fix the port", "why 'fix the port'?", "why [...]"),
            ("fix\n\n the port", "why fix the\tport of it", "why [...] of it"),
            ("abcd", "abcdabcd", "abcdabcd"),
            ("", "anything at all", "anything at all"),
            ("abcdefgh", "", ""),
            ("abcdefgh", "abcdefgh no abcdefgh abcdefgh", "[...] no [...]"),
        ] {
            assert_eq!(of_text(said, words), expected, "{said:?} in {words:?}");
        }
    }

    #[test]
    fn what_was_said_is_known_again_however_it_was_escaped() {
        for said in [
            "a\nb\tc\r\nd \"e\" f\\g h/i",
            "C:\\new\\table\\\u{fc}ber",
            "\u{4f60}\u{597d}\u{4e16}\u{754c}\u{4f60}\u{597d}\u{4e16}\u{754c}",
            "\u{1f600}\u{1f601}\u{1f602}\u{1f603}\\u0041\\\\n",
            "\\\u{1b}[31mred\u{1b}[0m\\",
        ] {
            let once = json!(said).to_string();
            let twice = json!(once).to_string();
            let escaped = |unit: u16| match u8::try_from(unit) {
                Ok(byte) if byte.is_ascii() => char::from(byte).to_string(),
                _ => format!("\\u{unit:04x}"),
            };
            let ascii = once.encode_utf16().map(escaped).collect();
            for words in [said.to_owned(), once, twice, ascii] {
                assert_eq!(of_text(said, &format!("why <{words}> ?")), "why [...] ?", "{words:?}");
            }
        }
    }

    #[test]
    fn names_of_fields_and_of_the_model_are_shown() {
        let sent = json!({
            "model": "enormous-9", "max_completion_tokens": 4,
            "metadata": { "users": ["deep-in-a-field"] },
        });
        let words = "enormous-9 takes no max_completion_tokens of deep-in-a-field";
        assert_eq!(shown(&sent, "", words), "enormous-9 takes no max_completion_tokens of [...]");
    }

    #[test]
    fn what_the_model_said_is_hidden_as_what_was_sent_is() {
        assert_eq!(shown(&Value::Null, "said by it", "no JSON: said by it."), "no JSON: [...]");
    }

    #[test]
    fn what_is_cut_off_shows_nothing_of_what_it_cuts() {
        let said = ["y".repeat(LOOKED_AT_CHARS), "abcdefghijklmnop".to_owned()];
        for shown_chars in 0..=said[1].len() {
            let before = LOOKED_AT_CHARS - shown_chars - 1;
            let words = format!("{} {} z", &said[0][..before], said[1]);
            assert_eq!(shown(&json!(said), "", &words), "[...]", "{shown_chars}");
        }
        let words = format!("{} ab cdefghij", "y".repeat(LOOKED_AT_CHARS - 4));
        assert_eq!(shown(&json!(said), "", &words), "[...]");
    }
}
