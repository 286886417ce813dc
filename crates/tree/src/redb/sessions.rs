//! The rows of the sessions that the writer is busy with, kept between groups and written once in each.
//! Nobody else writes them, so that what is here is what the table says, or will say at the next commit.

use std::collections::{BTreeMap, HashSet};

use super::fault::Fault;
use super::tables::{SessionRow, WriteTables};
use crate::place::{Number, Place};

/// Sessions kept; more than these, and the next group starts from the table again.
const SESSIONS: usize = 4_096;
/// Leaves kept; more than these, and they are gathered anew.
const LEAVES: usize = 65_536;

/// Rows by session name.
#[derive(Default)]
pub(super) struct Sessions {
    rows: BTreeMap<String, SessionRow>,
    /// Names of the rows that the table does not have yet.
    changed: Vec<String>,
    leaves: HashSet<Number>,
}

impl Sessions {
    /// The row of that name, if there is such a session.
    pub(super) fn named(
        &mut self,
        tables: &WriteTables<'_>,
        name: &str,
    ) -> Result<Option<SessionRow>, Fault> {
        if let Some(row) = self.rows.get(name) {
            return Ok(Some(row.clone()));
        }
        let row = tables.session_named(name)?;
        if let Some(row) = &row {
            self.rows.insert(name.to_owned(), row.clone());
        }
        Ok(row)
    }

    /// Replaces a row; it reaches the table at the end of the group.
    pub(super) fn put(&mut self, row: SessionRow) {
        self.changed.push(row.name.clone());
        self.rows.insert(row.name.clone(), row);
    }

    /// Notes an entry that is written.
    pub(super) fn grow(&mut self, place: &Place) {
        if self.leaves.len() >= LEAVES {
            self.leaves.clear();
        }
        if let Some(parent) = place.parent {
            self.leaves.remove(&parent);
        }
        self.leaves.insert(place.number);
    }

    /// Whether an entry is known to have no child: then there is no looking for one among all entries, which
    /// costs more than all else about an append.
    pub(super) fn is_leaf(&self, number: Number) -> bool {
        self.leaves.contains(&number)
    }

    /// Writes what changed.
    pub(super) fn flush(&mut self, tables: &mut WriteTables<'_>) -> Result<(), Fault> {
        self.changed.sort_unstable();
        self.changed.dedup();
        for name in self.changed.drain(..) {
            if let Some(row) = self.rows.get(&name) {
                tables.put_session(row)?;
            }
        }
        if self.rows.len() > SESSIONS {
            self.rows.clear();
        }
        Ok(())
    }
}
