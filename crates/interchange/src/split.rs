//! What can be told apart on a damaged line: whole records, NUL runs, torn pieces. The parts of a
//! line, put one after the other, are the line. It never decides what a record means.

use std::ops::Range;

use serde::de::IgnoredAny;

use crate::limits;
use crate::lines::is_blank;
use crate::report::RepairKind;

/// A byte order mark.
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// Splits a line that is not one JSON value and blanks.
pub(crate) fn split(line: &[u8]) -> Vec<Range<usize>> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    let mut attempts = limits::SPLIT_ATTEMPTS;
    let mut at = 0;
    while at + blanks(&line[at..]) < line.len() {
        let end = end_of_part(line, at + blanks(&line[at..]), &mut attempts);
        parts.push(at..end);
        at = end;
    }
    // What is left are blanks: they belong to what stands before them.
    match parts.last_mut() {
        Some(last) => last.end = line.len(),
        None => parts.push(0..line.len()),
    }
    parts
}

/// What is wrong with a part that is no record; `None` for blanks.
pub(crate) fn damage(part: &[u8]) -> Option<RepairKind> {
    match &part[blanks(part)..] {
        [] => None,
        [0, ..] => Some(RepairKind::NulRun),
        text if text.starts_with(MARK) => Some(RepairKind::ByteOrderMark),
        text if is_json(text) => Some(RepairKind::NotARecord),
        text if text.ends_with(b"\n") => Some(RepairKind::DamagedLine),
        _ => Some(RepairKind::TornLine),
    }
}

/// Whether bytes are one JSON value and blanks.
pub(crate) fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

fn end_of_part(line: &[u8], begin: usize, attempts: &mut usize) -> usize {
    let rest = &line[begin..];
    if begin == 0 && rest.starts_with(MARK) {
        return MARK.len();
    }
    if rest[0] == 0 {
        return begin + rest.iter().take_while(|byte| **byte == 0).count();
    }
    if let Some(len) = value_at(rest, true) {
        return begin + len;
    }
    let mut begins_part = |at: usize| {
        rest[at] == 0 || {
            let tries = rest[at..].starts_with(b"{\"") && *attempts > 0;
            *attempts -= usize::from(tries);
            tries && value_at(&rest[at..], false).is_some()
        }
    };
    (1..rest.len()).find(|at| begins_part(*at)).map_or(line.len(), |at| begin + at)
}

/// Length of the JSON value that `bytes` begin with, where what follows can be the next part. In the
/// middle of damage it must not be what a torn record ends with.
fn value_at(bytes: &[u8], may_end_the_file: bool) -> Option<usize> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    let end = values.byte_offset();
    let rest = &bytes[end..];
    let next = rest.get(blanks(rest));
    let apart = match next {
        None => may_end_the_file || rest.ends_with(b"\n"),
        Some(0 | b'{') => bytes[0] == b'{',
        Some(_) => false,
    };
    apart.then_some(end)
}

fn blanks(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| is_blank(**byte)).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Found<'a> = Vec<(&'a str, Option<RepairKind>)>;

    #[test]
    fn records_are_found_between_damage() {
        use RepairKind::{ByteOrderMark, DamagedLine, NotARecord, NulRun, TornLine};
        let record = Some(NotARecord);
        let table: [(&str, Found<'_>); 9] = [
            ("{\"a\":1}{\"b\":2}\n", vec![("{\"a\":1}", record), ("{\"b\":2}\n", record)]),
            ("\0\0{\"a\":1}\n", vec![("\0\0", Some(NulRun)), ("{\"a\":1}\n", record)]),
            ("{\"a\":1}\0\0\n", vec![("{\"a\":1}", record), ("\0\0\n", Some(NulRun))]),
            ("{\"a\":{\"x\":1},\"b", vec![("{\"a\":{\"x\":1},\"b", Some(TornLine))]),
            (
                "{\"a\":\"cut{\"type\":\"user\"}\n",
                vec![("{\"a\":\"cut", Some(TornLine)), ("{\"type\":\"user\"}\n", record)],
            ),
            (
                "\u{feff}{\"a\":1}\n",
                vec![("\u{feff}", Some(ByteOrderMark)), ("{\"a\":1}\n", record)],
            ),
            ("not json\n", vec![("not json\n", Some(DamagedLine))]),
            ("  42  \n", vec![("  42  \n", record)]),
            ("\n", vec![("\n", None)]),
        ];
        for (line, expected) in table {
            let parts = split(line.as_bytes()).into_iter().map(|range| &line[range]);
            let found: Vec<_> = parts.map(|part| (part, damage(part.as_bytes()))).collect();
            assert_eq!(found, expected, "{line:?}");
        }
    }

    #[test]
    fn a_line_of_openings_costs_a_bounded_number_of_attempts() {
        let line = "{\"a\":".repeat(200_000);
        assert_eq!(split(line.as_bytes()).len(), 1);
    }

    proptest! {
        #[test]
        fn parts_one_after_the_other_are_the_line(
            bytes in proptest::collection::vec(proptest::sample::select(b"{}\"a:1 \n\0,".to_vec()), 1..80),
        ) {
            let parts = split(&bytes);
            let mut at = 0;
            for part in &parts {
                prop_assert_eq!(part.start, at);
                prop_assert!(part.end > at);
                at = part.end;
            }
            prop_assert_eq!(at, bytes.len());
        }
    }
}
