//! The rows of the sessions that the writer is busy with, and where they end, kept between groups. A row is
//! noted in the record of each group that changes it, and written once for all groups that share a transaction.
//! Nobody else writes them, so that what is here is what the table says, or will say at the next commit.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::cache::Spread;
use super::fault::Fault;
use super::rows::SessionRow;
use super::tables::WriteTables;
use crate::error::Result;
use crate::place::{Number, Place};

/// Sessions kept; more than these, and the next round starts from the table again.
const SESSIONS: usize = 4_096;
/// Leaves kept; more than these, and they are gathered anew.
const LEAVES: usize = 65_536;

/// Rows by session name.
#[derive(Default)]
pub(super) struct Sessions {
    numbers: HashMap<String, u64>,
    /// None where one is being changed.
    rows: HashMap<u64, Option<Arc<SessionRow>>, Spread>,
    /// Those that the present group changed.
    changed: BTreeSet<u64>,
    /// Those that the table does not have yet.
    unwritten: BTreeSet<u64>,
    leaves: HashMap<Number, Arc<Place>, Spread>,
}

impl Sessions {
    /// The row of that name, if there is such a session.
    pub(super) fn named(
        &mut self,
        tables: &WriteTables<'_>,
        name: &str,
    ) -> Result<Option<Arc<SessionRow>>, Fault> {
        let kept = self.numbers.get(name).and_then(|number| self.row(*number));
        if kept.is_some() {
            return Ok(kept.cloned());
        }
        let row = tables.session_named(name)?.map(Arc::new);
        if let Some(row) = &row {
            self.keep(Arc::clone(row));
        }
        Ok(row)
    }

    /// A row that is to change, and is to be put back: where nobody else has it, it is the same memory.
    pub(super) fn take<'r>(&mut self, row: &'r mut Arc<SessionRow>) -> &'r mut SessionRow {
        if let Some(kept) = self.rows.get_mut(&row.number) {
            *kept = None;
        }
        Arc::make_mut(row)
    }

    /// Replaces a row.
    pub(super) fn put(&mut self, row: Arc<SessionRow>) {
        self.changed.insert(row.number);
        self.keep(row);
    }

    fn keep(&mut self, row: Arc<SessionRow>) {
        if !self.rows.contains_key(&row.number) {
            self.numbers.insert(row.name.clone(), row.number);
        }
        self.rows.insert(row.number, Some(row));
    }

    fn row(&self, number: u64) -> Option<&Arc<SessionRow>> {
        self.rows.get(&number)?.as_ref()
    }

    /// Notes an entry that is written.
    pub(super) fn grow(&mut self, place: &Arc<Place>) {
        if self.leaves.len() >= LEAVES {
            self.leaves.clear();
        }
        if let Some(parent) = place.parent {
            self.leaves.remove(&parent);
        }
        self.leaves.insert(place.number, Arc::clone(place));
    }

    /// The place of an entry that is known to have no child. Then there is no looking for one among all entries,
    /// which costs more than all else about an append.
    pub(super) fn leaf(&self, number: Number) -> Option<&Arc<Place>> {
        self.leaves.get(&number)
    }

    /// Notes what the group changed: called at its end.
    pub(super) fn note(&mut self, tables: &mut WriteTables<'_>) -> Result<()> {
        for row in self.changed.iter().filter_map(|number| self.row(*number)) {
            tables.note_session(row)?;
        }
        self.unwritten.append(&mut self.changed);
        Ok(())
    }

    /// Writes what changed: called before each commit.
    pub(super) fn flush(&mut self, tables: &mut WriteTables<'_>) -> Result<(), Fault> {
        for number in std::mem::take(&mut self.unwritten) {
            if let Some(row) = self.row(number) {
                tables.put_session(row)?;
            }
        }
        if self.rows.len() > SESSIONS {
            self.rows.clear();
            self.numbers.clear();
        }
        Ok(())
    }
}
