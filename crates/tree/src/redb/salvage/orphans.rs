//! Frames that follow a parent which was not known where they were found: it came to light behind them, a place
//! tells it, or the place of that parent lies in front of their own, where no leaf leads to either any more.

use std::collections::{HashMap, HashSet};
use std::io;

use super::{Salvage, VAIN_FACTOR, told};
use crate::encode::{self, FRAME_VERSION, Mark, Told};
use crate::id::Id;
use crate::place::Number;
use crate::redb::leaf::Raw;

/// What is tried of each kind: one parent, unless the store was written on from an older state, and few places.
const TRIED: usize = 8;
/// Bytes before the mark of an entry in its place among which the id in the place before it is.
const NEAR_BYTES: u64 = 512;
/// Bytes hashed for each id that is tried.
const TRY_BYTES: u64 = 100;
/// Bytes that are swept for marks at a time.
const SWEPT_BYTES: usize = 1 << 20;

/// A frame that does not name its parent, where that was not known yet.
pub(in crate::redb) struct Orphan {
    pub(super) offset: u64,
    pub(super) len: usize,
    pub(super) number: Option<Number>,
    pub(super) mark: Mark,
}

/// Where marks are in the file.
type Occurrences = HashMap<Mark, Vec<u64>>;

/// Who may be whose parent.
#[derive(Default)]
struct Kinship {
    ids: HashMap<Number, Vec<Id>>,
    /// The parent's number, as a place of an entry with this mark tells it.
    parents: HashMap<Mark, Vec<Number>>,
}

impl Kinship {
    fn of(salvage: &Salvage) -> Self {
        let mut kinship = Self::default();
        for (id, placed) in &salvage.places {
            kinship.ids.entry(placed.number).or_default().push(*id);
            kinship.parents.entry(encode::mark(id)).or_default().extend(placed.parent);
        }
        for (id, found) in &salvage.entries {
            if let Some(number) = found.number.filter(|_| !salvage.places.contains_key(id)) {
                kinship.ids.entry(number).or_default().push(*id);
            }
        }
        kinship
    }

    fn parents_of(&self, orphan: &Orphan) -> impl Iterator<Item = Id> {
        let before = orphan.number.and_then(|number| number.checked_sub(1));
        let told = self.parents.get(&orphan.mark).into_iter().flatten().copied();
        let ids = before.into_iter().chain(told).filter_map(|number| self.ids.get(&number));
        ids.flatten().copied().take(TRIED)
    }
}

impl Salvage {
    /// Takes the entries of orphans, as far as their parents can be told.
    pub(super) fn adopt(&mut self, raw: &mut Raw, vain: &mut u64) -> io::Result<()> {
        if self.orphans.is_empty() {
            return Ok(());
        }
        let mut kinship = Kinship::of(self);
        self.adopt_by(raw, &mut kinship, &Occurrences::new(), vain)?;
        if !self.orphans.is_empty() {
            let marks = self.orphans.iter().map(|orphan| orphan.mark).collect();
            let occurrences = occurrences(raw, &marks)?;
            self.adopt_by(raw, &mut kinship, &occurrences, vain)?;
        }
        Ok(())
    }

    fn adopt_by(
        &mut self,
        raw: &mut Raw,
        kinship: &mut Kinship,
        occurrences: &Occurrences,
        vain: &mut u64,
    ) -> io::Result<()> {
        let mut orphans = std::mem::take(&mut self.orphans);
        // From the root side on: one that is adopted may be the parent of the next.
        orphans.sort_by_key(|orphan| (orphan.number.unwrap_or(Number::MAX), orphan.offset));
        let mut last = None;
        for orphan in orphans {
            let Orphan { offset, len, number, mark } = orphan;
            let Some(mut told) = told(raw.at(offset, len)?, len) else { continue };
            let above = last.filter(|(end, _)| *end == offset).map(|(_, id)| id);
            let near = above.into_iter().chain(kinship.parents_of(&orphan));
            let mut parent = { near }.find(|id| told.is_under(*id));
            if let (None, Some(at)) = (parent, occurrences.get(&mark)) {
                parent = parent_before(raw, at, &mut told, vain)?;
            }
            let Some(entry) = parent.and_then(|parent| told.under(Some(parent)).ok()) else {
                self.orphans.push(orphan);
                continue;
            };
            self.entry(&entry, offset, len, number);
            last = Some((offset + len as u64, entry.id()));
            if let Some(number) = number {
                kinship.ids.entry(number).or_default().push(entry.id());
            }
        }
        Ok(())
    }
}

/// The parent of a frame among the bytes before its mark, which is at these offsets.
fn parent_before(
    raw: &mut Raw,
    at: &[u64],
    told: &mut Told,
    vain: &mut u64,
) -> io::Result<Option<Id>> {
    for at in at.iter().take(TRIED) {
        if *vain >= raw.len().saturating_mul(VAIN_FACTOR) {
            break;
        }
        let bytes = raw.range(&(at.saturating_sub(NEAR_BYTES)..*at))?;
        // The frame itself is no place.
        if let [.., FRAME_VERSION, _] = bytes {
            continue;
        }
        let ids = bytes.windows(32).filter_map(|id| id.try_into().ok().map(Id::from_bytes));
        let found = { ids }.find(|id| told.is_under(*id));
        if found.is_some() {
            return Ok(found);
        }
        *vain += NEAR_BYTES * TRY_BYTES;
    }
    Ok(None)
}

fn occurrences(raw: &mut Raw, marks: &HashSet<Mark>) -> io::Result<Occurrences> {
    const MARK_BYTES: usize = size_of::<Mark>();
    // Nearly all of the file is passed over by the first two bytes.
    let first = |mark: &[u8]| usize::from(u16::from_le_bytes([mark[0], mark[1]]));
    let mut begins = vec![false; 1 << 16];
    for mark in marks {
        begins[first(mark)] = true;
    }
    let mut found = Occurrences::new();
    let mut offset = 0;
    while offset < raw.len() {
        let bytes = raw.at(offset, SWEPT_BYTES + MARK_BYTES - 1)?;
        for (at, window) in bytes.windows(MARK_BYTES).enumerate() {
            if begins[first(window)]
                && let Ok(mark) = window.try_into()
                && marks.contains(&mark)
            {
                found.entry(mark).or_default().push(offset + at as u64);
            }
        }
        offset += SWEPT_BYTES as u64;
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
