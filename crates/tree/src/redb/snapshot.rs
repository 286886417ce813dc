//! Reads: one consistent state per call, never waiting for the writer. Every entry that leaves here
//! was hashed again.

use std::ops::Range;
use std::sync::Arc;

use redb::ReadableDatabase;

use super::Open;
use super::cache::Caches;
use super::fault::Fault;
use super::index::{View, Which};
use super::keyring::Keyring;
use super::roll::Reading;
use super::shrink;
use super::tables::{Counters, ReadTables, SessionRow, id_hash, index_key, number_in, read_place};
use crate::ancestry::{self, Places};
use crate::derive::{self, Above};
use crate::encode;
use crate::entry::Envelope;
use crate::error::{Error, Result};
use crate::id::{Id, Prefix};
use crate::limits;
use crate::place::{Cut, Measure, Number, Place};
use crate::store::{Branch, JournalRow, Memo, Seek, SessionInfo, Stats, Stored, Tail};

/// One state of the store.
pub(super) struct Snapshot {
    pub(super) tables: ReadTables,
    pub(super) counters: Counters,
    pub(super) view: View,
    caches: Arc<Caches>,
    pub(super) keyring: Arc<Keyring>,
}

impl Places for Snapshot {
    fn place(&self, number: Number) -> Result<Arc<Place>> {
        Ok(self.place_at(number)?)
    }
}

impl Above for Snapshot {
    fn envelope(&self, number: Number) -> Result<Envelope> {
        self.tables.frame_at(number)?.envelope()
    }

    fn number_of(&self, id: &Id) -> Result<Number> {
        Ok(self.existing(id)?.number)
    }
}

impl Snapshot {
    /// The newest state, read through `caches`.
    pub(super) fn take(open: &Open, caches: Arc<Caches>) -> Result<Self, Fault> {
        let database = open.database()?;
        let (view, txn) = open.index.with_view(|| database.begin_read());
        let tables = ReadTables::open(&txn?)?;
        let counters = tables.counters()?;
        let keyring = Arc::clone(&open.keyring);
        Ok(Self { tables, counters, view, caches, keyring })
    }

    fn place_at(&self, number: Number) -> Result<Arc<Place>, Fault> {
        if let Some(place) = self.caches.place(number) {
            return Ok(place);
        }
        let place = Arc::new(self.tables.place_at(number)?);
        self.caches.keep_place(&place);
        Ok(place)
    }

    /// The place of an entry, if it is there.
    pub(super) fn find(&self, id: &Id) -> Result<Option<Arc<Place>>, Fault> {
        for number in self.view.numbers(Which::Ids, &self.tables.ids, id_hash(id))? {
            if number < self.counters.entries {
                let place = self.place_at(number)?;
                if place.id == *id {
                    return Ok(Some(place));
                }
            }
        }
        Ok(None)
    }

    fn existing(&self, id: &Id) -> Result<Arc<Place>, Fault> {
        Ok(self.find(id)?.ok_or_else(|| Error::no_entry(id))?)
    }

    /// The entries of these places, which go down in number for speed; answered in their order.
    fn stored(&self, places: &[Arc<Place>]) -> Result<Vec<Stored>, Fault> {
        let mut rows = Reading::new(&self.tables.entries);
        let mut read = |place: &Place| -> Result<_, Fault> {
            let missing = || Error::corrupt("entry", format!("{} is missing", place.number));
            let row = rows.get(place.number)?.ok_or_else(missing)?;
            let entry = encode::unframe(row, &place.id, shrink::expand)?;
            let entry = Arc::new(self.keyring.opened(&self.tables, entry)?);
            self.caches.keep_entry(place.number, &entry);
            Ok(entry)
        };
        let stored = |place: &Arc<Place>| {
            let entry = self.caches.entry(place.number).map_or_else(|| read(place), Ok)?;
            Ok(Stored { place: Place::clone(place), entry })
        };
        places.iter().map(stored).collect()
    }

    fn stored_at(&self, number: Number) -> Result<Stored, Fault> {
        let mut stored = self.stored(&[self.place_at(number)?])?;
        Ok(stored.pop().ok_or_else(|| Error::corrupt("entry", format!("{number} is missing")))?)
    }

    pub(super) fn entry(&self, id: &Id) -> Result<Option<Stored>, Fault> {
        self.find(id)?.map(|place| self.stored_at(place.number)).transpose()
    }

    pub(super) fn with_prefix(&self, prefix: &Prefix, limit: usize) -> Result<Vec<Id>, Fault> {
        let (low, high) = (prefix.lowest(), prefix.highest());
        let bounds = (index_key(id_hash(&low), 0), index_key(id_hash(&high), Number::MAX));
        let limit = limit.min(limits::PAGE);
        let mut ids = Vec::new();
        for key in self.view.range(Which::Ids, &self.tables.ids, bounds, limit)? {
            let number = number_in(&key)?;
            if number < self.counters.entries {
                ids.push(self.place_at(number)?.id);
            }
        }
        ids.retain(|id| prefix.matches(id));
        ids.sort_unstable();
        Ok(ids)
    }

    pub(super) fn with_alias(&self, session: &str, alias: &str) -> Result<Option<Id>, Fault> {
        let tree = self.session_row(session)?.tree;
        let hash = derive::alias_hash(tree, alias);
        for number in self.view.numbers(Which::Aliases, &self.tables.aliases, hash)? {
            if number < self.counters.entries {
                let envelope = self.tables.frame_at(number)?.envelope()?;
                if envelope.alias.as_deref() == Some(alias) {
                    return Ok(Some(self.place_at(number)?.id));
                }
            }
        }
        Ok(None)
    }

    pub(super) fn memo(&self, session: &str, name: &str) -> Result<Memo, Fault> {
        self.tables.memo(self.session_row(session)?.number, name)
    }

    pub(super) fn measure(&self, head: &Id) -> Result<Measure, Fault> {
        let head = self.existing(head)?;
        let compaction = head.compaction.map(|number| self.place_at(number)).transpose()?;
        Ok(Measure::new(Place::clone(&head), compaction.as_deref().cloned()))
    }

    pub(super) fn seek(&self, of: &Id, questions: &[Seek]) -> Result<Vec<Option<Place>>, Fault> {
        let of = self.existing(of)?;
        let resolve = |id: &Id| self.existing(id).map_err(Error::from);
        let answer = |question| {
            let found = ancestry::seek(self, &of, question, resolve)?;
            Ok(found.as_deref().cloned())
        };
        Ok(questions.iter().map(answer).collect::<Result<_>>()?)
    }

    pub(super) fn places(&self, head: &Id, depths: Range<u64>) -> Result<Vec<Place>, Fault> {
        let downward = self.downward(head, depths)?;
        Ok(downward.iter().rev().map(|place| Place::clone(place)).collect())
    }

    pub(super) fn path(&self, head: &Id, depths: Range<u64>) -> Result<Vec<Stored>, Fault> {
        self.run(&self.downward(head, depths)?)
    }

    /// The entries of a part of a path, root side first. Each says itself, under its hash, what its
    /// parent is.
    fn run(&self, downward: &[Arc<Place>]) -> Result<Vec<Stored>, Fault> {
        let mut run = self.stored(downward)?;
        run.reverse();
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
    fn downward(&self, head: &Id, depths: Range<u64>) -> Result<Vec<Arc<Place>>, Fault> {
        let end = depths.end.min(depths.start.saturating_add(limits::PAGE as u64));
        let head = self.existing(head)?;
        let end = end.min(head.depth + 1);
        if end <= depths.start {
            return Ok(Vec::new());
        }
        match ancestry::at_depth(self, &head, end - 1)? {
            Some(lowest) => self.up_to(lowest, depths.start),
            None => Ok(Vec::new()),
        }
    }

    /// The path from `lowest` up to depth `top`, both inclusive, lowest first.
    fn up_to(&self, lowest: Arc<Place>, top: u64) -> Result<Vec<Arc<Place>>, Fault> {
        let mut rows = Reading::new(&self.tables.places);
        let mut read = |number| -> Result<_, Fault> {
            let missing = || Error::corrupt("place", format!("{number} is missing"));
            let row = rows.get(number)?.ok_or_else(missing)?;
            let place = Arc::new(read_place(number, row)?);
            self.caches.keep_place(&place);
            Ok(place)
        };
        let mut run = vec![lowest];
        while let Some(place) = run.last()
            && place.depth > top
            && let Some(number) = place.parent
        {
            let parent = self.caches.place(number).map_or_else(|| read(number), Ok)?;
            if parent.depth >= place.depth {
                let detail = format!("parent of entry {} leads down", place.number);
                return Err(Error::corrupt("place", detail).into());
            }
            run.push(parent);
        }
        Ok(run)
    }

    pub(super) fn preview(&self, head: &Id, first_kept: Option<&Id>) -> Result<Cut, Fault> {
        let head = self.existing(head)?;
        let target = first_kept.map(|id| self.existing(id)).transpose()?;
        Ok(derive::cut(self, Some(&head), self.counters.entries, target.as_deref())?)
    }

    pub(super) fn tail(&self, head: &Id) -> Result<Tail, Fault> {
        let head = self.existing(head)?;
        let compaction = head.compaction.map(|number| self.stored_at(number)).transpose()?;
        let cut = compaction.as_ref().and_then(|stored| stored.place.cut.clone());
        let (top, lifted) = cut.map_or((0, vec![]), |cut| (cut.first_kept_depth, cut.lifted));
        let places = lifted.iter().rev().map(|number| self.place_at(*number));
        let mut lifted = self.stored(&places.collect::<Result<Vec<_>, _>>()?)?;
        lifted.reverse();
        let entries =
            if head.depth < top { Vec::new() } else { self.run(&self.up_to(head, top)?)? };
        Ok(Tail { compaction, lifted, entries })
    }

    fn session_row(&self, name: &str) -> Result<SessionRow, Fault> {
        let row = self.tables.session_named(name)?;
        let missing = || Error::NotFound { what: "session", name: name.to_owned() };
        Ok(row.ok_or_else(missing)?)
    }

    fn info(&self, row: SessionRow) -> Result<SessionInfo, Fault> {
        Ok(SessionInfo {
            head: self.id_of(row.head)?,
            name: row.name,
            number: row.number,
            tree: row.tree,
            active: row.active,
            entries: row.entries,
            branches: row.branches,
            journal: row.last_journal,
            created_ms: row.created_ms,
            changed_ms: row.changed_ms,
        })
    }

    fn id_of(&self, number: Option<Number>) -> Result<Option<Id>, Fault> {
        number.map(|number| self.place_at(number).map(|place| place.id)).transpose()
    }

    pub(super) fn session(&self, name: &str) -> Result<SessionInfo, Fault> {
        self.info(self.session_row(name)?)
    }

    pub(super) fn sessions(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<SessionInfo>, Fault> {
        // The first name that may follow: names hold no NUL.
        let from = after.map_or_else(Vec::new, |name| [name.as_bytes(), &[0]].concat());
        let rows = self.tables.names.range(from.as_slice()..)?.take(limit.min(limits::PAGE));
        rows.map(|row| self.info(self.tables.session_at(row?.1.value())?)).collect()
    }

    pub(super) fn branches(
        &self,
        session: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Branch>, Fault> {
        let row = self.session_row(session)?;
        // The first name that may follow: names hold no NUL.
        let from = after.map_or_else(String::new, |name| format!("{name}\0"));
        let branches = self.tables.branches(&row, &from, limit.min(limits::PAGE))?;
        let branch = |(name, head): (String, Option<Number>)| {
            Ok(Branch { active: name == row.active, head: self.id_of(head)?, name })
        };
        branches.into_iter().map(branch).collect()
    }

    pub(super) fn scan(
        &self,
        session: Option<&str>,
        from: Number,
        limit: usize,
    ) -> Result<Vec<Stored>, Fault> {
        let row = session.map(|name| self.session_row(name)).transpose()?;
        let (first, last) = match &row {
            Some(row) => match (row.first_entry, row.last_entry) {
                (Some(first), Some(last)) => (first.max(from), last),
                _ => return Ok(Vec::new()),
            },
            None => (from, Number::MAX),
        };
        let mut places = Vec::new();
        if first > last {
            return Ok(Vec::new());
        }
        let limit = limit.min(limits::PAGE);
        self.tables.places.visit(first, |number, bytes| {
            if number > last || places.len() >= limit {
                return Ok(false);
            }
            let place = read_place(number, bytes)?;
            if row.as_ref().is_none_or(|row| row.number == place.session) {
                places.push(Arc::new(place));
            }
            Ok(true)
        })?;
        places.reverse();
        let mut found = self.stored(&places)?;
        found.reverse();
        Ok(found)
    }

    pub(super) fn journal(&self, from: u64, limit: usize) -> Result<Vec<JournalRow>, Fault> {
        let mut rows = Vec::new();
        self.tables.journal.visit(from, |_, bytes| {
            if rows.len() < limit.min(limits::PAGE) {
                rows.push(encode::unpack("journal", bytes)?);
                return Ok(true);
            }
            Ok(false)
        })?;
        Ok(rows)
    }

    pub(super) fn stats(&self) -> Stats {
        Stats {
            entries: self.counters.entries,
            sessions: self.counters.sessions,
            journal_rows: self.counters.journal_rows,
            stored_bytes: self.counters.stored_bytes,
            file_bytes: 0,
            unmerged: self.counters.entries - self.counters.indexed,
        }
    }
}
