//! Foreign text on a terminal: escaped so that no session can move the cursor, retitle the window,
//! write to the clipboard or turn the reading direction around.

use std::fmt::Write as _;
use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

const ELLIPSIS: char = '\u{2026}';

/// Columns a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Every control and bidirectional character as `\u{..}`; line feeds and tabs stay.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hostile(c) {
            let _ = write!(out, "{}", c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// JSON whose strings hold none of these characters either: it reads back the same, and is harmless
/// on a terminal.
pub(crate) fn json(value: &impl Serialize) -> serde_json::Result<String> {
    let mut out = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Harmless))?;
    // What serde_json and the formatter write of strings is UTF-8.
    Ok(String::from_utf8_lossy(&out).into_owned())
}

struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut plain = 0;
        for (at, c) in fragment.char_indices().filter(|&(_, c)| is_hostile(c)) {
            writer.write_all(&fragment.as_bytes()[plain..at])?;
            write!(writer, "\\u{:04x}", u32::from(c))?;
            plain = at + c.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[plain..])
    }
}

/// The beginning of `text` on one line: runs of white space become one space, and what passes
/// `columns` is cut off with an ellipsis. Costs what is shown, not what is there.
pub(crate) fn one_line(text: &str, columns: usize, raw: bool) -> String {
    let mut line = Line { text: String::new(), fits: 0, width: 0, columns };
    let mut space = false;
    for c in text.trim_start().chars() {
        if c.is_whitespace() {
            space = true;
            continue;
        }
        let gap = usize::from(std::mem::take(&mut space));
        let shown = if is_hostile(c) && !raw {
            line.push(gap, &c.escape_unicode().to_string())
        } else {
            line.push(gap, c.encode_utf8(&mut [0; 4]))
        };
        if !shown {
            return line.cut();
        }
    }
    line.text
}

struct Line {
    text: String,
    /// Bytes of the text that leave room for an ellipsis.
    fits: usize,
    width: usize,
    columns: usize,
}

impl Line {
    fn push(&mut self, gap: usize, piece: &str) -> bool {
        let width = piece.chars().map(|c| c.width().unwrap_or(0)).sum::<usize>() + gap;
        if self.width + width > self.columns {
            return false;
        }
        self.width += width;
        self.text.extend(std::iter::repeat_n(' ', gap));
        self.text.push_str(piece);
        if self.width < self.columns {
            self.fits = self.text.len();
        }
        true
    }

    fn cut(mut self) -> String {
        self.text.truncate(self.fits);
        if self.columns > 0 {
            self.text.push(ELLIPSIS);
        }
        self.text
    }
}

/// C0 and C1 (with them ESC, CSI, OSC), DEL, line and paragraph separators, and what changes the
/// reading direction.
fn is_hostile(c: char) -> bool {
    let controls = c.is_control() && c != '\n' && c != '\t';
    let separators = matches!(c, '\u{2028}' | '\u{2029}');
    let directions = matches!(
        c,
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    controls || separators || directions
}

/// The name of a value that JSON writes as one string.
pub(crate) fn name(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

/// 1234567 as "1,234,567".
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// "1 entry", "1,234 entries".
pub(crate) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_that_drives_a_terminal_gets_through() {
        let hostile = [
            "\u{1b}[2J",
            "\u{1b}]0;title\u{7}",
            "\u{9d}52;c;aGk=\u{9c}",
            "\u{9b}31m",
            "a\rb",
            "a\u{8}b",
            "\u{7f}",
            "\u{202e}txt.exe",
            "\u{2066}x\u{2069}",
            "\u{200f}",
            "a\u{2028}b",
        ];
        for text in hostile {
            let safe = escape(text);
            assert!(!safe.chars().any(is_hostile), "{safe}");
            assert!(safe.contains("\\u{"), "{safe}");
        }
        assert_eq!(escape("a\n\tb"), "a\n\tb");
    }

    #[test]
    fn a_line_is_cut_at_the_column_not_at_the_byte() {
        assert_eq!(one_line("  one\n\n two ", 20, false), "one two");
        assert_eq!(one_line("abcdef", 6, false), "abcdef");
        assert_eq!(one_line("abcdefg", 6, false), "abcde\u{2026}");
        // Wide characters take two columns each.
        assert_eq!(one_line("\u{6f22}\u{5b57}\u{6f22}", 5, false), "\u{6f22}\u{5b57}\u{2026}");
        assert_eq!(one_line("\u{1b}x", 9, false), "\\u{1b}x");
        assert_eq!(one_line("\u{1b}x", 9, true), "\u{1b}x");
        assert_eq!(one_line("abc", 0, false), "");
    }

    proptest! {
        #[test]
        fn no_text_is_wider_than_asked(text: String, columns in 0_usize..40) {
            let line = one_line(&text, columns, false);
            prop_assert!(width(&line) <= columns, "{line:?}");
            prop_assert!(!line.chars().any(|c| is_hostile(c) || c == '\n'));
        }
    }

    proptest! {
        #[test]
        fn harmless_json_reads_back_the_same(text: String) {
            let hostile = format!("{text}\u{9b}31m \u{202e}\u{2028}{text}");
            let shown = json(&hostile).unwrap();
            prop_assert!(!shown.chars().any(is_hostile));
            prop_assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), hostile);
        }
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let grouped = [0, 999, 1000, 1_234_567].map(count);
        assert_eq!(grouped, ["0", "999", "1,000", "1,234,567"]);
    }
}
