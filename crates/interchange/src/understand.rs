//! From a line to its pieces and what each means: the one place that knows both damage and formats.

use std::borrow::Cow;
use std::ops::Range;

use crate::files::SourceFile;
use crate::formats::{Meaning, Reader};
use crate::frame::Frame;
use crate::frame::Role;
use crate::json;
use crate::limits;
use crate::lines::Line;
use crate::loom::Repairs;
use crate::report::RepairKind;
use crate::split::{damage, is_json, split};

/// A piece of a line: what becomes one entry.
pub(crate) struct Piece {
    /// Where in the line.
    pub(crate) range: Range<usize>,
    /// What it means; a record beside the tree where it is damaged.
    pub(crate) meaning: Meaning,
    /// Whether it is a record of the format.
    pub(crate) is_record: bool,
    /// What is wrong with it.
    pub(crate) repairs: Repairs,
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
    let whole = understand_piece(reader, file, line.bytes, 0..line.bytes.len(), line.role);
    if whole.is_record
        || line.role != Role::Line
        || file.found.opaque
        || file.frame == Frame::State
        || line.overlong
        || is_json(line.bytes)
    {
        return vec![whole];
    }
    let parts = split(line.bytes).into_iter();
    parts.map(|range| understand_piece(reader, file, line.bytes, range, Role::Line)).collect()
}

/// What a piece means, whether it is met for the first time or again.
pub(crate) fn understand_piece(
    reader: &mut dyn Reader,
    file: &SourceFile,
    line: &[u8],
    range: Range<usize>,
    role: Role,
) -> Piece {
    let bytes = &line[range.clone()];
    // What fills the limit without ending there is a part of something longer.
    let ends = role == Role::Element || bytes.ends_with(b"\n");
    let too_long = bytes.len() >= limits::LINE_BYTES && !ends;
    let read = if file.found.opaque || too_long { Cow::Borrowed("") } else { json::text(bytes) };
    let bounded = json::is_bounded(&read);
    let is_record = matches!(role, Role::Line | Role::Element);
    let text = if role == Role::Element { json::element(&read) } else { &*read };
    let overlong = too_long || (is_record && !bounded && is_json(text.as_bytes()));
    let meaning = if is_record && bounded && !too_long { reader.read(text) } else { None };
    if let Some(meaning) = meaning {
        let mut repairs = Vec::new();
        if matches!(read, Cow::Owned(_)) && std::str::from_utf8(bytes).is_err() {
            let detail = "bytes that are not UTF-8 are shown as U+FFFD".to_owned();
            repairs.push((RepairKind::InvalidUtf8, detail));
        }
        if meaning.misplaced {
            let detail = "a record without an id has no place in the tree; kept beside it";
            repairs.push((RepairKind::MissingId, detail.to_owned()));
        }
        return Piece { range, meaning, is_record: true, repairs };
    }
    let damage = match (role, overlong) {
        _ if file.found.opaque => None,
        (_, true) => Some(RepairKind::OverlongLine),
        (Role::Rest, _) => None,
        (Role::Torn, _) => Some(RepairKind::TornLine),
        (Role::Element, _) if is_json(text.as_bytes()) => Some(RepairKind::NotARecord),
        (Role::Element, _) => Some(RepairKind::DamagedLine),
        (Role::Line, _) => damage(bytes),
    };
    let repairs = damage.map(|kind| (kind, describe(kind, bytes.len()))).into_iter().collect();
    let meaning = Meaning::aside(format!("{}/raw", file.format.name()));
    Piece { range, meaning, is_record: false, repairs }
}

fn describe(kind: RepairKind, len: usize) -> String {
    let what = match kind {
        RepairKind::TornLine => "a record that stops in the middle",
        RepairKind::NulRun => "NUL bytes",
        RepairKind::ByteOrderMark => "a byte order mark",
        RepairKind::OverlongLine => "over the limit of bytes, levels or values of a record",
        RepairKind::NotARecord => "JSON, but no record of the format",
        _ => "no JSON",
    };
    format!("{what}, {len} bytes; kept beside the tree")
}
