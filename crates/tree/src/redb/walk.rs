//! Reads of what lies on a path: up its places, then down its entries, each hashed unless that was done
//! before. Contexts are made here, or go on from one that is kept.

use std::ops::Range;
use std::sync::Arc;

use super::cache::Kept;
use super::fault::Fault;
use super::place_row;
use super::roll::Reading;
use super::shrink;
use super::snapshot::Snapshot;
use crate::ancestry;
use crate::context::Context;
use crate::encode;
use crate::entry::Entry;
use crate::error::Error;
use crate::id::Id;
use crate::limits;
use crate::place::{Number, Place};
use crate::store::{Stored, Tail};

/// Entries that a context which is kept is extended by at most; behind more it is built anew.
const EXTENDED_BY: usize = 64;

/// An entry on the way up a path, as far as it is known.
pub(super) struct Step {
    place: Arc<Place>,
    /// Where it is in memory.
    entry: Option<Arc<Entry>>,
}

/// What a walk is for.
#[derive(Clone, Copy, PartialEq)]
enum Wanted {
    Places,
    Entries,
}

impl Snapshot {
    /// The entries of these steps, which go down in number; answered the other way round. They are read in the
    /// order of the file, which the system reads ahead.
    pub(super) fn stored(&self, downward: Vec<Step>) -> Result<Vec<Stored>, Fault> {
        let mut rows = Reading::new(&self.tables.entries);
        let mut read = |place: &Place, above: Option<&Place>| -> Result<_, Fault> {
            let missing = || Error::corrupt("entry", format!("{} is missing", place.number));
            let row = rows.get(place.number)?.ok_or_else(missing)?;
            let before = || {
                let is_before = |above: &&Place| above.number + 1 == place.number;
                above.filter(is_before).map_or_else(|| self.id_before(place.number), |it| Ok(it.id))
            };
            let entry = encode::unframe(row, &place.id, before, shrink::expand)?;
            Ok(Arc::new(self.keyring.opened(&self.tables, entry)?))
        };
        let mut above: Option<Arc<Place>> = None;
        let stored = |Step { place, entry }| {
            let above = above.replace(Arc::clone(&place));
            if let Some(entry) = entry {
                return Ok(Stored { place, entry });
            }
            let entry = read(&place, above.as_deref())?;
            let stored = Stored { place, entry };
            self.caches.keep_entry(&stored);
            Ok(stored)
        };
        downward.into_iter().rev().map(stored).collect()
    }

    /// The id of the entry before that of this number, which follows it.
    fn id_before(&self, number: Number) -> Result<Id, Fault> {
        Ok(self.place_at(number.saturating_sub(1))?.id)
    }

    pub(super) fn stored_at(&self, number: Number) -> Result<Stored, Fault> {
        let mut stored = self.stored(vec![self.step(self.place_at(number)?)])?;
        Ok(stored.pop().ok_or_else(|| Error::corrupt("entry", format!("{number} is missing")))?)
    }

    /// A place with its entry, if that is in memory.
    pub(super) fn step(&self, place: Arc<Place>) -> Step {
        let entry = self.caches.stored(place.number).map(|stored| stored.entry);
        Step { place, entry }
    }

    pub(super) fn places(&self, head: &Id, depths: Range<u64>) -> Result<Vec<Place>, Fault> {
        let downward = self.downward(head, depths, Wanted::Places)?;
        Ok(downward.iter().rev().map(|step| Place::clone(&step.place)).collect())
    }

    pub(super) fn path(&self, head: &Id, depths: Range<u64>) -> Result<Vec<Stored>, Fault> {
        self.run(self.downward(head, depths, Wanted::Entries)?)
    }

    /// The entries of a part of a path, root side first. Each says itself, under its hash, what its
    /// parent is.
    fn run(&self, downward: Vec<Step>) -> Result<Vec<Stored>, Fault> {
        let run = self.stored(downward)?;
        for pair in run.windows(2) {
            if let [above, below] = pair
                && below.entry.envelope().parent != Some(above.entry.id())
            {
                let detail = format!("{} is not under its parent", below.entry.id());
                return Err(Error::corrupt("place", detail).into());
            }
        }
        Ok(run)
    }

    /// Places on the path to `head` with depths in `depths`, head side first, at most a page.
    fn downward(&self, head: &Id, depths: Range<u64>, wanted: Wanted) -> Result<Vec<Step>, Fault> {
        let end = depths.end.min(depths.start.saturating_add(limits::PAGE as u64));
        let head = self.existing(head)?;
        let end = end.min(head.depth + 1);
        if end <= depths.start {
            return Ok(Vec::new());
        }
        let lowest = ancestry::at_depth(self, &head, end - 1)?;
        lowest.map_or(Ok(Vec::new()), |lowest| self.up_to(lowest, depths.start, wanted))
    }

    /// The path from `lowest` up to depth `top`, both inclusive, lowest first.
    fn up_to(&self, lowest: Arc<Place>, top: u64, wanted: Wanted) -> Result<Vec<Step>, Fault> {
        let mut rows = Reading::new(&self.tables.places);
        let mut read = |number| -> Result<_, Fault> {
            let missing = || Error::corrupt("place", format!("{number} is missing"));
            let row = rows.get(number)?.ok_or_else(missing)?;
            let place = Arc::new(place_row::unpack(number, row)?);
            self.caches.keep_place(&place);
            Ok(place)
        };
        let mut run = vec![self.step(lowest)];
        while let Some(Step { place, .. }) = run.last()
            && place.depth > top
            && let Some(number) = place.parent
        {
            // One look-up for both, where both are there.
            let kept = if wanted == Wanted::Entries { self.caches.stored(number) } else { None };
            let parent = if let Some(Stored { place, entry }) = kept {
                Step { place, entry: Some(entry) }
            } else {
                let place = self.caches.place(number).map_or_else(|| read(number), Ok)?;
                Step { place, entry: None }
            };
            if parent.place.depth >= place.depth {
                let detail = format!("parent of entry {} leads down", place.number);
                return Err(Error::corrupt("place", detail).into());
            }
            run.push(parent);
        }
        Ok(run)
    }

    pub(super) fn tail(&self, head: &Id) -> Result<Tail, Fault> {
        let head = self.existing(head)?;
        let compaction = head.compaction.map(|number| self.stored_at(number)).transpose()?;
        let cut = compaction.as_ref().and_then(|stored| stored.place.cut.clone());
        let (top, lifted) = cut.map_or((0, vec![]), |cut| (cut.first_kept_depth, cut.lifted));
        let steps = lifted.iter().rev().map(|number| Ok(self.step(self.place_at(*number)?)));
        let lifted = self.stored(steps.collect::<Result<_, Fault>>()?)?;
        let entries = self.run(self.up_to(head, top, Wanted::Entries)?)?;
        Ok(Tail { compaction, lifted, entries })
    }

    /// The context at a head, from that of the nearest entry above it that is kept, or from its tail.
    pub(super) fn context(&self, head: &Id) -> Result<Context, Fault> {
        let place = self.existing(head)?;
        let items = if let Some(items) = self.caches.context(place.number) {
            items
        } else {
            let kept = match self.extended(&place)? {
                Some(kept) => kept,
                None => Kept::of(self.tail(head)?),
            };
            let items = kept.items();
            self.caches.keep_context(place.number, kept);
            items
        };
        Ok(Context { head: Some(place.id), tokens: self.measure(head)?.tokens, items })
    }

    fn extended(&self, head: &Arc<Place>) -> Result<Option<Kept>, Fault> {
        let mut later = vec![Arc::clone(head)];
        // A compaction begins another context.
        while let Some(last) = later.last()
            && last.compaction != Some(last.number)
            && let Some(parent) = last.parent
            && later.len() <= EXTENDED_BY
        {
            if let Some(mut kept) = self.caches.take_context(parent) {
                let above = self.place_at(parent)?;
                later.push(above);
                let run = self.run(later.into_iter().map(|place| self.step(place)).collect())?;
                kept.extend(run.into_iter().skip(1).collect());
                return Ok(Some(kept));
            }
            later.push(self.place_at(parent)?);
        }
        Ok(None)
    }
}
