//! Writes what a change does, once that is decided: entries and their places, heads, the session, the row
//! of the journal.

use std::sync::Arc;

use super::apply::Applier;
use super::fault::Fault;
use super::keyring;
use super::overlay::New;
use super::place_row;
use super::prepare::Prepared;
use super::rows::{SessionRow, memo_key};
use crate::encode;
use crate::error::Result;
use crate::place::Number;
use crate::store::{HeadMove, JournalRow, MemoWrite, Stored};

impl Applier<'_, '_> {
    pub(super) fn write_memos(&mut self, memos: &[MemoWrite], session: u64) -> Result<(), Fault> {
        for MemoWrite { name, value, .. } in memos {
            let key = memo_key(session, name);
            match value {
                Some(value) => self.tables.put_state(&key, value)?,
                None => self.tables.remove_state(&key)?,
            }
            self.wrote = true;
        }
        Ok(())
    }

    pub(super) fn write(
        &mut self,
        Prepared { change, shorter, .. }: &Prepared,
        mut row: Arc<SessionRow>,
        created: bool,
        new: &[New],
        moves: Vec<(HeadMove, Option<Number>)>,
        activated: Option<(String, String)>,
    ) -> Result<u64> {
        self.wrote = true;
        let first_entry = self.counters.entries;
        let key = self.append(new, shorter, &row)?;
        let session = self.sessions.take(&mut row);
        session.key = key.or(session.key);
        if let (Some(first), Some(last)) = (new.first(), new.last()) {
            session.first_entry.get_or_insert(first.place.number);
            session.last_entry = Some(last.place.number);
        }
        session.entries += new.len() as u64;
        for (moved, to) in &moves {
            self.move_head(session, moved, *to)?;
        }
        if let Some((_, active)) = &activated {
            self.activate(session, active)?;
        }
        session.changed_ms = change.at_ms;
        let journal = JournalRow {
            number: self.counters.journal_rows,
            session: session.number,
            previous_in_session: (!created).then_some(session.last_journal),
            reason: change.reason,
            at_ms: change.at_ms,
            first_entry,
            entries: new.len() as u64,
            moves: moves.into_iter().map(|(moved, _)| moved).collect(),
            activated,
            before: session.journal_root,
        };
        encode::pack_into(&mut self.row, &journal)?;
        self.tables.append_journal(journal.number, &self.row)?;
        self.counters.journal_rows += 1;
        session.last_journal = journal.number;
        session.journal_root = encode::chained(&session.journal_root, &self.row);
        if created {
            self.tables.put_name(session.name.as_bytes(), session.number)?;
            self.counters.sessions += 1;
            // Others of this group may fork from it.
            self.tables.put_session(session)?;
        }
        self.sessions.put(row);
        Ok(journal.number)
    }

    /// Appends entries; answers the number of the key they are sealed under.
    fn append(
        &mut self,
        new: &[New],
        shorter: &[Option<Vec<u8>>],
        session: &SessionRow,
    ) -> Result<Option<u64>> {
        let sealing = if new.iter().any(|new| keyring::is_sealed(&new.entry)) {
            self.keyring.of_session(&mut self.tables, session)?
        } else {
            None
        };
        for New { draft, entry, place } in new {
            let shorter = shorter.get(*draft).and_then(Option::as_deref);
            let sealed =
                sealing.as_ref().map(|sealing| sealing.seal(entry, shorter)).transpose()?;
            let (stored, shorter) = match sealed.as_ref().and_then(Option::as_ref) {
                Some(sealed) => (sealed, None),
                None => (&**entry, shorter),
            };
            encode::frame_into(&mut self.row, stored, place.follows(), shorter);
            self.counters.stored_bytes += self.row.len() as u64;
            self.tables.append_entry(place.number, &self.row)?;
            place_row::pack_into(&mut self.row, place)?;
            self.tables.append_place(place.number, &self.row)?;
            self.index.insert(self.merging, place);
            self.sessions.grow(place);
            self.appended.push(Stored { place: Arc::clone(place), entry: Arc::clone(entry) });
        }
        self.counters.entries += new.len() as u64;
        Ok(sealing.map(|sealing| sealing.number))
    }

    fn move_head(
        &mut self,
        session: &mut SessionRow,
        moved: &HeadMove,
        to: Option<Number>,
    ) -> Result<(), Fault> {
        session.branches += u64::from(moved.exists);
        session.branches -= u64::from(moved.existed);
        if moved.branch == session.active {
            (session.has_active, session.head) = (moved.exists, to);
            return Ok(());
        }
        if moved.exists {
            self.tables.put_head(session.number, &moved.branch, to)
        } else {
            self.tables.remove_head(session.number, &moved.branch)
        }
    }

    /// Gives the branch that was active a row of its own, and takes that of the new one into the
    /// session's.
    fn activate(&mut self, session: &mut SessionRow, active: &str) -> Result<(), Fault> {
        let head = self.tables.head(session, active)?;
        if session.has_active {
            self.tables.put_head(session.number, &session.active, session.head)?;
        }
        self.tables.remove_head(session.number, active)?;
        active.clone_into(&mut session.active);
        (session.has_active, session.head) = (head.is_some(), head.flatten());
        Ok(())
    }
}
