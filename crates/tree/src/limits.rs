//! Every limit of the tree, named, in one place. What passes one is refused with
//! [`Error::TooLarge`], which carries the limit and the value found.

use crate::error::{Error, Result};

/// Bytes of one body, uncompressed.
pub const BODY_BYTES: u64 = 64 << 20;
/// Bytes of a session, branch or slot name, a label, an alias, a tool call id or a body format's name.
pub const NAME_BYTES: u64 = 256;
/// Tool calls one entry may make, or answer.
pub const CALLS_PER_ENTRY: u64 = 256;
/// Entries one compaction may mask.
pub const MASKS_PER_ENTRY: u64 = 1024;
/// Tool calls that may be open at one point of a path.
pub const OPEN_CALLS: u64 = 1024;
/// Pins and system-prompt slots that may be active at one point of a path.
pub const ACTIVE_PINS: u64 = 1024;
/// Entries in one change.
pub const ENTRIES_PER_CHANGE: u64 = 10_000;
/// Bytes of all bodies in one change.
pub const CHANGE_BYTES: u64 = 256 << 20;
/// Branch moves in one change.
pub const MOVES_PER_CHANGE: u64 = 10_000;
/// Bytes of one memo.
pub const MEMO_BYTES: u64 = 64 << 10;
/// Memos in one change.
pub const MEMOS_PER_CHANGE: u64 = 64;
/// Entries, rows or names one page of a listing may hold.
pub const PAGE: usize = 10_000;
/// Changes that may wait for the writer; further callers wait for a place.
pub const QUEUED_CHANGES: usize = 10_000;

/// Refuses `found` over `limit`.
pub(crate) fn within(what: &'static str, limit: u64, found: usize) -> Result<()> {
    let found = found as u64;
    if found > limit { Err(Error::TooLarge { what, limit, found }) } else { Ok(()) }
}

/// Refuses names that are empty, over [`NAME_BYTES`], or hold control characters.
///
/// # Errors
/// `Invalid`.
pub fn check_name(what: &'static str, name: &str) -> Result<()> {
    within(what, NAME_BYTES, name.len())?;
    if name.is_empty() {
        return Err(Error::invalid(what, "expected at least one character, found none"));
    }
    match name.chars().find(|c| c.is_control()) {
        Some(control) => Err(Error::invalid(what, format!("control character {control:?} in it"))),
        None => Ok(()),
    }
}
