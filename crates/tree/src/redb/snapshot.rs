//! Reads: one consistent state per call. Every entry that leaves here
//! was hashed since it was read. What goes along a path is in [`walk`](super::walk).

use std::sync::Arc;

use redb::ReadableDatabase;

use super::Open;
use super::cache::{Caches, Limits};
use super::fault::Fault;
use super::index::{View, Which};
use super::keyring::Keyring;
use super::place_row;
use super::rows::{Counters, SessionRow, id_hash, index_key, number_in};
use super::tables::ReadTables;
use crate::ancestry::{self, Places};
use crate::derive::{self, Above};
use crate::encode;
use crate::entry::Envelope;
use crate::error::{Error, Result};
use crate::id::{Id, Prefix};
use crate::limits;
use crate::place::{Cut, Measure, Number, Place};
use crate::store::{Branch, JournalRow, Memo, Seek, SessionInfo, Stats, Stored};

/// One state of the store.
pub(super) struct Snapshot {
    pub(super) tables: ReadTables,
    pub(super) counters: Counters,
    pub(super) view: View,
    pub(super) caches: Arc<Caches>,
    pub(super) keyring: Arc<Keyring>,
}

impl Places for Snapshot {
    fn place(&self, number: Number) -> Result<Arc<Place>> {
        Ok(self.place_at(number)?)
    }
}

impl Above for Snapshot {
    fn envelope(&self, number: Number) -> Result<Envelope> {
        Ok(self.tables.envelope_at(number)?)
    }

    fn number_of(&self, id: &Id) -> Result<Number> {
        Ok(self.existing(id)?.number)
    }
}

impl Snapshot {
    /// The newest state of a store that others change too.
    pub(super) fn take_shared(open: &Open) -> Result<Self, Fault> {
        let mut snapshot = Self::take(open, open.caches())?;
        let is_newest = open.take_up_erasures(&snapshot.tables, &snapshot.counters)?;
        open.index.forget_merged(snapshot.counters.indexed);
        snapshot.caches =
            if is_newest { open.caches() } else { Arc::new(Caches::new(Limits::default())) };
        Ok(snapshot)
    }

    /// The newest state, read through `caches`.
    pub(super) fn take(open: &Open, caches: Arc<Caches>) -> Result<Self, Fault> {
        let database = open.database()?;
        let (view, tables, counters) = open.index.with_view(|| {
            let tables = ReadTables::open(database.begin_read()?)?;
            let counters = tables.counters()?;
            Ok((tables, counters))
        })?;
        let keyring = Arc::clone(&open.keyring);
        Ok(Self { tables, counters, view, caches, keyring })
    }

    pub(super) fn place_at(&self, number: Number) -> Result<Arc<Place>, Fault> {
        if let Some(place) = self.caches.place(number) {
            return Ok(place);
        }
        let place = Arc::new(self.tables.place_at(number)?);
        self.caches.keep_place(&place);
        Ok(place)
    }

    /// The place of an entry, if it is there.
    pub(super) fn find(&self, id: &Id) -> Result<Option<Arc<Place>>, Fault> {
        let hash = id_hash(id);
        let is_it = |number| -> Result<_, Fault> {
            // Not of a state that is newer than this one.
            let place =
                (number < self.counters.entries).then(|| self.place_at(number)).transpose()?;
            Ok(place.filter(|place| place.id == *id))
        };
        if let Some(place) = self.caches.number(hash).map(is_it).transpose()?.flatten() {
            return Ok(Some(place));
        }
        for number in self.view.numbers(Which::Ids, &self.tables.ids, hash)? {
            if let Some(place) = is_it(number)? {
                self.caches.keep_number(hash, number);
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    pub(super) fn existing(&self, id: &Id) -> Result<Arc<Place>, Fault> {
        Ok(self.find(id)?.ok_or_else(|| Error::no_entry(id))?)
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
            let number = number_in(&key);
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
                let envelope = self.tables.envelope_at(number)?;
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

    pub(super) fn preview(&self, head: &Id, first_kept: Option<&Id>) -> Result<Cut, Fault> {
        let head = self.existing(head)?;
        let target = first_kept.map(|id| self.existing(id)).transpose()?;
        Ok(derive::cut(self, Some(&head), self.counters.entries, target.as_deref())?)
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
        let rows = self.tables.names.range(from.as_slice()..)?;
        let rows = rows.take(limit.min(limits::PAGE));
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
        let mut steps = Vec::new();
        if first > last {
            return Ok(Vec::new());
        }
        let limit = limit.min(limits::PAGE);
        self.tables.places.visit(first, |number, bytes| {
            if number > last || steps.len() >= limit {
                return Ok(false);
            }
            let place = place_row::unpack(number, bytes)?;
            if row.as_ref().is_none_or(|row| row.number == place.session) {
                steps.push(self.step(Arc::new(place)));
            }
            Ok(true)
        })?;
        steps.reverse();
        self.stored(steps)
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
