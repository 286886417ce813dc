//! A simulated disk under redb: what reads see, what is durable, and what is written but not synced
//! are three things. It dies at a chosen call; then any mixture of unsynced sectors may have reached
//! the platter. It never touches a real file.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use treering_tree::{BackendFactory, StorageBackend};

use super::image::Image;
use super::rng::Rng;

/// What a disk writes whole.
const SECTOR_BYTES: usize = 512;
/// How often [`SimDisk::wait_until_held`] asks whether it waits in vain.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What goes wrong, and when. Calls are the mutating ones: write, change of length, sync; the first
/// is call 1.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Power is lost at this call: it and all later ones fail, reads too.
    pub crash_at: Option<u64>,
    /// Whether the write that dies still entered the cache.
    pub dying_write_lands: bool,
    /// This sync fails once, and the pages that it lost count as clean.
    pub fail_sync: Option<u64>,
    /// This call fails once, with nothing done.
    pub fail_call: Option<u64>,
    /// While these calls last the disk is full: writes and growing fail, syncs do not.
    pub full: std::ops::Range<u64>,
    /// Syncs do nothing and say that they did: a planted bug.
    pub ignore_syncs: bool,
}

#[derive(Clone, Debug)]
enum Pending {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Debug, Default)]
struct State {
    live: Image,
    durable: Image,
    pending: Vec<Pending>,
    calls: u64,
    syncs: u64,
    dead: bool,
    faults: Faults,
    held: bool,
    waiting: bool,
}

/// A disk. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct SimDisk {
    state: Arc<(Mutex<State>, Condvar)>,
}

impl SimDisk {
    /// A disk that holds an image, all of it durable.
    pub fn new(image: impl Into<Image>, faults: Faults) -> Self {
        let image = image.into();
        let state = State { live: image.clone(), durable: image, faults, ..State::default() };
        Self { state: Arc::new((Mutex::new(state), Condvar::new())) }
    }

    /// Opens the disk for a store, as often as it wants; a dead one no more.
    pub fn factory(&self) -> Arc<BackendFactory> {
        let disk = self.clone();
        Arc::new(move || {
            drop(disk.alive()?);
            Ok(Box::new(disk.clone()) as Box<dyn StorageBackend>)
        })
    }

    /// Mutating calls so far.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// Syncs so far, failed ones too.
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// Whether power was lost.
    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// Loses power now.
    pub fn kill(&self) {
        self.lock().dead = true;
        self.release();
    }

    /// Changes what goes wrong from here on.
    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// Makes mutating calls wait until [`SimDisk::release`]: what is put in a queue meanwhile
    /// becomes one group, on every run.
    pub fn hold(&self) {
        let mut state = self.lock();
        (state.held, state.waiting) = (true, false);
    }

    /// Returns when a mutating call waits, or `done` says that none will come. That is asked first: it may be
    /// what begins the work, while a call of somebody else's waits already.
    pub fn wait_until_held(&self, mut done: impl FnMut() -> bool) {
        while !done() {
            let state = self.lock();
            if state.waiting {
                return;
            }
            drop(self.state.1.wait_timeout(state, LOOK_AGAIN).unwrap());
        }
    }

    /// Lets mutating calls go on.
    pub fn release(&self) {
        self.lock().held = false;
        self.state.1.notify_all();
    }

    /// What reads see: the image a killed process leaves behind.
    pub fn live(&self) -> Image {
        self.lock().live.clone()
    }

    /// What may be found after power was lost: durable bytes, and of the unsynced ones any mixture.
    pub fn image(&self, rng: &mut Rng) -> Image {
        let state = self.lock();
        match rng.below(8) {
            0 => state.durable.clone(),
            1 => state.live.clone(),
            2 | 3 => some_whole_writes(&state, rng),
            _ => any_version_of_any_sector(&state, rng),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().unwrap()
    }

    fn alive(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.lock();
        if state.dead { Err(Error::other("power was lost")) } else { Ok(state) }
    }

    /// Counts a mutating call, waits where the disk is held, and makes the call fail where it must.
    fn tick(&self, dying: Option<&Pending>) -> Result<MutexGuard<'_, State>> {
        let (_, turned) = &*self.state;
        let mut state = self.alive()?;
        while state.held {
            state.waiting = true;
            turned.notify_all();
            state = turned.wait(state).unwrap();
        }
        if state.dead {
            return Err(Error::other("power was lost"));
        }
        state.calls += 1;
        if state.faults.crash_at.is_some_and(|at| state.calls >= at) {
            state.dead = true;
            if state.faults.dying_write_lands {
                state.pending.extend(dying.cloned());
            }
            return Err(Error::other("power was lost"));
        }
        if state.faults.fail_call == Some(state.calls) {
            return Err(Error::other("the device failed"));
        }
        if dying.is_some() && state.faults.full.contains(&state.calls) {
            return Err(Error::from(ErrorKind::StorageFull));
        }
        Ok(state)
    }
}

impl StorageBackend for SimDisk {
    fn len(&self) -> Result<u64> {
        Ok(self.alive()?.live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let state = self.alive()?;
        let from = to_usize(offset);
        let found = state.live.read_into(from, out);
        found.then_some(()).ok_or_else(|| Error::from(ErrorKind::UnexpectedEof))
    }

    fn set_len(&self, len: u64) -> Result<()> {
        let (len, change) = (to_usize(len), Pending::Length(to_usize(len)));
        let mut state = self.tick(Some(&change))?;
        state.live.resize(len);
        state.pending.push(change);
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        let mut state = self.tick(None)?;
        state.syncs += 1;
        if state.faults.ignore_syncs {
            return Ok(());
        }
        let pending = std::mem::take(&mut state.pending);
        if state.faults.fail_sync == Some(state.syncs) {
            return Err(Error::other("the sync failed"));
        }
        let State { live, durable, .. } = &mut *state;
        for change in pending {
            match change {
                Pending::Length(len) => durable.resize(len),
                // A page that was touched is written back whole, with what an earlier failed sync left in it.
                Pending::Write(at, bytes) => durable.take_pages(live, at..at + bytes.len()),
            }
        }
        durable.resize(live.len());
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        let at = to_usize(offset);
        let change = Pending::Write(at, data.to_vec());
        let mut state = self.tick(Some(&change))?;
        if at + data.len() > state.live.len() {
            return Err(Error::from(ErrorKind::UnexpectedEof));
        }
        state.live.write(at, data);
        state.pending.push(change);
        Ok(())
    }
}

fn to_usize(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

/// Whole writes survive or not, each for itself; the last one may be torn at any byte.
fn some_whole_writes(state: &State, rng: &mut Rng) -> Image {
    let mut image = state.durable.clone();
    let kept_of_100 = u32::try_from(rng.below(101)).unwrap();
    let last = state.pending.len().saturating_sub(1);
    for (nth, change) in state.pending.iter().enumerate() {
        if !rng.chance(kept_of_100) {
            continue;
        }
        match change {
            Pending::Length(len) => image.resize(*len),
            Pending::Write(at, bytes) => {
                let torn = nth == last && rng.chance(50);
                let len = if torn { rng.below(bytes.len()) } else { bytes.len() };
                image.write(*at, &bytes[..len]);
            }
        }
    }
    image
}

/// Each sector holds the durable version or any one written since; the length is any there was.
fn any_version_of_any_sector(state: &State, rng: &mut Rng) -> Image {
    let mut now = state.durable.clone();
    let mut lengths = vec![now.len()];
    let mut versions: BTreeMap<usize, Vec<Vec<u8>>> = BTreeMap::new();
    for change in &state.pending {
        match change {
            Pending::Length(len) => {
                now.resize(*len);
                lengths.push(*len);
            }
            Pending::Write(at, bytes) if !bytes.is_empty() => {
                now.write(*at, bytes);
                for sector in at / SECTOR_BYTES..=(at + bytes.len() - 1) / SECTOR_BYTES {
                    let from = sector * SECTOR_BYTES;
                    let version = now.read(from..from + SECTOR_BYTES);
                    versions.entry(sector).or_default().push(version);
                }
            }
            Pending::Write(..) => {}
        }
    }
    let mut image = state.durable.clone();
    image.resize(*rng.pick(&lengths));
    let kept_of_100 = 2 + u32::try_from(rng.below(97)).unwrap();
    for (sector, versions) in versions {
        if rng.chance(kept_of_100) {
            image.write(sector * SECTOR_BYTES, rng.pick::<Vec<u8>>(&versions));
        }
    }
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_a_call_to_be_held_is_asked_even_where_another_waits_already() {
        let disk = SimDisk::new(Vec::new(), Faults::default());
        let backend = (disk.factory())().unwrap();
        disk.hold();
        let other = std::thread::spawn(move || backend.set_len(1));
        disk.wait_until_held(|| false);
        let mut asked = 0;
        disk.wait_until_held(|| {
            asked += 1;
            false
        });
        disk.release();
        other.join().unwrap().unwrap();
        assert_eq!(asked, 1);
    }
}
