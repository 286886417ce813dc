//! What an open store is made of: the database, what is kept in memory beside it, and what the handle
//! shares with the writer.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, mpsc};

use super::cache::Caches;
use super::fault::{self, guarded};
use super::file::Named;
use super::index::{Index, Merging};
use super::keyring::Keyring;
use super::layout::Region;
use super::log::Log;
use super::options::Options;
use super::queue::{Queue, Weight};
use super::redo;
use super::rows::{Counters, Identity};
use super::sharing::Sharing;
use super::sight::Sight;
use super::snapshot::Snapshot;
use super::switch::Switch;
use super::tables::{self, ReadTables, WriteTables};
use super::writer::Request;
use super::{file, gone, own_trees};
use crate::error::{Error, ErrorKind, Result};
use crate::verify::Problem;

/// An opened database and what belongs to it.
pub(super) struct Open {
    /// Always there, until it is dropped.
    database: Option<redb::Database>,
    pub(super) index: Index,
    pub(super) identity: Identity,
    pub(super) keyring: Arc<Keyring>,
    /// Replaced when bodies are erased: an older snapshot keeps what it reads in the older ones.
    caches: RwLock<Arc<Caches>>,
    pub(super) sight: Sight,
    /// The newest snapshot, and what was seen when it was taken.
    latest: RwLock<Option<(u64, Arc<Snapshot>)>>,
    /// Whether redb has met damage, or would: reads go on, writes do not.
    damaged: AtomicBool,
    /// What redb sees of the file.
    region: Region,
    switch: Switch,
    pub(super) sharing: Sharing,
    /// Rows of the journal that were looked through for erasures by others.
    looked_through: Mutex<u64>,
}

/// What the writer goes on with.
pub(super) struct Resumed {
    pub(super) counters: Counters,
    pub(super) merging: Merging,
    pub(super) log: Log,
    pub(super) named: Option<Named>,
}

impl Open {
    pub(super) fn new(place: &file::Place, options: &Options) -> Result<(Self, Resumed)> {
        let switch = Switch::default();
        let opened = file::open(place, options, &switch)?;
        Self::over(opened, switch, options)
    }

    /// The same for reading only, on a disk that refuses writes.
    pub(super) fn sheltered(place: &file::Place, options: &Options) -> Result<(Self, Resumed)> {
        let switch = Switch::default();
        let opened = file::open_sheltered(place, options, &switch)?;
        Self::over(opened, switch, options)
    }

    fn over(
        mut opened: file::Opened,
        switch: Switch,
        options: &Options,
    ) -> Result<(Self, Resumed)> {
        let named = opened.named.take();
        let read = guarded(|| {
            use redb::ReadableDatabase;
            let database = &opened.database;
            let damage = damage(&opened.region)?;
            let txn = database.begin_read()?;
            let mut identity = tables::identity(&txn)?;
            let log = caught_up(&opened, ReadTables::open(txn)?.counters()?, damage.as_ref())?;
            let tables = ReadTables::open(database.begin_read()?)?;
            tables.open_all()?;
            let (keyring, secret) = Keyring::open(options, &tables)?;
            identity.secret = secret.unwrap_or(identity.secret);
            let counters = tables.counters()?;
            let index = Index::recover(&tables, counters.indexed, options.merge_after)?;
            Ok((identity, keyring, counters, index, log, damage))
        });
        let (identity, keyring, counters, (index, merging), log, damage) = match read {
            Ok(read) => read,
            Err(error) => {
                switch.cut();
                closed(opened.database, &switch);
                return Err(error);
            }
        };
        let caches = RwLock::new(Arc::new(Caches::new(options.kept)));
        let damaged = AtomicBool::new(damage.is_some());
        let open = Self {
            database: Some(opened.database),
            index,
            identity,
            keyring: Arc::new(keyring),
            caches,
            sight: Sight::new(),
            latest: RwLock::new(None),
            damaged,
            region: opened.region,
            switch,
            sharing: options.sharing,
            looked_through: Mutex::new(counters.journal_rows),
        };
        Ok((open, Resumed { counters, merging, log, named }))
    }

    pub(super) fn database(&self) -> Result<&redb::Database> {
        self.database.as_ref().ok_or_else(gone)
    }

    /// Gives back what redb left free in a file that grew.
    pub(super) fn compact(&mut self) -> Result<()> {
        let database = self.database.as_mut().ok_or_else(gone)?;
        guarded(|| Ok(database.compact().map(drop)?))
    }

    /// The newest state. Readers between two commits share one snapshot.
    pub(super) fn snapshot(&self) -> Result<Arc<Snapshot>, fault::Fault> {
        if self.sharing.is_shared() {
            // One that is kept would hold pages against all others, and nobody tells when it is old.
            return Ok(Arc::new(Snapshot::take_shared(self)?));
        }
        let seen = self.sight.seen();
        if let Some((taken, snapshot)) =
            &*self.latest.read().unwrap_or_else(PoisonError::into_inner)
            && *taken == seen
        {
            return Ok(Arc::clone(snapshot));
        }
        let snapshot = Arc::new(Snapshot::take(self, self.caches())?);
        let mut latest = self.latest.write().unwrap_or_else(PoisonError::into_inner);
        *latest = Some((seen, Arc::clone(&snapshot)));
        Ok(snapshot)
    }

    /// Runs a call into redb and remembers damage that it met.
    pub(super) fn guarded<T>(&self, call: impl FnOnce() -> Result<T, fault::Fault>) -> Result<T> {
        guarded(call).inspect_err(|error| {
            if fault::is_damage(error) {
                self.damaged.store(true, Ordering::Release);
            }
        })
    }

    /// Refuses to write over damage: redb cannot, and it would make it worse.
    pub(super) fn check_writable(&self) -> Result<()> {
        if self.damaged.load(Ordering::Acquire) {
            return Err(Error::corrupt(
                fault::STORE_FILE,
                "damage was met; nothing is written to it",
            ));
        }
        Ok(())
    }

    /// What is damaged of that which redb needs to write.
    pub(super) fn damage(&self) -> Result<Option<Problem>> {
        damage(&self.region)
    }

    pub(super) fn caches(&self) -> Arc<Caches> {
        Arc::clone(&self.caches.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Older snapshots keep what they have.
    pub(super) fn empty_caches(&self) {
        let empty = Arc::new(self.caches().emptied());
        *self.caches.write().unwrap_or_else(PoisonError::into_inner) = empty;
    }

    pub(super) fn looked_through(&self) -> MutexGuard<'_, u64> {
        self.looked_through.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called when a group is committed and readable, before anybody is told of it.
    pub(super) fn committed(&self, erased: bool) {
        if erased {
            self.empty_caches();
        }
        self.shows(1);
        self.sight.answers();
    }

    /// Called when all that was answered is there for readers, and so many groups more.
    pub(super) fn shows(&self, more: u64) {
        self.sight.shows(more);
        // Lets go of the pages that the older state holds.
        *self.latest.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether anybody has read since there was something new.
    pub(super) fn is_read(&self) -> bool {
        self.latest.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

fn damage(region: &Region) -> Result<Option<Problem>> {
    let found = own_trees::damage(region);
    let found = found.map_err(|cause| file::storage("reading redb's own tables", cause))?;
    Ok(found.map(|name| Problem {
        what: fault::STORE_FILE.to_owned(),
        name,
        detail: "it is damaged: nothing is written to this file; `recover` makes another"
            .to_owned(),
    }))
}

/// Does again what the log holds and redb had not saved; answers the log, empty then. Refuses to over damage.
fn caught_up(
    opened: &file::Opened,
    mut counters: Counters,
    damage: Option<&Problem>,
) -> Result<Log, fault::Fault> {
    let mut log = opened.log(counters.log);
    if next_missed(&mut log, &counters)?.is_none() {
        return Ok(log);
    }
    if let Some(Problem { name, detail, .. }) = damage {
        return Err(Error::corrupt(fault::STORE_FILE, format!("{name}: {detail}")).into());
    }
    let mut txn = opened.database.begin_write()?;
    txn.set_two_phase_commit(true);
    txn.set_quick_repair(true);
    let mut tables = WriteTables::open(&txn)?;
    // Another process may have been faster.
    counters = tables.counters()?;
    log.restart(counters.log);
    while let Some(missed) = next_missed(&mut log, &counters)? {
        redo::redo(&missed, &mut tables, &mut counters)?;
    }
    counters.pass_log();
    tables.put_counters(&counters)?;
    drop(tables);
    txn.commit()?;
    log.restart(counters.log);
    Ok(log)
}

/// The next record that the state with these counters does not hold.
fn next_missed(log: &mut Log, counters: &Counters) -> Result<Option<Vec<u8>>> {
    loop {
        let read = log.read().map_err(|cause| match cause.kind() {
            io::ErrorKind::InvalidData => Error::corrupt("log", cause.to_string()),
            _ => file::storage("reading the log", cause),
        })?;
        match read {
            Some((number, _)) if number < counters.logged => {}
            read => return Ok(read.map(|(_, record)| record)),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // redb commits once more when it closes: not over damage, and not where this handle only reads.
        if self.damaged.load(Ordering::Acquire) || self.sharing == Sharing::Readers {
            self.switch.cut();
        }
        // It would hold on to what is to be closed.
        *self.latest.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
        if let Some(database) = self.database.take() {
            closed(database, &self.switch);
        }
    }
}

/// Closes a database that may have met damage: after a panic inside it, its destructor panics too.
fn closed(mut database: redb::Database, switch: &Switch) {
    if switch.is_cut() {
        // It commits as it closes, which can panic twice even where nothing is written, unless its storage has failed:
        // this asks the storage before anything else, and fails there.
        let _ = guarded(|| Ok(database.check_integrity().map(drop)?));
    }
    let _ = guarded(move || {
        drop(database);
        Ok(())
    });
}

pub(super) enum State {
    Open(Arc<Open>),
    /// The store cannot be written to until a commit goes through.
    Degraded {
        why: String,
        /// What the operating system said.
        cause: Option<io::ErrorKind>,
        /// What can be read meanwhile: the bytes as they are, never written to. It may show a change
        /// whose outcome is unknown.
        reads: Option<Arc<Open>>,
    },
    Closed,
}

impl State {
    /// The state that a handle begins in, and the store's secret.
    pub(super) fn first(
        place: &file::Place,
        options: &Options,
    ) -> Result<(Self, [u8; 32], Resumed)> {
        match Open::new(place, options) {
            Err(refused) if refused.io_kind() == Some(io::ErrorKind::ReadOnlyFilesystem) => {
                let (open, resumed) = match Open::sheltered(place, options) {
                    // There is nothing to read.
                    Err(other) if other.kind() == ErrorKind::Storage => return Err(refused),
                    read => read?,
                };
                let secret = open.identity.secret;
                Ok((Self::degraded(&refused, Some(Arc::new(open))), secret, resumed))
            }
            opened => {
                let (open, resumed) = opened?;
                let secret = open.identity.secret;
                Ok((Self::Open(Arc::new(open)), secret, resumed))
            }
        }
    }

    pub(super) fn degraded(why: &Error, reads: Option<Arc<Open>>) -> Self {
        Self::Degraded { why: why.to_string(), cause: why.io_kind(), reads }
    }

    /// The handle it holds.
    pub(super) fn into_handle(self) -> Option<Arc<Open>> {
        match self {
            Self::Open(open) => Some(open),
            Self::Degraded { reads, .. } => reads,
            Self::Closed => None,
        }
    }
}

/// What the handle and the writer thread share.
pub(super) struct Shared {
    pub(super) place: file::Place,
    pub(super) options: Options,
    pub(super) queue: Queue<Request>,
    pub(super) state: RwLock<State>,
    /// The file it was opened in, where it is in one.
    pub(super) named: Option<Named>,
}

impl Shared {
    /// Refuses a file whose name is another one's by now.
    pub(super) fn check_in_place(&self) -> Result<()> {
        self.named.as_ref().map_or(Ok(()), Named::check)
    }

    /// What can be written to.
    pub(super) fn open(&self) -> Result<Arc<Open>> {
        match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Open(open) => Ok(Arc::clone(open)),
            State::Degraded { why, cause, .. } => {
                let detail = format!("the store is degraded, nothing was written: {why}");
                Err(file::storage_of(detail, *cause))
            }
            State::Closed => Err(gone()),
        }
    }

    /// What can be read, also while nothing can be written. Waits for the writer where somebody was answered whose
    /// group nobody sees yet: for the group under way, at most.
    pub(super) fn readable(&self) -> Result<Arc<Open>> {
        let open = self.reads()?;
        if open.sight.shows_all() {
            return Ok(open);
        }
        // The writer could not open it anew while it is held here.
        drop(open);
        let (answer, answered) = mpsc::sync_channel(1);
        let weight = Weight { entries: 0, bytes: 0 };
        self.queue.put(weight, Request::Publish(answer)).map_err(|_| gone())?;
        let _ = answered.recv();
        self.reads()
    }

    fn reads(&self) -> Result<Arc<Open>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if let State::Degraded { reads: Some(open), .. } = &*state {
            return Ok(Arc::clone(open));
        }
        drop(state);
        self.open()
    }
}
