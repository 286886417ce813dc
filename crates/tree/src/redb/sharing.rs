//! A store that several processes have open at once. What one commits the others take up before they look or
//! write: the keys of new entries into the index in memory, and that bodies were erased or rows changed. This file
//! alone knows redb's mode for it; why this way and not another: `docs/decisions/0008-several-processes.md`.
//!
//! Nothing here makes anything durable, and no process waits for another but for its turn to write.

use redb::{Builder, Database, StorageBackend};

use super::fault::Fault;
use super::index::Merging;
use super::lazy::Transaction;
use super::open::Open;
use super::rows::Counters;
use super::sessions::Sessions;
use super::tables::{Tables, WriteTables};
use super::turn::Turn;
use crate::encode;
use crate::error::{Error, Result};
use crate::store::{JournalRow, Reason};

/// Rows of the journal that are looked through for erasures; behind more of them the caches go anyway.
const ROWS_LOOKED_AT: u64 = 1_024;

/// Who may have a store open at the same time, and what this handle is among them.
///
/// Those that share a store all say so; an exclusive one and they refuse each other with
/// [`Error::Locked`](crate::Error::Locked). Sharing needs byte-range locks (Linux, macOS, Windows) and a local disk: no
/// network file system.
///
/// What it costs: every commit is two-phase and notes which pages are free, whatever
/// [`Durability`](super::Durability) says; a write waits for its turn, for ever where a process was stopped in the
/// middle of one; every read begins anew, a few microseconds, and pages kept in memory are read again after
/// others committed. A reader may see an append of another process a moment before it is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sharing {
    /// This handle alone: the fastest. The default.
    #[default]
    Exclusive,
    /// Others may read and write; this handle reads, and refuses changes as `Invalid`. It needs to be able to
    /// write to the file all the same.
    Readers,
    /// Others may read and write, and so does this handle.
    Writers,
}

impl Sharing {
    pub(super) fn is_shared(self) -> bool {
        self != Self::Exclusive
    }

    /// Refuses changes where this handle only reads.
    pub(super) fn check_writes(self) -> Result<()> {
        if self == Self::Readers {
            let why = "it was opened with `Sharing::Readers`, which changes nothing";
            return Err(Error::invalid("store", why));
        }
        Ok(())
    }

    pub(super) fn open(
        self,
        builder: &mut Builder,
        backend: impl StorageBackend,
    ) -> Result<Database, Fault> {
        if !self.is_shared() {
            return Ok(builder.create_with_backend(backend)?);
        }
        builder.set_concurrency_mode(redb::ConcurrencyMode::MultiWriter);
        Ok(builder.create_with_backend(Turn::new(Box::new(backend)))?)
    }
}

impl Open {
    /// What the writer goes on from, now that its turn has come: what it knew, or what others have made of it.
    pub(super) fn take_up(
        &self,
        tables: &WriteTables<'_>,
        known: &Counters,
        merging: &mut Merging,
        sessions: &mut Sessions,
    ) -> Result<Counters, Fault> {
        if !self.sharing.is_shared() {
            return Ok(known.clone());
        }
        let counters = tables.counters()?;
        if counters != *known {
            *sessions = Sessions::default();
            self.index.take_up(merging, tables, &counters)?;
            self.take_up_erasures(tables, &counters)?;
        }
        Ok(counters)
    }

    /// Empties the caches where bodies were erased since this was last asked. False where `counters` are older
    /// than that: what they belong to must not be kept in the caches of now.
    pub(super) fn take_up_erasures(
        &self,
        tables: &Tables<impl Transaction>,
        counters: &Counters,
    ) -> Result<bool, Fault> {
        let mut looked = self.looked_through();
        if counters.journal_rows <= *looked {
            return Ok(counters.journal_rows == *looked);
        }
        let mut erased = counters.journal_rows - *looked > ROWS_LOOKED_AT;
        if !erased {
            tables.journal.visit(*looked, |_, bytes| {
                let row: JournalRow = encode::unpack("journal", bytes)?;
                erased = row.reason == Reason::Erase;
                Ok(!erased)
            })?;
        }
        if erased {
            self.empty_caches();
            self.keyring.take_up(tables)?;
        }
        *looked = counters.journal_rows;
        Ok(true)
    }
}
