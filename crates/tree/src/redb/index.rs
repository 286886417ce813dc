//! From short hash to entry number. Random keys would dirty a page per entry in the hot transaction,
//! so new keys gather in memory and are merged into their redb tables in sorted slices, inside commits
//! that happen anyway. What is not merged yet is found in memory; after a crash it is read back from
//! the places of the entries from `Counters::indexed` on.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use super::cache::Spread;
use super::fault::Fault;
use super::key_table::KeyTable;
use super::lazy::Transaction;
use super::place_row;
use super::rows::{Counters, IndexKey, id_hash, index_key, number_in};
use super::tables::{ReadTables, Tables, WriteTables};
use crate::error::Result;
use crate::place::{Number, Place};

/// Entries that gather before a generation is merged, where nobody says otherwise.
pub(super) const GENERATION_ENTRIES: usize = 65_536;
/// The part of a generation that is merged in one commit: bounds what an append may wait for the merge.
const SLICES: usize = 64;
/// The part that is merged while nobody waits, in so many commits, where at least that much gathered: opening reads it
/// back otherwise.
const PAUSE_PART: usize = 4;
const PAUSE_SLICES: usize = 16;
/// Keys merged for each entry appended since the last slice, so that a merge ends before the next
/// generation is full.
const KEYS_PER_ENTRY: usize = 4;

/// Which of the two indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Ids,
    Aliases,
}

/// Numbers by short hash, of which each has one most often.
#[derive(Default)]
struct Keys {
    first: HashMap<u64, Number, Spread>,
    /// What else has the hash of one in `first`.
    more: BTreeSet<(u64, Number)>,
}

impl Keys {
    fn insert(&mut self, hash: u64, number: Number) {
        let first = *self.first.entry(hash).or_insert(number);
        if first != number {
            self.more.insert((hash, number));
        }
    }

    fn numbers(&self, hash: u64) -> impl Iterator<Item = Number> {
        let more = self.more.range((hash, 0)..=(hash, Number::MAX)).map(|(_, number)| *number);
        self.first.get(&hash).copied().into_iter().chain(more)
    }

    /// In no order.
    fn iter(&self) -> impl Iterator<Item = (u64, Number)> {
        self.first.iter().map(|(hash, number)| (*hash, *number)).chain(self.more.iter().copied())
    }

    /// As rows, in order.
    fn sorted(&self) -> Vec<IndexKey> {
        let mut keys: Vec<_> = self.iter().collect();
        keys.sort_unstable();
        keys.into_iter().map(|(hash, number)| index_key(hash, number)).collect()
    }
}

/// Keys that gathered together.
#[derive(Default)]
struct Generation {
    ids: RwLock<Keys>,
    aliases: RwLock<Keys>,
}

impl Generation {
    fn read(&self, which: Which) -> RwLockReadGuard<'_, Keys> {
        let keys = match which {
            Which::Ids => &self.ids,
            Which::Aliases => &self.aliases,
        };
        keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The keys of both indexes for entries from `first` on.
    fn from(generations: &[Arc<Self>], first: Number) -> Self {
        let kept = |which| {
            let mut kept = Keys::default();
            for generation in generations {
                let keys = generation.read(which);
                for (hash, number) in keys.iter().filter(|(_, number)| *number >= first) {
                    kept.insert(hash, number);
                }
            }
            RwLock::new(kept)
        };
        Self { ids: kept(Which::Ids), aliases: kept(Which::Aliases) }
    }

    fn insert(&self, place: &Place) {
        let mut ids = self.ids.write().unwrap_or_else(PoisonError::into_inner);
        ids.insert(id_hash(&place.id), place.number);
        drop(ids);
        if let Some(alias) = place.alias {
            let mut aliases = self.aliases.write().unwrap_or_else(PoisonError::into_inner);
            aliases.insert(alias, place.number);
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
    /// Keys of `which` from `from` to `to`, merged and unmerged, at most `limit`. Looks at all that are unmerged.
    pub(super) fn range(
        &self,
        which: Which,
        table: &KeyTable<impl Transaction>,
        (from, to): (IndexKey, IndexKey),
        limit: usize,
    ) -> Result<Vec<IndexKey>, Fault> {
        let mut keys = BTreeSet::new();
        for generation in &self.generations {
            let keys_of = generation.read(which);
            let found = keys_of.iter().map(|(hash, number)| index_key(hash, number));
            keys.extend(found.filter(|key| (from..=to).contains(key)));
        }
        keys.extend(table.range(from, to, limit)?);
        Ok(keys.into_iter().take(limit).collect())
    }

    /// Numbers of the entries with this short hash: few, most often one or none.
    pub(super) fn numbers(
        &self,
        which: Which,
        table: &KeyTable<impl Transaction>,
        hash: u64,
    ) -> Result<Vec<Number>, Fault> {
        let mut numbers = Vec::new();
        for generation in &self.generations {
            numbers.extend(generation.read(which).numbers(hash));
        }
        let (from, to) = (index_key(hash, 0), index_key(hash, Number::MAX));
        numbers.extend(table.range(from, to, usize::MAX)?.iter().map(number_in));
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }

    /// Whether this entry is in memory under this short hash.
    pub(super) fn holds(&self, which: Which, hash: u64, number: Number) -> bool {
        let is_in = |generation: &Arc<Generation>| {
            generation.read(which).numbers(hash).any(|held| held == number)
        };
        self.generations.iter().any(is_in)
    }
}

/// The merge of one generation, between two slices.
struct Merge {
    /// Keys that are left.
    ids: std::vec::IntoIter<IndexKey>,
    aliases: std::vec::IntoIter<IndexKey>,
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
    /// Whether what gathered is merged before it is a generation.
    is_early: bool,
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
        Ok((index, Merging { after, gathered, since_slice: 0, is_early: false, merge: None }))
    }

    /// Reads keys of entries that are not known yet, which is nothing but at opening and after other processes
    /// appended; answers how many.
    fn gather(
        &self,
        view: &View,
        tables: &Tables<impl Transaction>,
        indexed: Number,
    ) -> Result<usize, Fault> {
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
        if merging.merge.is_none() && merging.is_due() {
            merging.merge = self.freeze(entries);
            (merging.gathered, merging.is_early) = (0, false);
        }
        let least = (merging.after / SLICES).max(1);
        let Some(merge) = &mut merging.merge else {
            return Ok(None);
        };
        let slice = least.max(appended.saturating_mul(KEYS_PER_ENTRY));
        let (table, keys) = if merge.ids.len() > 0 {
            (&mut tables.ids, &mut merge.ids)
        } else {
            (&mut tables.aliases, &mut merge.aliases)
        };
        let slice = slice.min(keys.len());
        table.merge(&keys.as_slice()[..slice])?;
        keys.by_ref().take(slice).for_each(drop);
        let is_done = merge.ids.len() + merge.aliases.len() == 0;
        Ok(is_done.then_some(merge.indexed))
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
        drop(view);
        let sorted = |which| generation.read(which).sorted();
        let (ids, aliases) = (sorted(Which::Ids), sorted(Which::Aliases));
        let (ids, aliases) = (ids.into_iter(), aliases.into_iter());
        Some(Merge { ids, aliases, indexed: entries })
    }
}

impl Merging {
    /// Whether a merge is under way, or due.
    pub(super) fn is_due(&self) -> bool {
        self.merge.is_some() || self.is_early || self.gathered >= self.after
    }

    /// Whether so much gathered that a pause is worth a merge.
    pub(super) fn is_worth_a_pause(&self) -> bool {
        self.gathered >= self.after.div_ceil(PAUSE_PART)
    }

    /// Says that nobody waits for the next slice: it is as large as so many appends would make it, and the first of a
    /// merge that is worth it.
    pub(super) fn pauses(&mut self) {
        self.is_early |= self.merge.is_none() && self.is_worth_a_pause();
        self.since_slice = self.since_slice.max(self.after / PAUSE_SLICES / KEYS_PER_ENTRY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_with_one_short_hash_are_all_found_and_become_rows_in_order() {
        let mut keys = Keys::default();
        for (hash, number) in [(7, 3), (7, 1), (9, 2), (7, 3), (7, 1), (1, 4)] {
            keys.insert(hash, number);
        }
        let numbers = |hash| keys.numbers(hash).collect::<BTreeSet<_>>();
        assert_eq!([numbers(7), numbers(9), numbers(8)], [[1, 3].into(), [2].into(), [].into()]);
        let rows = [(1, 4), (7, 1), (7, 3), (9, 2)].map(|(hash, number)| index_key(hash, number));
        assert_eq!(keys.sorted(), rows);
    }
}
