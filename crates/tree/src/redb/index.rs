//! From short hash to entry number. Random keys would dirty a page per entry in the hot transaction,
//! so new keys gather in memory and are merged into their redb tables in sorted slices, inside commits
//! that happen anyway. What is not merged yet is found in memory; after a crash it is read back from
//! the places of the entries from `Counters::indexed` on.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use redb::ReadableTable;

use super::fault::Fault;
use super::place_row;
use super::rows::{Counters, IndexKey, id_hash, index_key, number_in};
use super::tables::{ReadTables, Tables, WriteTables};
use crate::error::Result;
use crate::place::{Number, Place};

/// Entries that gather before a generation is merged, where nobody says otherwise.
pub(super) const GENERATION_ENTRIES: usize = 16_384;
/// The part of a generation that is merged in one commit: bounds what an append may wait for the merge.
const SLICES: usize = 16;
/// Keys merged for each entry appended since the last slice, so that a merge ends before the next
/// generation is full.
const KEYS_PER_ENTRY: usize = 4;

/// Which of the two indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Ids,
    Aliases,
}

/// Keys that gathered together.
#[derive(Default)]
struct Generation {
    ids: RwLock<BTreeSet<IndexKey>>,
    aliases: RwLock<BTreeSet<IndexKey>>,
}

impl Generation {
    fn read(&self, which: Which) -> RwLockReadGuard<'_, BTreeSet<IndexKey>> {
        let set = match which {
            Which::Ids => &self.ids,
            Which::Aliases => &self.aliases,
        };
        set.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys of both indexes for entries from `first` on.
    fn from(generations: &[Arc<Self>], first: Number) -> Self {
        let kept = |which| -> BTreeSet<IndexKey> {
            let is_kept = |key: &&IndexKey| number_in(key) >= first;
            let of = |generation: &Arc<Self>| -> Vec<IndexKey> {
                generation.read(which).iter().filter(is_kept).copied().collect()
            };
            generations.iter().flat_map(of).collect()
        };
        Self { ids: RwLock::new(kept(Which::Ids)), aliases: RwLock::new(kept(Which::Aliases)) }
    }

    fn insert(&self, place: &Place) {
        let id = index_key(id_hash(&place.id), place.number);
        self.ids.write().unwrap_or_else(PoisonError::into_inner).insert(id);
        if let Some(alias) = place.alias {
            let alias = index_key(alias, place.number);
            self.aliases.write().unwrap_or_else(PoisonError::into_inner).insert(alias);
        }
    }
}

/// The generations that are in memory: the one that gathers, and the one being merged.
#[derive(Clone)]
pub(super) struct View {
    generations: Vec<Arc<Generation>>,
    /// What others merged below this number was let go of.
    first: Number,
}

impl View {
    /// Keys of `which` from `from` to `to`, merged and unmerged, at most `limit` of each.
    pub(super) fn range(
        &self,
        which: Which,
        table: &impl ReadableTable<IndexKey, ()>,
        (from, to): (IndexKey, IndexKey),
        limit: usize,
    ) -> Result<Vec<IndexKey>, Fault> {
        let mut keys = BTreeSet::new();
        for generation in &self.generations {
            keys.extend(generation.read(which).range(from..=to).take(limit).copied());
        }
        for row in table.range(from..=to)?.take(limit) {
            keys.insert(row?.0.value());
        }
        Ok(keys.into_iter().take(limit).collect())
    }

    /// Numbers of the entries with this short hash: few, most often one or none.
    pub(super) fn numbers(
        &self,
        which: Which,
        table: &impl ReadableTable<IndexKey, ()>,
        hash: u64,
    ) -> Result<Vec<Number>, Fault> {
        let (from, to) = (index_key(hash, 0), index_key(hash, Number::MAX));
        let mut numbers = Vec::new();
        for generation in &self.generations {
            for key in generation.read(which).range(from..=to) {
                numbers.push(number_in(key));
            }
        }
        for row in table.range(from..=to)? {
            numbers.push(number_in(&row?.0.value()));
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }

    /// Whether an index row for this entry is in memory.
    pub(super) fn holds(&self, which: Which, key: &IndexKey) -> bool {
        self.generations.iter().any(|generation| generation.read(which).contains(key))
    }
}

/// The merge of one generation, between two slices.
struct Merge {
    generation: Arc<Generation>,
    which: Which,
    after: Bound<IndexKey>,
    /// `Counters::indexed` once it is done.
    indexed: Number,
}

/// The index as the writer holds it.
pub(super) struct Index {
    view: RwLock<View>,
    /// Keys of entries below this number are in memory or merged.
    known: Mutex<Number>,
}

/// The writer's place in the merging.
pub(super) struct Merging {
    /// Entries that gather before a generation is merged.
    after: usize,
    gathered: usize,
    /// Entries since the last slice.
    since_slice: usize,
    merge: Option<Merge>,
}

impl Index {
    /// Reads back what was not merged: the entries from `indexed` on.
    pub(super) fn recover(
        tables: &ReadTables,
        indexed: Number,
        after: usize,
    ) -> Result<(Self, Merging), Fault> {
        let view = View { generations: vec![Arc::default()], first: indexed };
        let index = Self { view: RwLock::new(view.clone()), known: Mutex::new(indexed) };
        let gathered = index.gather(&view, tables, indexed)?;
        Ok((index, Merging { after, gathered, since_slice: 0, merge: None }))
    }

    /// Reads keys of entries that are not known yet, which is nothing but at opening and after other processes
    /// appended; answers how many.
    fn gather<B, N, S, I>(
        &self,
        view: &View,
        tables: &Tables<B, N, S, I>,
        indexed: Number,
    ) -> Result<usize, Fault>
    where
        N: ReadableTable<u64, &'static [u8]>,
    {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut end, mut gathered) = (*known, 0);
        tables.places.visit(indexed.max(*known), |number, bytes| {
            // A damaged place costs its own entry, not the store; `verify` names it.
            if let (Ok(place), Some(live)) =
                (place_row::unpack(number, bytes), view.generations.first())
            {
                live.insert(&place);
            }
            end = number + 1;
            gathered += 1;
            Ok(true)
        })?;
        *known = end;
        Ok(gathered)
    }

    /// The generations as they are.
    pub(super) fn view(&self) -> View {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A state that `read` takes and the generations that go with it, taken together so that no merge falls
    /// between the two.
    pub(super) fn with_view(
        &self,
        read: impl FnOnce() -> Result<(ReadTables, Counters), Fault>,
    ) -> Result<(View, ReadTables, Counters), Fault> {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        let (tables, counters) = read()?;
        if *self.known.lock().unwrap_or_else(PoisonError::into_inner) < counters.entries {
            self.gather(&view, &tables, counters.indexed)?;
        }
        Ok((view.clone(), tables, counters))
    }

    /// Takes up what other processes appended and merged.
    pub(super) fn take_up(
        &self,
        merging: &mut Merging,
        tables: &WriteTables<'_>,
        counters: &Counters,
    ) -> Result<(), Fault> {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        self.gather(&view, tables, counters.indexed)?;
        drop(view);
        merging.merge.take_if(|merge| merge.indexed <= counters.indexed);
        if merging.merge.is_none() {
            let unmerged = counters.entries - counters.indexed;
            merging.gathered = usize::try_from(unmerged).unwrap_or(usize::MAX);
        }
        self.forget_merged(counters.indexed);
        Ok(())
    }

    /// Lets go of the keys that another process has merged: all states from now on have them in the tables. Older
    /// snapshots keep the generations they have.
    pub(super) fn forget_merged(&self, indexed: Number) {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        if view.first < indexed {
            let kept = Generation::from(&view.generations, indexed);
            *view = View { generations: vec![Arc::new(kept)], first: indexed };
        }
    }

    /// Adds an entry that is about to be committed. Readers ignore numbers their snapshot lacks.
    pub(super) fn insert(&self, merging: &mut Merging, place: &Place) {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = view.generations.first() {
            live.insert(place);
        }
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = place.number + 1;
        merging.gathered += 1;
        merging.since_slice += 1;
    }

    /// Merges a slice inside a commit that makes the store hold `entries`; answers how far the index reaches
    /// once that is known.
    pub(super) fn merge_slice(
        &self,
        merging: &mut Merging,
        tables: &mut WriteTables<'_>,
        entries: Number,
    ) -> Result<Option<Number>, Fault> {
        let appended = std::mem::take(&mut merging.since_slice);
        if merging.merge.is_none() && merging.gathered >= merging.after {
            merging.merge = self.freeze(entries);
            merging.gathered = 0;
        }
        let least = (merging.after / SLICES).max(1);
        let Some(merge) = &mut merging.merge else {
            return Ok(None);
        };
        let table = match merge.which {
            Which::Ids => &mut tables.ids,
            Which::Aliases => &mut tables.aliases,
        };
        let keys = merge.generation.read(merge.which);
        let mut rest = keys.range((merge.after, Bound::Unbounded));
        for key in rest.by_ref().take(least.max(appended.saturating_mul(KEYS_PER_ENTRY))) {
            table.insert(key, ())?;
            merge.after = Bound::Excluded(*key);
        }
        if rest.next().is_some() {
            return Ok(None);
        }
        drop(keys);
        if merge.which == Which::Ids {
            merge.which = Which::Aliases;
            merge.after = Bound::Unbounded;
            return Ok(None);
        }
        Ok(Some(merge.indexed))
    }

    /// Forgets the generation whose last slice is now durable.
    pub(super) fn merged(&self, merging: &mut Merging) {
        merging.merge = None;
        self.view.write().unwrap_or_else(PoisonError::into_inner).generations.truncate(1);
    }

    fn freeze(&self, entries: Number) -> Option<Merge> {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        view.generations.insert(0, Arc::default());
        let generation = view.generations.get(1).cloned()?;
        let after = Bound::Unbounded;
        Some(Merge { generation, which: Which::Ids, after, indexed: entries })
    }
}

impl Merging {
    /// Whether a merge is under way, or due.
    pub(super) fn is_due(&self) -> bool {
        self.merge.is_some() || self.gathered >= self.after
    }
}
