//! From a line to its pieces and what each means: the one place that knows both damage and formats.

use std::borrow::Cow;
use std::ops::Range;

use crate::files::SourceFile;
use crate::formats::{Meaning, Reader};
use crate::json;
use crate::lines::{Line, is_blank};
use crate::report::RepairKind;
use crate::split::split;

/// A piece of a line: what becomes one entry.
pub(crate) struct Piece {
    /// Where in the line.
    pub(crate) range: Range<usize>,
    /// What it means; a record beside the tree where it is damaged.
    pub(crate) meaning: Meaning,
    /// What is wrong with it.
    pub(crate) repairs: Vec<(RepairKind, String)>,
}

impl Piece {
    /// Whether it may be the beginning of a record.
    pub(crate) fn is_torn(&self) -> bool {
        self.repairs.iter().any(|(kind, _)| *kind == RepairKind::TornLine)
    }
}

/// The pieces of a line; one after the other they are the line.
pub(crate) fn understand(
    reader: &mut dyn Reader,
    file: &SourceFile,
    line: &Line<'_>,
) -> Vec<Piece> {
    let bytes = line.bytes;
    if file.found.opaque || line.overlong {
        let over = || {
            (
                RepairKind::OverlongLine,
                format!("{} bytes of a line over the limit; kept as a record", bytes.len()),
            )
        };
        return vec![kept(file, 0..bytes.len(), line.overlong.then(over))];
    }
    if let Some(piece) = read(reader, bytes, 0..bytes.len()) {
        return vec![piece];
    }
    let parts = split(bytes);
    let values = parts.iter().filter(|part| part.damage.is_none()).count();
    let mut pieces = Vec::with_capacity(parts.len());
    for part in parts {
        let piece = match part.damage {
            Some(kind) => {
                kept(file, part.range.clone(), Some((kind, damage_text(kind, part.range.len()))))
            }
            None if bytes[part.range.clone()].iter().all(|byte| is_blank(*byte)) => {
                kept(file, part.range, None)
            }
            None => read(reader, bytes, part.range.clone()).unwrap_or_else(|| {
                let detail = "JSON, but no record of the format; kept as a record".to_owned();
                kept(file, part.range, Some((RepairKind::NotARecord, detail)))
            }),
        };
        pieces.push(piece);
    }
    if values > 1
        && let Some(first) = pieces.first_mut()
    {
        let detail = format!("{values} records on one line; each is an entry");
        first.repairs.push((RepairKind::GluedRecords, detail));
    }
    pieces
}

/// What bytes mean that were one piece before.
pub(crate) fn understand_again(reader: &mut dyn Reader, file: &SourceFile, bytes: &[u8]) -> Piece {
    let line =
        Line { bytes, offset: 0, number: 0, overlong: bytes.len() >= crate::limits::LINE_BYTES };
    let mut pieces = understand(reader, file, &line);
    match pieces.pop() {
        Some(piece) if pieces.is_empty() => piece,
        _ => kept(file, 0..bytes.len(), None),
    }
}

fn read(reader: &mut dyn Reader, line: &[u8], range: Range<usize>) -> Option<Piece> {
    let bytes = &line[range.clone()];
    let text = json::text(bytes);
    let meaning = reader.read(&text)?;
    let mut repairs = Vec::new();
    if matches!(text, Cow::Owned(_)) && std::str::from_utf8(bytes).is_err() {
        let detail = "bytes that are not UTF-8 are shown as U+FFFD".to_owned();
        repairs.push((RepairKind::InvalidUtf8, detail));
    }
    if meaning.misplaced {
        let detail = "a record without an id has no place in the tree; kept beside it".to_owned();
        repairs.push((RepairKind::MissingId, detail));
    }
    Some(Piece { range, meaning, repairs })
}

/// A piece that is kept without a meaning.
fn kept(file: &SourceFile, range: Range<usize>, repair: Option<(RepairKind, String)>) -> Piece {
    let meaning = Meaning::aside(format!("{}/raw", file.format.name()));
    Piece { range, meaning, repairs: repair.into_iter().collect() }
}

fn damage_text(kind: RepairKind, len: usize) -> String {
    let what = match kind {
        RepairKind::TornLine => "a record that stops in the middle",
        RepairKind::NulRun => "NUL bytes",
        RepairKind::ByteOrderMark => "a byte order mark",
        _ => "no JSON",
    };
    format!("{what}, {len} bytes; kept as a record")
}
