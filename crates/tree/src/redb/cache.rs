//! What was read, decoded and hashed once, kept in memory. Sound without any invalidation but erasure,
//! since an entry never changes and its number is never given to another one while a store is open.

use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quick_cache::sync::{Cache, DefaultLifecycle as Lifecycle};
use quick_cache::{UnitWeighter, Weighter, unsync};

use crate::context::{Item, Layout};
use crate::place::{Number, Place};
use crate::store::{Stored, Tail};

/// Places kept: about 200 bytes each.
const PLACES: usize = 65_536;
/// Ids whose numbers are kept, by their short hash: heads, and what is asked about again.
const IDS: usize = 8_192;
/// What an entry weighs beside its body, in bytes.
const ENTRY_OVERHEAD_BYTES: u64 = 400;
/// What an entry of a context weighs beside the entry: its place and its item.
const ITEM_BYTES: u64 = 400;
/// Contexts expected: a few for each session at work.
const CONTEXTS: usize = 64;

/// How many bytes are kept at most, about.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    pub(super) entry_bytes: u64,
    pub(super) context_bytes: u64,
}

/// Places, entries and contexts by number.
pub(super) struct Caches {
    limits: Limits,
    places: Cache<Number, Arc<Place>, UnitWeighter, Spread>,
    /// By the short hash of the id.
    numbers: Cache<u64, Number, UnitWeighter, Spread>,
    /// With their places: a walk for entries needs one look-up for both.
    entries: Cache<Number, Stored, ByBytes, Spread>,
    /// One shard: a context is large.
    contexts: Mutex<unsync::Cache<Number, Kept, ByBytes>>,
}

/// The context of a head, as it can go on.
pub(super) struct Kept {
    layout: Layout,
    /// What its entries weigh, were nothing else to hold them.
    bytes: u64,
}

impl Kept {
    pub(super) fn of(tail: Tail) -> Self {
        let parts = [tail.compaction.as_slice(), &tail.lifted, &tail.entries];
        let bytes = parts.iter().map(|part| weight(part)).sum();
        Self { layout: Layout::of(tail), bytes }
    }

    pub(super) fn extend(&mut self, later: Vec<Stored>) {
        self.bytes += weight(&later);
        self.layout.extend(later);
    }

    pub(super) fn items(&self) -> Arc<Vec<Item>> {
        Arc::clone(self.layout.items())
    }
}

fn weight(entries: &[Stored]) -> u64 {
    entries.iter().map(|stored| ITEM_BYTES + ByBytes.weight(&stored.place.number, stored)).sum()
}

/// Hashes numbers, which nobody from outside chooses: much cheaper than what guards against that.
#[derive(Clone, Default)]
pub(super) struct Spread;

pub(super) struct Spreader(u64);

impl BuildHasher for Spread {
    type Hasher = Spreader;

    fn build_hasher(&self) -> Spreader {
        Spreader(0)
    }
}

impl Hasher for Spreader {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // Both halves of a product with the golden ratio: low and high bits depend on all of the number.
        let product = u128::from(self.0 ^ number ^ 1 << 63) * 0x9E37_79B9_7F4A_7C15;
        #[allow(clippy::cast_possible_truncation, reason = "the lower half")]
        let low = product as u64;
        self.0 = low ^ (product >> 64) as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Number, Stored> for ByBytes {
    fn weight(&self, _: &Number, stored: &Stored) -> u64 {
        ENTRY_OVERHEAD_BYTES + stored.entry.body().map_or(0, |body| body.bytes.len() as u64)
    }
}

impl Weighter<Number, Kept> for ByBytes {
    fn weight(&self, _: &Number, kept: &Kept) -> u64 {
        kept.bytes.max(1)
    }
}

impl Caches {
    pub(super) fn new(limits: Limits) -> Self {
        let Limits { entry_bytes, context_bytes } = limits;
        let expected = usize::try_from(entry_bytes / 2_048).unwrap_or(usize::MAX);
        Self {
            limits,
            places: Cache::with(PLACES, PLACES as u64, UnitWeighter, Spread, Lifecycle::default()),
            numbers: Cache::with(IDS, IDS as u64, UnitWeighter, Spread, Lifecycle::default()),
            entries: Cache::with(expected, entry_bytes, ByBytes, Spread, Lifecycle::default()),
            contexts: Mutex::new(unsync::Cache::with_weighter(CONTEXTS, context_bytes, ByBytes)),
        }
    }

    /// The same with nothing in them.
    pub(super) fn emptied(&self) -> Self {
        Self::new(self.limits)
    }

    pub(super) fn place(&self, number: Number) -> Option<Arc<Place>> {
        self.places.get(&number)
    }

    /// The number of an entry with this short hash of its id, which others may have too.
    pub(super) fn number(&self, hash: u64) -> Option<Number> {
        self.numbers.get(&hash)
    }

    pub(super) fn keep_number(&self, hash: u64, number: Number) {
        self.numbers.insert(hash, number);
    }

    pub(super) fn stored(&self, number: Number) -> Option<Stored> {
        self.entries.get(&number)
    }

    pub(super) fn keep_place(&self, place: &Arc<Place>) {
        self.places.insert(place.number, Arc::clone(place));
    }

    pub(super) fn keep_entry(&self, stored: &Stored) {
        self.entries.insert(stored.place.number, stored.clone());
    }

    /// Keeps what was just appended: the next context needs no read for it.
    pub(super) fn keep(&self, stored: Stored) {
        self.keep_place(&stored.place);
        self.entries.insert(stored.place.number, stored);
    }

    /// The items of the context at a head.
    pub(super) fn context(&self, head: Number) -> Option<Arc<Vec<Item>>> {
        self.contexts().get(&head).map(Kept::items)
    }

    /// The context at a head, which its keeper gives up: it becomes that of a later one.
    pub(super) fn take_context(&self, head: Number) -> Option<Kept> {
        self.contexts().remove(&head).map(|(_, kept)| kept)
    }

    pub(super) fn keep_context(&self, head: Number, kept: Kept) {
        self.contexts().insert(head, kept);
    }

    fn contexts(&self) -> MutexGuard<'_, unsync::Cache<Number, Kept, ByBytes>> {
        self.contexts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Body, Kind};
    use crate::redb::rows::id_hash;
    use crate::redb::snapshot::Snapshot;
    use crate::session::Session;
    use crate::sources::Sources;
    use crate::store::{Expect, Store};
    use crate::{Id, Options, RedbStore};

    /// Bytes of each body.
    const BODY: usize = 4_000;

    async fn stored(entries: usize) -> Vec<Stored> {
        let store = Arc::new(RedbStore::in_memory(Options::new(Sources::fixed(1))).unwrap());
        let session = Session::new(Arc::clone(&store) as _, "one", Sources::fixed(2));
        let draft = |_| session.draft(Kind::User, Body::new("text", vec![b'x'; BODY]));
        session.append_all((0..entries).map(draft).collect(), Expect::Any).await.unwrap();
        store.scan(None, 0, entries).await.unwrap()
    }

    fn tail(entries: &[Stored]) -> Tail {
        Tail { compaction: None, lifted: Vec::new(), entries: entries.to_vec() }
    }

    fn caches(entry_bytes: u64, context_bytes: u64) -> Caches {
        Caches::new(Limits { entry_bytes, context_bytes })
    }

    #[tokio::test]
    async fn entries_are_kept_up_to_their_bytes_and_emptied_means_none() {
        let all = stored(100).await;
        let kept = |caches: &Caches| {
            all.iter().filter(|one| caches.stored(one.place.number).is_some()).count()
        };
        for (entry_bytes, least, most) in [(0, 0, 0), (40_000, 1, 9), (64 << 20, 100, 100)] {
            let caches = caches(entry_bytes, 0);
            for one in &all {
                caches.keep(one.clone());
            }
            assert!((least..=most).contains(&kept(&caches)), "{} of {entry_bytes}", kept(&caches));
            assert!(all.iter().all(|one| caches.place(one.place.number).is_some()));
            let emptied = caches.emptied();
            assert_eq!((kept(&emptied), emptied.place(0)), (0, None));
            emptied.keep_entry(&all[0]);
            assert_eq!(emptied.stored(0).is_some(), entry_bytes > 0, "the limits stay");
        }
    }

    #[tokio::test]
    async fn contexts_are_kept_up_to_their_bytes_with_what_they_were_extended_by() {
        let all = stored(60).await;
        let caches = caches(0, 100_000);
        for head in 0..20 {
            caches.keep_context(head, Kept::of(tail(&all[..8])));
        }
        let kept = (0..20).filter(|head| caches.context(*head).is_some()).count();
        assert!((1..=2).contains(&kept), "{kept} contexts of 38 kB");
        let mut grown = Kept::of(tail(&all[..1]));
        grown.extend(all[1..].to_vec());
        assert_eq!(grown.items().len(), 60);
        caches.keep_context(99, grown);
        assert!(caches.context(99).is_none(), "288 kB in 100 kB");
        caches.keep_context(98, Kept::of(tail(&all[..1])));
        assert_eq!(caches.take_context(98).map(|kept| kept.items().len()), Some(1));
        assert!(caches.take_context(98).is_none(), "who takes one has it alone");
    }

    #[tokio::test]
    async fn what_a_newer_state_found_is_none_of_an_older_one() {
        let store = Arc::new(RedbStore::in_memory(Options::new(Sources::fixed(1))).unwrap());
        let session = Session::new(Arc::clone(&store) as _, "one", Sources::fixed(2));
        let append = async || {
            let draft = session.draft(Kind::User, Body::new("text", "said"));
            session.append(draft, Expect::Any).await.unwrap().ids[0]
        };
        let one = append().await;
        let open = store.shared.readable().unwrap();
        let older = Snapshot::take(&open, open.caches()).unwrap();
        let two = append().await;
        let found = |id: Id| {
            let place = older.find(&id).ok().flatten();
            place.map(|place| place.number)
        };
        for _ in 0..2 {
            assert!(store.entries(&[two]).await.unwrap()[0].is_some());
            assert_eq!((found(one), found(two)), (Some(0), None));
        }
        assert!(open.caches().number(id_hash(&one)).is_some());
    }

    #[test]
    fn neighbours_are_hashed_apart_in_their_high_and_in_their_low_bits() {
        for shift in [0, 56] {
            let mut counts = [0; 256];
            for number in 0..65_536_u64 {
                let byte = Spread.hash_one(number) >> shift & 0xff;
                counts[usize::try_from(byte).unwrap()] += 1;
            }
            assert!(counts.iter().all(|count| (150..400).contains(count)), "{counts:?}");
        }
        let strings: std::collections::BTreeSet<u64> =
            ["a", "b", "ab", "ba", ""].iter().map(|text| Spread.hash_one(text)).collect();
        assert_eq!(strings.len(), 5);
    }
}
