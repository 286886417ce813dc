//! Stamps of a store, and whether it goes on from one. Reads a row of the journal and writes nothing.

use super::RedbStore;
use super::fault::Fault;
use super::rows::Identity;
use super::snapshot::Snapshot;
use crate::encode;
use crate::error::{Error, Result};
use crate::stamp::Stamp;
use crate::store::JournalRow;

impl RedbStore {
    /// What the store has come to, to be kept outside of it: the newest row of its journal, or that of one
    /// session. O(log n); as any read, it may wait for the group under way.
    ///
    /// # Errors
    /// `NotFound` for an unknown session, `Corrupt`, `Storage`.
    pub fn stamp(&self, session: Option<&str>) -> Result<Stamp> {
        let open = self.shared.readable()?;
        open.guarded(|| {
            let snapshot = open.snapshot()?;
            let rows = match session {
                Some(name) => snapshot.session(name)?.journal + 1,
                None => snapshot.counters.journal_rows,
            };
            let hash = hash_of(&snapshot, rows)?;
            let missing = || Error::corrupt("journal", format!("row {} is missing", rows - 1));
            Ok(Stamp { store: number(&open.identity), rows, hash: hash.ok_or_else(missing)? })
        })
    }

    /// Whether the store goes on from where it was stamped. It does after more changes, erasures and
    /// rewriting, and as a copy of the file; an older copy does not, whatever was written to it since, nor does
    /// a store that was recovered, whose journal is another one.
    ///
    /// The stamp of a session vouches for all that session was. That of the store vouches for its newest row
    /// and the session of that: where the very same change, of the same time, came to the same row behind other
    /// changes of other sessions, only stamps of those tell. O(log n).
    ///
    /// # Errors
    /// `Conflict`: [`Error::RolledBack`], [`Error::OtherStore`]. `Corrupt`, `Storage`.
    pub fn continues(&self, stamp: &Stamp) -> Result<()> {
        let open = self.shared.readable()?;
        open.guarded(|| {
            if number(&open.identity) != stamp.store {
                return Err(Error::OtherStore.into());
            }
            let snapshot = open.snapshot()?;
            if hash_of(&snapshot, stamp.rows)? == Some(stamp.hash) {
                return Ok(());
            }
            let (stamped, found) = (stamp.rows, snapshot.counters.journal_rows);
            Err(Error::RolledBack { stamped, found }.into())
        })
    }
}

fn number(identity: &Identity) -> u128 {
    u128::from_be_bytes(identity.epoch)
}

/// Hash over the rows of a session up to the last of the first `rows`; `None` where there are not so many.
fn hash_of(snapshot: &Snapshot, rows: u64) -> Result<Option<[u8; 32]>, Fault> {
    let Some(last) = rows.checked_sub(1) else { return Ok(Some([0; 32])) };
    let mut hash = None;
    if rows <= snapshot.counters.journal_rows {
        snapshot.tables.journal.visit(last, |number, bytes| {
            let row: JournalRow = encode::unpack("journal", bytes)?;
            hash = (number == last).then(|| encode::chained(&row.before, bytes));
            Ok(false)
        })?;
    }
    Ok(hash)
}
