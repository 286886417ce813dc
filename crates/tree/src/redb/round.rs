//! Groups that share a transaction of redb: each is answered as soon as the log has it, and readers see them all
//! at once when the round ends. It ends as soon as somebody wants to read, where nothing more comes for a moment,
//! and when it has grown; while somebody reads between any two groups, each is a round of its own.

use std::time::Duration;

use redb::WriteTransaction;

use super::fault::Fault;
use super::index::{Index, Merging};
use super::open::Open;
use super::options::Durability;
use super::rows::Counters;
use super::sessions::Sessions;
use super::tables::{Tails, WriteTables};

/// How long a round waits for another group.
pub(super) const PATIENCE: Duration = Duration::from_millis(1);
/// Bytes of records after which a round ends, as many as a log of the usual length takes: they are kept in memory until
/// then.
const ROUND_BYTES: usize = 4 << 20;

/// A transaction that goes on.
pub(super) struct Round {
    txn: WriteTransaction,
    tails: Tails,
}

/// What the writer keeps beside the tables.
pub(super) struct Beside<'w> {
    pub(super) index: &'w Index,
    pub(super) merging: &'w mut Merging,
    pub(super) counters: &'w mut Counters,
    pub(super) sessions: &'w mut Sessions,
}

/// What a round comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// What the log holds becomes readable.
    Readable,
    /// redb is as durable as asked for, and does without the log.
    As(Durability),
    /// redb saves itself, so that it is quick to open, and the log begins anew.
    Saved,
}

impl Round {
    /// The round that goes on, or a new one.
    pub(super) fn resume(
        round: Option<Self>,
        open: &Open,
        tails: Option<Tails>,
    ) -> Result<Self, Fault> {
        round.map_or_else(|| Self::begin(open, tails), Ok)
    }

    /// `tails` are what the round before left, where nobody else writes.
    pub(super) fn begin(open: &Open, tails: Option<Tails>) -> Result<Self, Fault> {
        let txn = open.database()?.begin_write()?;
        let tails = match tails {
            Some(tails) => tails,
            None => WriteTables::open(&txn)?.leave().1,
        };
        Ok(Self { txn, tails })
    }

    /// What happens next in it.
    pub(super) fn with<T>(
        &mut self,
        work: impl FnOnce(WriteTables<'_>) -> Result<(T, Tails), Fault>,
    ) -> Result<T, Fault> {
        let tables = WriteTables::resume(&self.txn, std::mem::take(&mut self.tails));
        let (done, tails) = work(tables)?;
        self.tails = tails;
        Ok(done)
    }

    /// Commits it, with a slice of the index; an error means that the outcome is unknown.
    pub(super) fn end(self, beside: Beside<'_>, ends: Ends) -> Result<Tails, Fault> {
        let Self { mut txn, tails } = self;
        let Beside { index, merging, counters, sessions } = beside;
        let mut tables = WriteTables::resume(&txn, tails);
        let indexed = index.merge_slice(merging, &mut tables, counters.entries)?;
        counters.indexed = indexed.unwrap_or(counters.indexed);
        if ends == Ends::Saved {
            // What many groups brought.
            tables.entries.repack()?;
        }
        sessions.flush(&mut tables)?;
        tables.put_counters(counters)?;
        let tails = tables.leave().1;
        match ends {
            Ends::Readable | Ends::As(Durability::None) => {
                txn.set_durability(redb::Durability::None)?;
            }
            Ends::As(Durability::Relaxed) => {}
            Ends::As(Durability::TwoPhase) => txn.set_two_phase_commit(true),
            Ends::Saved | Ends::As(Durability::Logged | Durability::Grouped(_)) => {
                txn.set_two_phase_commit(true);
                txn.set_quick_repair(true);
            }
        }
        txn.commit()?;
        if indexed.is_some() {
            index.merged(merging);
        }
        Ok(tails)
    }
}

/// Records of the groups that nobody can read yet, to be done again where their round fails.
#[derive(Default)]
pub(super) struct Unread {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Unread {
    pub(super) fn push(&mut self, record: &[u8]) {
        self.bytes.extend_from_slice(record);
        self.ends.push(self.bytes.len());
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= ROUND_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).filter_map(|(start, end)| self.bytes.get(start..*end))
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

#[cfg(test)]
mod tests;
