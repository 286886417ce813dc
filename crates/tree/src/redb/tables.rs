//! Every redb table, named and typed here alone, in a bundle for writing and one for reading. Keys
//! and values are numbers and plain bytes; what the bytes mean is `encode.rs`' business.

use std::sync::Arc;

use redb::{AccessGuard, ReadTransaction, TableDefinition, WriteTransaction};

use super::fault::Fault;
use super::key_table::KeyTable;
use super::lazy::{Lazy, Transaction};
use super::place_row;
use super::redo::{Does, Redo};
use super::roll::{Chunk, Roll, SHORT_BYTES, Tail, rows};
use super::rows::{
    COUNTERS_KEY, Counters, FORMAT, IDENTITY_KEY, Identity, IndexKey, KeyRows, MASTER_KEY,
    SCRUB_KEY, Scrubbed, SessionRow, State, head_key, head_value, memo_key, read_head, sealing_key,
    sealing_number, session_key,
};
use super::shrink;
use crate::encode;
use crate::entry::{Entry, Envelope};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::place::{Number, Place};
use crate::store::Memo;

/// What a table is called, and holds.
pub(super) type Definition<K, V> = TableDefinition<'static, K, V>;

const META: TableDefinition<&[u8], &[u8]> = TableDefinition::new("meta");
const ENTRIES: TableDefinition<u64, &[u8]> = TableDefinition::new("entries");
const PLACES: TableDefinition<u64, &[u8]> = TableDefinition::new("places");
const JOURNAL: TableDefinition<u64, &[u8]> = TableDefinition::new("journal");
const STATE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("state");
const NAMES: TableDefinition<&[u8], u64> = TableDefinition::new("session-names");
const IDS: TableDefinition<IndexKey, &[u8]> = TableDefinition::new("ids");
const ALIASES: TableDefinition<IndexKey, &[u8]> = TableDefinition::new("aliases");

/// All tables of one transaction.
pub(super) struct Tables<T: Transaction> {
    meta: Lazy<T, Bytes, Bytes>,
    pub(super) state: Lazy<T, Bytes, Bytes>,
    pub(super) ids: KeyTable<T>,
    pub(super) aliases: KeyTable<T>,
    pub(super) entries: Roll<T>,
    pub(super) places: Roll<T>,
    pub(super) journal: Roll<T>,
    pub(super) names: Lazy<T, Bytes, u64>,
    /// What was written through these tables.
    pub(super) redo: Redo,
}

type Bytes = &'static [u8];
/// The tables of a write transaction.
pub(super) type WriteTables<'t> = Tables<&'t WriteTransaction>;
/// The tables of a read transaction.
pub(super) type ReadTables = Tables<Arc<ReadTransaction>>;

/// What gathers for the tables of rows that are numbered.
#[derive(Debug, Default)]
pub(super) struct Tails {
    entries: Tail,
    places: Tail,
    journal: Tail,
}

/// What the store is. Asked before anything else is opened: whether the rest can be read depends on it.
pub(super) fn identity(txn: &ReadTransaction) -> Result<Identity, Fault> {
    let meta = txn.open_table(META)?;
    let row = meta.get(IDENTITY_KEY)?;
    let row = row.ok_or_else(|| Error::corrupt("meta", "the store's identity is missing"))?;
    // The format number comes first and alone decides whether the rest can be read.
    let format = row.value().first().copied().map_or(0, u32::from);
    if format != FORMAT {
        return Err(Error::Format { found: format, supported: FORMAT }.into());
    }
    Ok(encode::unpack("meta", row.value())?)
}

/// `None` in a store that is being made.
fn read_state<T: Transaction>(state: &Lazy<T, Bytes, Bytes>) -> Result<Option<State>, Fault> {
    let row = state.get(COUNTERS_KEY)?;
    Ok(row.map(|row| encode::unpack("counters", row.value())).transpose()?)
}

impl<'t> WriteTables<'t> {
    pub(super) fn open(txn: &'t WriteTransaction) -> Result<Self, Fault> {
        Self::stored(&txn)
    }

    /// Goes on in a transaction, with what gathered there so far.
    pub(super) fn resume(txn: &'t WriteTransaction, tails: Tails) -> Self {
        Self::of(&txn, tails)
    }

    /// Leaves a transaction that goes on: what was noted, and what gathered.
    pub(super) fn leave(self) -> (Redo, Tails) {
        let (entries, places, journal) = (self.entries.tail, self.places.tail, self.journal.tail);
        (self.redo, Tails { entries, places, journal })
    }

    pub(super) fn append_entry(&mut self, number: Number, frame: &[u8]) -> Result<(), Fault> {
        self.redo.note(Does::AppendsEntry, &number.to_le_bytes(), frame);
        self.entries.push(number, frame)
    }

    pub(super) fn append_place(&mut self, number: Number, row: &[u8]) -> Result<(), Fault> {
        self.redo.note(Does::AppendsPlace, &number.to_le_bytes(), row);
        self.places.push(number, row)
    }

    pub(super) fn append_journal(&mut self, number: u64, row: &[u8]) -> Result<(), Fault> {
        self.redo.note(Does::AppendsJournal, &number.to_le_bytes(), row);
        self.journal.push(number, row)
    }

    /// Puts another frame in the place of an entry's.
    pub(super) fn replace_entry(&mut self, number: Number, frame: &[u8]) -> Result<(), Fault> {
        self.redo.note(Does::ReplacesEntry, &number.to_le_bytes(), frame);
        // One that this transaction appended is not in the table yet.
        self.entries.settle()?;
        self.entries.replace(number, frame)
    }

    pub(super) fn put_state(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        self.redo.note(Does::PutsState, key, value);
        self.state.insert(key, value)?;
        Ok(())
    }

    pub(super) fn remove_state(&mut self, key: &[u8]) -> Result<(), Fault> {
        self.redo.note(Does::RemovesState, key, &[]);
        self.state.remove(key)?;
        Ok(())
    }

    pub(super) fn put_meta(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        self.redo.note(Does::PutsMeta, key, value);
        self.meta.insert(key, value)?;
        Ok(())
    }

    pub(super) fn put_name(&mut self, name: &[u8], session: u64) -> Result<(), Fault> {
        self.redo.note(Does::PutsName, name, &session.to_le_bytes());
        self.names.insert(name, session)?;
        Ok(())
    }

    pub(super) fn put_identity(&mut self, identity: &Identity) -> Result<(), Fault> {
        self.put_meta(IDENTITY_KEY, &encode::pack(identity)?)
    }

    pub(super) fn put_master(&mut self, wrapped: &[u8]) -> Result<(), Fault> {
        self.put_meta(MASTER_KEY, wrapped)
    }

    pub(super) fn put_key(&mut self, number: u64, wrapped: &[u8]) -> Result<(), Fault> {
        self.put_meta(&sealing_key(number), wrapped)
    }

    /// A number that no key of a session has or had.
    pub(super) fn next_key(&self) -> Result<u64, Fault> {
        let last = self.meta.range(..=sealing_key(u64::MAX).as_slice())?.next_back().transpose()?;
        Ok(last.and_then(|(key, _)| sealing_number(key.value())).map_or(0, |number| number + 1))
    }

    pub(super) fn put_scrubbed(&mut self, scrubbed: &Scrubbed) -> Result<(), Fault> {
        self.put_meta(SCRUB_KEY, &encode::pack(scrubbed)?)
    }

    /// Notes what the counters come to.
    pub(super) fn note_counters(&mut self, counters: &Counters) -> Result<()> {
        self.redo.note_packed(Does::Counts, &[], counters)
    }

    /// Puts the counters, and with them what was appended to the rolls: the last thing before a commit.
    pub(super) fn put_counters(&mut self, counters: &Counters) -> Result<(), Fault> {
        self.entries.settle()?;
        self.places.settle()?;
        self.journal.settle()?;
        let (places, journal) = (self.places.tail.clone(), self.journal.tail.clone());
        let state = State { counters: counters.clone(), places, journal };
        self.state.insert(COUNTERS_KEY, encode::pack(&state)?.as_slice())?;
        Ok(())
    }

    /// Puts the row of a branch that is not active.
    pub(super) fn put_head(
        &mut self,
        session: u64,
        branch: &str,
        head: Option<Number>,
    ) -> Result<(), Fault> {
        self.put_state(&head_key(session, branch), &head_value(head))
    }

    /// Takes the row of a branch away, if it has one.
    pub(super) fn remove_head(&mut self, session: u64, branch: &str) -> Result<(), Fault> {
        self.remove_state(&head_key(session, branch))
    }

    /// Notes what becomes of a session's row, which [`Tables::put_session`] writes later.
    pub(super) fn note_session(&mut self, row: &SessionRow) -> Result<()> {
        self.redo.note_packed(Does::PutsState, &session_key(row.number), row)
    }

    pub(super) fn put_session(&mut self, row: &SessionRow) -> Result<(), Fault> {
        self.state.insert(session_key(row.number).as_slice(), encode::pack(row)?.as_slice())?;
        Ok(())
    }
}

impl ReadTables {
    pub(super) fn open(txn: ReadTransaction) -> Result<Self, Fault> {
        Self::stored(&Arc::new(txn))
    }
}

impl<T: Transaction + Clone> Tables<T> {
    /// Those of a transaction that begins.
    fn stored(txn: &T) -> Result<Self, Fault> {
        let mut tables = Self::of(txn, Tails::default());
        let State { places, journal, .. } = read_state(&tables.state)?.unwrap_or_default();
        (tables.places.tail, tables.journal.tail) = (places, journal);
        Ok(tables)
    }

    fn of(txn: &T, tails: Tails) -> Self {
        let numbered = |definition, tail, kept_bytes| Roll {
            table: Lazy::new(txn.clone(), definition),
            tail,
            kept_bytes,
        };
        Self {
            meta: Lazy::new(txn.clone(), META),
            state: Lazy::new(txn.clone(), STATE),
            ids: KeyTable(Lazy::new(txn.clone(), IDS)),
            aliases: KeyTable(Lazy::new(txn.clone(), ALIASES)),
            entries: numbered(ENTRIES, tails.entries, 0),
            places: numbered(PLACES, tails.places, SHORT_BYTES),
            journal: numbered(JOURNAL, tails.journal, SHORT_BYTES),
            names: Lazy::new(txn.clone(), NAMES),
            redo: Redo::default(),
        }
    }
}

impl<T: Transaction> Tables<T> {
    /// Opens each, so that none is missing from here on: in a new store because all are made.
    pub(super) fn open_all(&self) -> Result<(), Fault> {
        let Self { meta, state, ids, aliases, entries, places, journal, names, redo: _ } = self;
        meta.opened()?;
        state.opened()?;
        ids.0.opened()?;
        aliases.0.opened()?;
        entries.table.opened()?;
        places.table.opened()?;
        journal.table.opened()?;
        names.opened()?;
        Ok(())
    }

    /// The branches of a session with names from `from` on, in order of name.
    pub(super) fn branches(
        &self,
        session: &SessionRow,
        from: &str,
        limit: usize,
    ) -> Result<Vec<(String, Option<Number>)>, Fault> {
        // No branch has an empty name: the empty one is the session's own row.
        let first = head_key(session.number, if from.is_empty() { "\0" } else { from });
        let to = memo_key(session.number, "");
        let branch = |row: Result<(AccessGuard<'_, _>, AccessGuard<'_, _>), redb::StorageError>| -> Result<_, Fault> {
            let (key, value): (AccessGuard<'_, Bytes>, AccessGuard<'_, Bytes>) = row?;
            let name = std::str::from_utf8(&key.value()[8..])
                .map_err(|_| Error::corrupt("head", "branch name is not UTF-8"))?;
            Ok((name.to_owned(), read_head(value.value())?))
        };
        let rows = self.state.range(first.as_slice()..to.as_slice())?.take(limit);
        let mut branches = rows.map(branch).collect::<Result<Vec<_>, Fault>>()?;
        if session.has_active && session.active.as_str() >= from {
            let at = branches.partition_point(|(name, _)| *name < session.active);
            branches.insert(at, (session.active.clone(), session.head));
            branches.truncate(limit);
        }
        Ok(branches)
    }

    pub(super) fn master_row(&self) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.meta.get(MASTER_KEY)?.map(|row| row.value().to_vec()))
    }

    pub(super) fn scrubbed(&self) -> Result<Option<Scrubbed>, Fault> {
        let row = self.meta.get(SCRUB_KEY)?;
        Ok(row.map(|row| encode::unpack("meta", row.value())).transpose()?)
    }

    pub(super) fn counters(&self) -> Result<Counters, Fault> {
        let state = read_state(&self.state)?;
        Ok(state.ok_or_else(|| Error::corrupt("counters", "they are missing"))?.counters)
    }

    pub(super) fn place_at(&self, number: Number) -> Result<Place, Fault> {
        let chunk = self.places.chunk(number)?;
        let row = chunk.as_ref().and_then(|chunk| chunk.get(number));
        let row = row.ok_or_else(|| Error::corrupt("place", format!("{number} is missing")))?;
        Ok(place_row::unpack(number, row)?)
    }

    /// The id of the entry before that of this number, which follows it.
    pub(super) fn id_before(&self, number: Number) -> Result<Id, Fault> {
        let none = || Error::corrupt("entry", format!("{number} follows none"));
        Ok(self.place_at(number.checked_sub(1).ok_or_else(none)?)?.id)
    }

    /// The entry of this number and id, hashed.
    pub(super) fn entry_at(&self, number: Number, id: &Id) -> Result<Entry, Fault> {
        let frame = self.frame_at(number)?;
        encode::unframe(frame.bytes(), id, || self.id_before(number), shrink::expand)
    }

    pub(super) fn envelope_at(&self, number: Number) -> Result<Envelope, Fault> {
        encode::frame_envelope(self.frame_at(number)?.bytes(), || self.id_before(number))
    }

    pub(super) fn frame_at(&self, number: Number) -> Result<Frame<'_>, Fault> {
        let chunk = self.entries.chunk(number)?.filter(|chunk| chunk.get(number).is_some());
        let missing = || Error::corrupt("entry", format!("{number} is missing"));
        Ok(Frame { chunk: chunk.ok_or_else(missing)?, number })
    }

    pub(super) fn session_number(&self, name: &str) -> Result<Option<u64>, Fault> {
        Ok(self.names.get(name.as_bytes())?.map(|row| row.value()))
    }

    pub(super) fn session_at(&self, number: u64) -> Result<SessionRow, Fault> {
        let row = self.state.get(session_key(number).as_slice())?;
        let row = row.ok_or_else(|| Error::corrupt("session", format!("{number} is missing")))?;
        Ok(encode::unpack("session", row.value())?)
    }

    pub(super) fn session_named(&self, name: &str) -> Result<Option<SessionRow>, Fault> {
        self.session_number(name)?.map(|number| self.session_at(number)).transpose()
    }

    pub(super) fn memo(&self, session: u64, name: &str) -> Result<Memo, Fault> {
        let row = self.state.get(memo_key(session, name).as_slice())?;
        Ok(row.map(|row| row.value().to_vec()))
    }

    /// `None` where there is no such branch.
    #[allow(clippy::option_option, reason = "the inner one is a branch without an entry")]
    pub(super) fn head(
        &self,
        session: &SessionRow,
        branch: &str,
    ) -> Result<Option<Option<Number>>, Fault> {
        if branch == session.active {
            return Ok(session.has_active.then_some(session.head));
        }
        let row = self.state.get(head_key(session.number, branch).as_slice())?;
        Ok(row.map(|row| read_head(row.value())).transpose()?)
    }
}

impl<T: Transaction> KeyRows for Tables<T> {
    fn key_row(&self, number: u64) -> Result<Option<Vec<u8>>, Fault> {
        let row = self.meta.get(sealing_key(number).as_slice())?;
        Ok(row.map(|row| row.value().to_vec()))
    }
}

/// A stored frame, borrowed from its page.
pub(super) struct Frame<'t> {
    chunk: Chunk<'t>,
    number: Number,
}

impl Frame<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        self.chunk.get(self.number).unwrap_or_default()
    }
}

/// What a row of `meta` holds.
#[derive(Clone, Copy)]
pub(super) enum MetaRow<'r> {
    /// The wrapped secret.
    Master(&'r [u8]),
    /// The wrapped key of that number, or nothing.
    Key(u64, &'r [u8]),
    /// No key.
    Other(&'r [u8]),
}

impl<'r> MetaRow<'r> {
    pub(super) fn bytes(&self) -> &'r [u8] {
        match self {
            Self::Master(row) | Self::Key(_, row) | Self::Other(row) => row,
        }
    }
}

/// Copies every row of a store into an empty one; `check` sees each entry first, and `meta` says what becomes
/// of the rows that may hold keys: what is not to be in the new file must never have been.
pub(super) fn copy_all(
    from: &ReadTables,
    to: &mut WriteTables<'_>,
    mut check: impl FnMut(Number, &[u8]) -> Result<(), Fault>,
    meta: impl Fn(MetaRow<'_>) -> Result<Vec<u8>>,
) -> Result<(), Fault> {
    for row in from.meta.rows()? {
        let (key, value) = row?;
        let value = meta(match (key.value(), sealing_number(key.value())) {
            (MASTER_KEY, _) => MetaRow::Master(value.value()),
            (_, Some(number)) => MetaRow::Key(number, value.value()),
            _ => MetaRow::Other(value.value()),
        })?;
        to.meta.insert(key.value(), value.as_slice())?;
    }
    for row in from.entries.table.rows()? {
        let (first, chunk) = row?;
        for (number, frame) in rows(first.value(), chunk.value()) {
            check(number, frame)?;
            to.entries.push(number, frame)?;
        }
    }
    to.entries.settle()?;
    macro_rules! copy {
        ($($table:ident$(.$inner:tt)?),*) => {
            $(for row in from.$table$(.$inner)?.rows()? {
                let (key, value) = row?;
                to.$table$(.$inner)?.insert(key.value(), value.value())?;
            })*
        };
    }
    copy!(state, ids.0, aliases.0, places.table, journal.table, names);
    Ok(())
}

/// How many rows there are of each kind, for the structural check.
pub(super) fn lengths(tables: &ReadTables) -> Result<[(&'static str, u64); 4], Fault> {
    Ok([
        ("entries", tables.entries.end()?),
        ("places", tables.places.end()?),
        ("journal", tables.journal.end()?),
        ("session-names", tables.names.len()?),
    ])
}
