//! What can be told apart on a damaged line: whole records, NUL runs, torn pieces. The parts of a
//! line, put one after the other, are the line. It never decides what a record means.

use std::ops::Range;

use serde::de::IgnoredAny;

use crate::limits;
use crate::lines::is_blank;
use crate::report::RepairKind;

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Where in the line.
    pub(crate) range: Range<usize>,
    /// What is wrong with it; `None` for a whole JSON value.
    pub(crate) damage: Option<RepairKind>,
}

/// Splits a line that is not one JSON value and blanks.
pub(crate) fn split(line: &[u8]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut attempts = limits::SPLIT_ATTEMPTS;
    let mut at = 0;
    while at < line.len() {
        let begin = at + blanks(&line[at..]);
        if begin == line.len() {
            break;
        }
        let (end, damage) = next_part(line, begin, &mut attempts);
        parts.push(Part { range: at..end, damage });
        at = end;
    }
    // What is left are blanks: they belong to what stands before them.
    match parts.last_mut() {
        Some(last) => last.range.end = line.len(),
        None => parts.push(Part { range: 0..line.len(), damage: None }),
    }
    parts
}

fn next_part(line: &[u8], begin: usize, attempts: &mut usize) -> (usize, Option<RepairKind>) {
    let rest = &line[begin..];
    if begin == 0 && rest.starts_with(b"\xEF\xBB\xBF") {
        return (3, Some(RepairKind::ByteOrderMark));
    }
    if rest[0] == 0 {
        let len = rest.iter().take_while(|byte| **byte == 0).count();
        return (begin + len, Some(RepairKind::NulRun));
    }
    if let Some(len) = value_at(rest, attempts) {
        return (begin + len, None);
    }
    let resume = (1..rest.len())
        .filter(|&at| rest[at] == 0 || rest[at..].starts_with(b"{\""))
        .find(|&at| rest[at] == 0 || value_at(&rest[at..], attempts).is_some());
    match resume {
        Some(at) => (begin + at, Some(RepairKind::TornLine)),
        None if line.ends_with(b"\n") => (line.len(), Some(RepairKind::DamagedLine)),
        None => (line.len(), Some(RepairKind::TornLine)),
    }
}

/// Length of the JSON value that `bytes` begin with, where what follows can be the next part.
fn value_at(bytes: &[u8], attempts: &mut usize) -> Option<usize> {
    *attempts = attempts.checked_sub(1)?;
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    let end = values.byte_offset();
    let rest = &bytes[end..];
    let next = rest.get(blanks(rest));
    let apart = match next {
        None => true,
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

    #[test]
    fn records_are_found_between_damage() {
        use RepairKind::{ByteOrderMark, DamagedLine, NulRun, TornLine};
        let table: [(&str, &[(&str, Option<RepairKind>)]); 9] = [
            ("{\"a\":1}{\"b\":2}\n", &[("{\"a\":1}", None), ("{\"b\":2}\n", None)]),
            ("\0\0{\"a\":1}\n", &[("\0\0", Some(NulRun)), ("{\"a\":1}\n", None)]),
            ("{\"a\":1}\0\0\n", &[("{\"a\":1}", None), ("\0\0\n", Some(NulRun))]),
            ("{\"a\":{\"x\":1},\"b", &[("{\"a\":{\"x\":1},\"b", Some(TornLine))]),
            (
                "{\"a\":\"cut{\"type\":\"user\"}\n",
                &[("{\"a\":\"cut", Some(TornLine)), ("{\"type\":\"user\"}\n", None)],
            ),
            ("\u{feff}{\"a\":1}\n", &[("\u{feff}", Some(ByteOrderMark)), ("{\"a\":1}\n", None)]),
            ("not json\n", &[("not json\n", Some(DamagedLine))]),
            ("  42  \n", &[("  42  \n", None)]),
            ("\n", &[("\n", None)]),
        ];
        for (line, expected) in table {
            let found: Vec<_> = split(line.as_bytes())
                .into_iter()
                .map(|part| (&line[part.range], part.damage))
                .collect();
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
                prop_assert_eq!(part.range.start, at);
                prop_assert!(part.range.end > at);
                at = part.range.end;
            }
            prop_assert_eq!(at, bytes.len());
        }
    }
}
