//! What was read, decoded and hashed once, kept in memory. Sound without any invalidation but erasure,
//! since an entry never changes and its number is never given to another one while a store is open.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::entry::Entry;
use crate::place::{Number, Place};
use crate::store::Stored;

/// Places kept: about 200 bytes each.
const PLACES: usize = 65_536;
/// What an entry weighs beside its body, in bytes.
const ENTRY_OVERHEAD_BYTES: u64 = 400;

/// Places and entries by number.
pub(super) struct Caches {
    places: Cache<Number, Arc<Place>>,
    entries: Cache<Number, Arc<Entry>, ByBytes>,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Number, Arc<Entry>> for ByBytes {
    fn weight(&self, _: &Number, entry: &Arc<Entry>) -> u64 {
        ENTRY_OVERHEAD_BYTES + entry.body().map_or(0, |body| body.bytes.len() as u64)
    }
}

impl Caches {
    /// Caches that hold entries of about `entry_bytes` in all.
    pub(super) fn new(entry_bytes: u64) -> Self {
        let expected = usize::try_from(entry_bytes / 2_048).unwrap_or(usize::MAX);
        Self {
            places: Cache::new(PLACES),
            entries: Cache::with_weighter(expected, entry_bytes, ByBytes),
        }
    }

    pub(super) fn place(&self, number: Number) -> Option<Arc<Place>> {
        self.places.get(&number)
    }

    pub(super) fn entry(&self, number: Number) -> Option<Arc<Entry>> {
        self.entries.get(&number)
    }

    pub(super) fn keep_place(&self, place: &Arc<Place>) {
        self.places.insert(place.number, Arc::clone(place));
    }

    pub(super) fn keep_entry(&self, number: Number, entry: &Arc<Entry>) {
        self.entries.insert(number, Arc::clone(entry));
    }

    /// Keeps what was just appended: the next context needs no read for it.
    pub(super) fn keep(&self, stored: Stored) {
        self.entries.insert(stored.place.number, stored.entry);
        self.places.insert(stored.place.number, Arc::new(stored.place));
    }
}
