//! Reading JSON that other tools wrote, without trusting its shapes: a field of another type than
//! expected reads as absent, bytes that are not UTF-8 and lone surrogates read as U+FFFD. What is
//! stored stays as it was. Nothing here recurses deeper than the parser's own limit.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::limits;

/// A value that stays unread until somebody asks.
pub(crate) type Raw<'a> = &'a RawValue;

/// Whether a text is JSON of so few levels and values that reading it is safe. Both are counted
/// before anything is parsed, without recursion, and by a glance where brackets and bytes are few.
pub(crate) fn is_bounded(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut opening = memchr::memchr2_iter(b'[', b'{', bytes);
    if opening.nth(limits::JSON_DEPTH).is_none() && bytes.len() <= limits::JSON_VALUES {
        return true;
    }
    let (mut at, mut depth, mut values) = (0, 0_usize, 1);
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => at += end_of_string(&bytes[at..]),
            b'[' | b'{' => (depth, values) = (depth + 1, values + 1),
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
        if depth > limits::JSON_DEPTH || values > limits::JSON_VALUES {
            return false;
        }
    }
    true
}

/// Length of what is left of a string, with its closing quote.
fn end_of_string(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &bytes[at..]) {
        at += found + 1;
        if bytes[at - 1] == b'"' {
            return at;
        }
        at = bytes.len().min(at + 1);
    }
    bytes.len()
}

/// The bytes as text that a JSON parser takes.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes);
    match without_lone_surrogates(&text) {
        Some(mended) => Cow::Owned(mended),
        None => text,
    }
}

/// The text with every escaped half of a surrogate pair that stands alone replaced by `\ufffd`, as
/// JavaScript writes them where it cut a string; `None` where there is none.
fn without_lone_surrogates(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let half = |escape: &[u8]| memchr::memmem::find(bytes, escape).is_some();
    if !half(b"\\ud") && !half(b"\\uD") {
        return None;
    }
    let mut mended: Option<String> = None;
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &bytes[at..]) {
        at += found;
        let Some(unit) = escaped_unit(&bytes[at..]) else {
            at = bytes.len().min(at + 2);
            continue;
        };
        let low = (0xD800..0xDC00).contains(&unit).then(|| escaped_unit(&bytes[at + 6..]));
        match low {
            Some(Some(0xDC00..0xE000)) => at += 12,
            None if !(0xDC00..0xE000).contains(&unit) => at += 6,
            _ => {
                let out = mended.get_or_insert_with(String::new);
                out.push_str(&text[copied..at]);
                out.push_str("\\ufffd");
                at += 6;
                copied = at;
            }
        }
    }
    if let Some(out) = &mut mended {
        out.push_str(&text[copied..]);
    }
    mended
}

/// The code unit of a `\uXXXX` that `bytes` begin with.
fn escaped_unit(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.get(..6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Reads a field as `T`; absent where it is something else.
pub(crate) fn lenient<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let raw = <Raw<'de>>::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).ok())
}

/// The value of unread JSON; null where the parser refuses it.
pub(crate) fn value(raw: Raw<'_>) -> Value {
    serde_json::from_str(raw.get()).unwrap_or_default()
}

/// An element of a list without the comma and the blanks before it.
pub(crate) fn element(text: &str) -> &str {
    text.trim_start_matches([',', ' ', '\t', '\r', '\n'])
}

/// Bytes in hex digits.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Reads JSON of any shape; `None` where the parser refuses it or it is no object.
pub(crate) fn object(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().filter(Value::is_object)
}

/// Looking into JSON of any shape.
pub(crate) trait Fields {
    /// A string of that name.
    fn text(&self, key: &str) -> Option<&str>;
    /// A string of that name, owned; empty where there is none.
    fn string(&self, key: &str) -> String;
    /// A whole number of that name; 0 where there is none.
    fn count(&self, key: &str) -> u64;
    /// Whether that name says `true`.
    fn flag(&self, key: &str) -> bool;
    /// The elements of that name; none where it is no list.
    fn list(&self, key: &str) -> &[Value];
}

impl Fields for Value {
    fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    fn string(&self, key: &str) -> String {
        self.text(key).unwrap_or_default().to_owned()
    }

    fn count(&self, key: &str) -> u64 {
        self.get(key).and_then(Value::as_u64).unwrap_or(0)
    }

    fn flag(&self, key: &str) -> bool {
        self.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    fn list(&self, key: &str) -> &[Value] {
        self.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

/// A string, borrowed where it holds no escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl Text<'_> {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_string(self) -> String {
        self.0.into_owned()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowing;
        impl<'de> Visitor<'de> for Borrowing {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_string<E: Error>(self, text: String) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text)))
            }
        }
        deserializer.deserialize_str(Borrowing)
    }
}

/// A string of a field that may be absent.
pub(crate) fn string(text: Option<Text<'_>>) -> Option<String> {
    text.map(Text::into_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_surrogates_and_bytes_that_are_not_utf8_read_as_replacement_characters() {
        let table: [(&[u8], &str); 7] = [
            (br#""\ud83d\ude00""#, "\u{1f600}"),
            (br#""cut \ud83d""#, "cut \u{fffd}"),
            (br#""\ude00\ud83dx""#, "\u{fffd}\u{fffd}x"),
            (br#""\\ud83d""#, "\\ud83d"),
            (br#""\ud83d\n""#, "\u{fffd}\n"),
            (b"\"\xff\"", "\u{fffd}"),
            (br#""plain""#, "plain"),
        ];
        for (bytes, expected) in table {
            let read: String = serde_json::from_str(&text(bytes)).unwrap();
            assert_eq!(read, expected, "{:?}", String::from_utf8_lossy(bytes));
        }
        assert!(matches!(text(br#""\ud83d\ude00""#), Cow::Borrowed(_)));
    }

    #[test]
    fn levels_and_values_are_bounded_at_the_limit_and_one_past_it() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let list = |values: usize| format!("[{}]", vec!["1"; values].join(","));
        let (depth, values) = (limits::JSON_DEPTH, limits::JSON_VALUES);
        let quoted = |text: &str| serde_json::to_string(text).unwrap();
        // The list itself is a value, and one is counted for what stands outside of it.
        let table = [
            (nested(depth), true),
            (nested(depth + 1), false),
            (format!("{{\"a\":[{}]}}", nested(depth - 2)), true),
            (format!("{{\"a\":[{}]}}", nested(depth - 1)), false),
            (list(values - 1), true),
            (list(values), false),
            (quoted(&quoted(&nested(1000))), true),
            (quoted(&list(values)), true),
            (format!("[{},{}]", quoted("\\\"[["), "[[]],".repeat(depth)), true),
        ];
        for (text, expected) in table {
            assert_eq!(is_bounded(&text), expected, "{}", &text[..text.len().min(80)]);
        }
    }

    #[test]
    fn a_field_of_another_type_reads_as_absent() {
        #[derive(serde::Deserialize)]
        struct Line<'a> {
            #[serde(borrow, default, deserialize_with = "lenient")]
            id: Option<Text<'a>>,
            #[serde(default, deserialize_with = "lenient")]
            flag: Option<bool>,
        }
        let line: Line<'_> = serde_json::from_str(r#"{"id":[1,{"x":1e999}],"flag":true}"#).unwrap();
        assert_eq!((line.id, line.flag), (None, Some(true)));
    }
}
