//! For tests: bytes that outlive the handles on them, fail when they are told to, and can be changed behind the
//! engine's back. Syncs wait when they are told to, so that a test says what happens meanwhile.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use redb::StorageBackend;

use super::file::{BackendFactory, Place};
use super::rows::Counters;
use super::tables::WriteTables;
use super::{Open, Options, RedbStore};
use crate::error::Result;

/// What fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fails {
    #[default]
    Nothing,
    /// The next sync, once.
    NextSync,
    /// Writes, and changes of the length.
    Writes,
    /// Every call.
    Everything,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    fails: Fails,
    /// How many syncs do not wait, where others do.
    passes: Option<usize>,
    /// Syncs that wait.
    waiting: usize,
    /// Handles that are open, and the most there were at a time.
    open: usize,
    most_open: usize,
}

/// A disk. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<(Mutex<State>, Condvar)>);

impl Disk {
    /// Another disk with the same bytes, on which nothing fails.
    pub(super) fn copy(&self) -> Self {
        Self::of(self.bytes())
    }

    pub(super) fn of(bytes: Vec<u8>) -> Self {
        let disk = Self::default();
        disk.lock().bytes = bytes;
        disk
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.lock().bytes.clone()
    }

    /// How many at most had it open at a time.
    pub(super) fn most_open(&self) -> usize {
        self.lock().most_open
    }

    /// Changes bytes, the engine's handles being open or not.
    pub(super) fn change(&self, change: impl FnOnce(&mut Vec<u8>)) {
        change(&mut self.lock().bytes);
    }

    pub(super) fn fails(&self, fails: Fails) {
        self.lock().fails = fails;
    }

    /// Waits until the sync has failed that is to fail, at most that long; answers whether it has.
    pub(super) fn has_failed_within(&self, patience: Duration) -> bool {
        let waits = |state: &mut State| state.fails == Fails::NextSync;
        let waited = self.0.1.wait_timeout_while(self.lock(), patience, waits).unwrap();
        !waited.1.timed_out()
    }

    /// Lets so many more syncs through, and all others wait; with `None` none waits.
    pub(super) fn passes(&self, syncs: Option<usize>) {
        self.lock().passes = syncs;
        self.0.1.notify_all();
    }

    /// Waits until so many syncs wait, at most that long; answers whether they do.
    pub(super) fn has_waiting_within(&self, syncs: usize, patience: Duration) -> bool {
        let lacks = |state: &mut State| state.waiting < syncs;
        let waited = self.0.1.wait_timeout_while(self.lock(), patience, lacks).unwrap();
        !waited.1.timed_out()
    }

    /// Waits until these bytes are on it, durable or not.
    pub(super) fn until_it_has(&self, sought: &[u8]) {
        let lacks = |state: &mut State| !state.bytes.windows(sought.len()).any(|at| at == sought);
        drop(self.0.1.wait_while(self.lock(), lacks).unwrap());
    }

    pub(super) fn factory(&self) -> Arc<BackendFactory> {
        let disk = self.clone();
        Arc::new(move || {
            let mut state = disk.call(|_| false)?;
            state.open += 1;
            state.most_open = state.most_open.max(state.open);
            drop(state);
            Ok(Box::new(disk.clone()) as Box<dyn StorageBackend>)
        })
    }

    pub(super) fn open(&self, options: &Options) -> Result<Arc<RedbStore>> {
        Ok(Arc::new(RedbStore::with_backend(self.factory(), options.clone())?))
    }

    /// Changes rows of the store on it, which nobody has open.
    pub(super) fn tamper(
        &self,
        options: &Options,
        change: impl FnOnce(&mut WriteTables<'_>, &mut Counters),
    ) {
        let (open, _) = Open::new(&Place::Custom(self.factory()), options).unwrap();
        let txn = open.database().unwrap().begin_write().unwrap();
        let mut tables = WriteTables::open(&txn).unwrap();
        let mut counters = tables.counters().unwrap();
        // Rows that still gather can be replaced only in the table.
        for roll in [&mut tables.places, &mut tables.journal] {
            let kept_bytes = std::mem::take(&mut roll.kept_bytes);
            roll.settle().unwrap();
            roll.kept_bytes = kept_bytes;
        }
        change(&mut tables, &mut counters);
        tables.put_counters(&counters).unwrap();
        drop(tables);
        txn.commit().unwrap();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }

    fn call(&self, fails: impl FnOnce(Fails) -> bool) -> io::Result<MutexGuard<'_, State>> {
        let state = self.lock();
        if state.fails == Fails::Everything || fails(state.fails) {
            return Err(io::Error::other("the device failed"));
        }
        Ok(state)
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.call(|_| false)?.bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.call(|_| false)?;
        let from = usize::try_from(offset).unwrap();
        let bytes = state.bytes.get(from..from + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.call(|fails| fails == Fails::Writes)?;
        state.bytes.resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.call(|_| false)?;
        state.waiting += 1;
        self.0.1.notify_all();
        state = self.0.1.wait_while(state, |state| state.passes == Some(0)).unwrap();
        state.waiting -= 1;
        state.passes = state.passes.map(|syncs| syncs - 1);
        if state.fails == Fails::NextSync {
            state.fails = Fails::Nothing;
            self.0.1.notify_all();
            return Err(io::Error::other("the sync failed"));
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.call(|fails| fails == Fails::Writes)?;
        let from = usize::try_from(offset).unwrap();
        let bytes = state.bytes.get_mut(from..from + data.len());
        bytes.ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
        self.0.1.notify_all();
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.open = state.open.saturating_sub(1);
        Ok(())
    }
}

/// A database with nothing in it, for its tables alone.
pub(super) fn in_memory() -> redb::Database {
    let backend = redb::backends::InMemoryBackend::new();
    redb::Builder::new().create_with_backend(backend).unwrap()
}
