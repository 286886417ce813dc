//! Several processes on one simulated disk. Each has it open for itself, holds byte ranges against the others as
//! the operating system would, and may be killed alone: its locks are gone then, what it wrote stays in the cache.

use std::io::{Error, Result};
use std::ops::Bound;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use treering_tree::{BackendError, BackendFactory, StorageBackend};

use super::sim_disk::SimDisk;

/// Bytes of the log of a store on such a disk; shared stores do not use it.
pub const LOG_BYTES: u64 = 4_096;

/// A disk and the locks on it.
#[derive(Clone, Debug)]
pub struct Machine {
    disk: SimDisk,
    locks: Arc<(Mutex<Vec<Held>>, Condvar)>,
}

#[derive(Debug)]
struct Held {
    by: usize,
    from: u64,
    to: u64,
    shared: bool,
}

/// A process. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Process {
    machine: Machine,
    life: Arc<Mutex<Life>>,
}

#[derive(Debug, Default)]
struct Life {
    calls: u64,
    written: Written,
    dies_at: Option<u64>,
    dead: bool,
}

/// What a process wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Times it synced.
    pub syncs: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Machine {
    /// A machine with this disk.
    pub fn new(disk: &SimDisk) -> Self {
        Self { disk: disk.clone(), locks: Arc::default() }
    }

    /// Starts a process.
    pub fn process(&self) -> Process {
        Process { machine: self.clone(), life: Arc::default() }
    }

    fn held(&self) -> MutexGuard<'_, Vec<Held>> {
        self.locks.0.lock().unwrap()
    }

    fn release(&self, which: impl Fn(&Held) -> bool) {
        self.held().retain(|held| !which(held));
        self.locks.1.notify_all();
    }
}

impl Process {
    /// Opens the disk for a store.
    pub fn factory(&self) -> Arc<BackendFactory> {
        let process = self.clone();
        Arc::new(move || Ok(Box::new(process.open()) as Box<dyn StorageBackend>))
    }

    /// The disk, as this process has opened it now.
    pub fn open(&self) -> Opened {
        Opened(self.clone())
    }

    /// Kills the process at its nth call from now that would change the disk: what it wrote before stays.
    pub fn kill_at(&self, nth: u64) {
        let mut life = self.life.lock().unwrap();
        life.dies_at = Some(life.calls + nth);
    }

    /// What it wrote so far.
    pub fn written(&self) -> Written {
        self.life.lock().unwrap().written
    }

    /// Whether it was killed.
    pub fn is_dead(&self) -> bool {
        self.life.lock().unwrap().dead
    }

    fn id(&self) -> usize {
        Arc::as_ptr(&self.life).addr()
    }

    fn alive(&self) -> Result<()> {
        if self.is_dead() { Err(Error::other("the process was killed")) } else { Ok(()) }
    }

    fn tick(&self) -> Result<()> {
        self.alive()?;
        let mut life = self.life.lock().unwrap();
        life.calls += 1;
        life.dead = life.dies_at.is_some_and(|at| life.calls >= at);
        let dead = life.dead;
        drop(life);
        if dead {
            self.machine.release(|held| held.by == self.id());
        }
        self.alive()
    }

    /// Takes the range if nobody else holds it against that.
    fn take(&self, held: &mut Vec<Held>, (from, to): (u64, u64), shared: bool) -> bool {
        let by = self.id();
        if conflicts(held, by, from, to, shared) {
            return false;
        }
        held.retain(|held| held.by != by || (held.from, held.to) != (from, to));
        held.push(Held { by, from, to, shared });
        true
    }

    fn try_lock(&self, range: (u64, u64), shared: bool) -> Locking<bool> {
        self.alive()?;
        Ok(self.take(&mut self.machine.held(), range, shared))
    }

    fn lock(&self, range: (u64, u64), shared: bool) -> Locking<()> {
        let mut held = self.machine.held();
        loop {
            self.alive()?;
            if self.take(&mut held, range, shared) {
                return Ok(());
            }
            held = self.machine.locks.1.wait(held).unwrap();
        }
    }
}

fn conflicts(held: &[Held], by: usize, from: u64, to: u64, shared: bool) -> bool {
    let against =
        |held: &Held| held.by != by && held.from < to && from < held.to && !(shared && held.shared);
    held.iter().any(against)
}

fn range(from: Bound<u64>, to: Bound<u64>) -> (u64, u64) {
    let from = match from {
        Bound::Unbounded => 0,
        Bound::Included(from) => from,
        Bound::Excluded(from) => from + 1,
    };
    let to = match to {
        Bound::Unbounded => u64::MAX,
        Bound::Included(to) => to + 1,
        Bound::Excluded(to) => to,
    };
    (from, to)
}

/// The disk as a process has it open.
#[derive(Debug)]
pub struct Opened(Process);

type Locking<T> = std::result::Result<T, BackendError>;

impl StorageBackend for Opened {
    fn len(&self) -> Result<u64> {
        self.0.alive()?;
        self.0.machine.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.0.alive()?;
        self.0.machine.disk.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.0.tick()?;
        self.0.machine.disk.set_len(len)
    }

    fn sync_data(&self) -> Result<()> {
        self.0.tick()?;
        self.0.life.lock().unwrap().written.syncs += 1;
        self.0.machine.disk.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.0.tick()?;
        self.0.life.lock().unwrap().written.bytes += data.len() as u64;
        self.0.machine.disk.write(offset, data)
    }

    fn close(&self) -> Result<()> {
        self.0.machine.release(|held| held.by == self.0.id());
        Ok(())
    }

    fn try_lock_range(&self, from: Bound<u64>, to: Bound<u64>) -> Locking<bool> {
        self.0.try_lock(range(from, to), false)
    }

    fn try_lock_shared_range(&self, from: Bound<u64>, to: Bound<u64>) -> Locking<bool> {
        self.0.try_lock(range(from, to), true)
    }

    fn lock_range(&self, from: Bound<u64>, to: Bound<u64>) -> Locking<()> {
        self.0.lock(range(from, to), false)
    }

    fn lock_shared_range(&self, from: Bound<u64>, to: Bound<u64>) -> Locking<()> {
        self.0.lock(range(from, to), true)
    }

    fn unlock_range(&self, from: Bound<u64>, to: Bound<u64>) -> Locking<()> {
        self.0.alive()?;
        let (from, to) = range(from, to);
        self.0.machine.release(|held| held.by == self.0.id() && (held.from, held.to) == (from, to));
        Ok(())
    }

    fn query_lock_range(&self, from: Bound<u64>, to: Bound<u64>) -> Locking<bool> {
        self.0.alive()?;
        let (from, to) = range(from, to);
        Ok(conflicts(&self.0.machine.held(), self.0.id(), from, to, false))
    }
}
