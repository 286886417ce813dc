//! A store in one redb file, or in memory.
//!
//! One writer thread ([`writer`]) groups concurrent changes into one transaction; readers
//! ([`snapshot`]) take snapshots and never wait for it. [`tables`] alone names tables, [`index`] keeps
//! the short-hash index, [`apply`] checks a change
//! against an [`overlay`] and writes it, [`check`] is `verify`, [`file`] opens
//! and creates.

mod ahead;
mod apply;
mod cache;
mod check;
mod erase;
mod fault;
mod file;
mod group;
mod index;
mod keyring;
mod leaf;
mod overlay;
mod queue;
#[cfg(test)]
mod queue_tests;
mod recover;
mod restore;
mod rewrite;
mod roll;
mod salvage;
mod scrub;
mod sessions;
mod shelter;
pub(crate) mod shrink;
mod snapshot;
mod sync;
mod tables;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Semaphore, oneshot};

use self::apply::Prepared;
use self::cache::Caches;
use self::fault::guarded;
pub use self::file::BackendFactory;
use self::index::{Index, Merging};
use self::keyring::Keyring;
use self::queue::{Queue, Weight};
pub use self::recover::{RecoverReport, RecoveredSession};
pub use self::rewrite::RewriteReport;
pub use self::scrub::ScrubReport;
use self::sessions::Sessions;
use self::snapshot::Snapshot;
use self::tables::{Counters, Identity, ReadTables};
use self::writer::{Request, Writer};
use crate::encode;
use crate::encrypt::Encrypt;
use crate::entry::Nonce;
use crate::error::{Error, Result};
use crate::id::{Id, Prefix};
use crate::limits;
use crate::place::{Cut, Measure, Number, Place};
use crate::redact::{self, Redact};
use crate::sources::Sources;
use crate::store::{
    Branch, Change, Committed, Erased, Erasure, JournalRow, Memo, Seek, SessionInfo, Stats, Store,
    Stored, Tail,
};
use crate::verify::Report;

pub use redb::{BackendError, StorageBackend};

/// How long the writer waits for callers it has just answered, while others wait: a fraction of a commit.
const GATHER: Duration = Duration::from_micros(200);

/// What an acknowledged append survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// Power loss, also after a failed sync: two syncs per commit. The default.
    #[default]
    TwoPhase,
    /// Power loss, but a failed sync may cost the store: one sync per commit.
    Relaxed,
    /// The end of this process at a checkpoint or close; nothing in between.
    None,
}

/// How to open a store.
#[derive(Clone, Debug)]
pub struct Options {
    sources: Sources,
    durability: Durability,
    idle_checkpoint: Option<Duration>,
    cache_bytes: usize,
    entry_cache_bytes: u64,
    write_ahead: bool,
    encrypt: Option<Arc<dyn Encrypt>>,
    merge_after: usize,
    redact: Option<Arc<dyn Redact>>,
}

impl Options {
    /// The defaults: two-phase commits, a checkpoint after 100 ms without a commit, 256 MiB of
    /// file pages and 64 MiB of decoded entries in memory.
    pub fn new(sources: Sources) -> Self {
        Self {
            sources,
            durability: Durability::default(),
            idle_checkpoint: Some(Duration::from_millis(100)),
            cache_bytes: 256 << 20,
            entry_cache_bytes: 64 << 20,
            write_ahead: cfg!(target_os = "linux"),
            encrypt: None,
            merge_after: index::GENERATION_ENTRIES,
            redact: None,
        }
    }

    /// What an acknowledged append survives.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How long after the last commit a checkpoint is made; `None` leaves it to
    /// [`RedbStore::checkpoint`] and to closing.
    #[must_use]
    pub fn idle_checkpoint(mut self, after: Option<Duration>) -> Self {
        self.idle_checkpoint = after;
        self
    }

    /// Bytes of file pages kept in memory.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Bytes of entries kept in memory decoded, hashed once.
    #[must_use]
    pub fn entry_cache_bytes(mut self, bytes: u64) -> Self {
        self.entry_cache_bytes = bytes;
        self
    }

    /// What sees every body before it is written, and may replace it. Entries so changed have other ids
    /// than their drafts foretell.
    #[must_use]
    pub fn redact(mut self, hook: Arc<dyn Redact>) -> Self {
        self.redact = Some(hook);
        self
    }

    /// What wraps the keys that bodies are sealed under: a new store is then an encrypted one, and a store
    /// that is can be opened only with the same master key. See [`crate::encrypt`].
    #[must_use]
    pub fn encrypt(mut self, master: Arc<dyn Encrypt>) -> Self {
        self.encrypt = Some(master);
        self
    }

    /// Whether to write zeros ahead of the used part of the file, a quarter of it and at most 16 MiB:
    /// the default on Linux. Say no on btrfs, ZFS and the like.
    #[must_use]
    pub fn write_ahead(mut self, ahead: bool) -> Self {
        self.write_ahead = ahead;
        self
    }

    /// Entries whose index keys gather in memory before they are merged into the file, a sixteenth in each
    /// commit: 16,384 by default. Fewer make every append dearer and opening a little faster; tests
    /// see a merge sooner.
    #[must_use]
    pub fn merge_after(mut self, entries: usize) -> Self {
        self.merge_after = entries.max(1);
        self
    }
}

/// An opened database and what belongs to it.
struct Open {
    database: redb::Database,
    index: Index,
    identity: Identity,
    keyring: Arc<Keyring>,
    /// Replaced when bodies are erased: an older snapshot keeps what it reads in the older ones.
    caches: RwLock<Arc<Caches>>,
    entry_cache_bytes: u64,
    /// Counts commits; a snapshot taken under the present count is still the newest state.
    version: AtomicU64,
    latest: RwLock<Option<(u64, Arc<Snapshot>)>>,
    /// Whether redb has met damage: reads go on, writes do not.
    damaged: AtomicBool,
    switch: file::Switch,
}

impl Open {
    fn new(place: &file::Place, options: &Options) -> Result<(Self, Counters, Merging)> {
        let switch = file::Switch::default();
        let database = file::open(place, options, &switch)?;
        Self::over(database, switch, options)
    }

    /// The same for reading only, on a disk that refuses writes.
    fn sheltered(place: &file::Place, options: &Options) -> Result<Self> {
        let switch = file::Switch::default();
        let database = file::open_sheltered(place, options, &switch)?;
        Ok(Self::over(database, switch, options)?.0)
    }

    fn over(
        database: redb::Database,
        switch: file::Switch,
        options: &Options,
    ) -> Result<(Self, Counters, Merging)> {
        let (identity, keyring, counters, (index, merging)) = guarded(|| {
            use redb::ReadableDatabase;
            let txn = database.begin_read()?;
            let mut identity = tables::identity(&txn)?;
            let tables = ReadTables::open(&txn)?;
            let (keyring, secret) = Keyring::open(options, &tables)?;
            identity.secret = secret.unwrap_or(identity.secret);
            let counters = tables.counters()?;
            let index = Index::recover(&tables, counters.indexed, options.merge_after)?;
            Ok((identity, keyring, counters, index))
        })
        .inspect_err(|_| switch.cut())?;
        let entry_cache_bytes = options.entry_cache_bytes;
        let caches = RwLock::new(Arc::new(Caches::new(entry_cache_bytes)));
        let (version, latest) = (AtomicU64::new(0), RwLock::new(None));
        let damaged = AtomicBool::new(false);
        let open = Self {
            database,
            index,
            identity,
            keyring: Arc::new(keyring),
            caches,
            entry_cache_bytes,
            version,
            latest,
            damaged,
            switch,
        };
        Ok((open, counters, merging))
    }

    /// The newest state. Readers between two commits share one snapshot.
    fn snapshot(&self) -> Result<Arc<Snapshot>, fault::Fault> {
        let version = self.version.load(Ordering::Acquire);
        if let Some((taken, snapshot)) =
            &*self.latest.read().unwrap_or_else(PoisonError::into_inner)
            && *taken == version
        {
            return Ok(Arc::clone(snapshot));
        }
        let snapshot = Arc::new(Snapshot::take(self, self.caches())?);
        let mut latest = self.latest.write().unwrap_or_else(PoisonError::into_inner);
        *latest = Some((version, Arc::clone(&snapshot)));
        Ok(snapshot)
    }

    /// Runs a call into redb and remembers damage that it met.
    fn guarded<T>(&self, call: impl FnOnce() -> Result<T, fault::Fault>) -> Result<T> {
        guarded(call).inspect_err(|error| {
            if fault::is_damage(error) {
                self.damaged.store(true, Ordering::Release);
            }
        })
    }

    /// Refuses to write over damage: redb cannot, and it would make it worse.
    fn check_writable(&self) -> Result<()> {
        if self.damaged.load(Ordering::Acquire) {
            return Err(Error::corrupt(
                fault::STORE_FILE,
                "damage was met; nothing is written to it",
            ));
        }
        Ok(())
    }

    fn caches(&self) -> Arc<Caches> {
        Arc::clone(&self.caches.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Called after each commit, before anybody is told of it.
    fn committed(&self, appended: Vec<Stored>, erased: bool) {
        if erased {
            let empty = Arc::new(Caches::new(self.entry_cache_bytes));
            *self.caches.write().unwrap_or_else(PoisonError::into_inner) = empty;
        }
        let caches = self.caches();
        for stored in appended {
            caches.keep(stored);
        }
        self.version.fetch_add(1, Ordering::Release);
        // Lets go of the pages that the older state holds.
        *self.latest.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.damaged.load(Ordering::Acquire) {
            self.switch.cut();
        }
    }
}

enum State {
    Open(Arc<Open>),
    /// A commit failed and the store cannot be written to until another one goes through.
    Degraded {
        why: String,
        /// What can be read meanwhile: the bytes as they are, never written to. It may show a change
        /// whose outcome is unknown.
        reads: Option<Arc<Open>>,
    },
    Closed,
}

impl State {
    fn degraded(why: &Error) -> Self {
        Self::Degraded { why: why.to_string(), reads: None }
    }

    /// The handle it holds.
    fn into_handle(self) -> Option<Arc<Open>> {
        match self {
            Self::Open(open) => Some(open),
            Self::Degraded { reads, .. } => reads,
            Self::Closed => None,
        }
    }
}

/// What the handle and the writer thread share.
struct Shared {
    place: file::Place,
    options: Options,
    queue: Queue<Request>,
    state: RwLock<State>,
}

impl Shared {
    /// What can be written to.
    fn open(&self) -> Result<Arc<Open>> {
        match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Open(open) => Ok(Arc::clone(open)),
            State::Degraded { why, .. } => {
                let detail = format!("the store is degraded: {why}");
                Err(Error::Storage { detail, source: None })
            }
            State::Closed => Err(gone()),
        }
    }

    /// What can be read: also while nothing can be written.
    fn readable(&self) -> Result<Arc<Open>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if let State::Degraded { reads: Some(open), .. } = &*state {
            return Ok(Arc::clone(open));
        }
        drop(state);
        self.open()
    }
}

/// A store in one redb file. Cheap calls read inline on the caller's thread: a warm `measure` takes
/// microseconds, a page of entries well under a millisecond.
///
/// Dropping it waits for the changes that were accepted, makes a checkpoint and closes the file.
pub struct RedbStore {
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
    writer: Mutex<Option<JoinHandle<()>>>,
    secret: [u8; 32],
}

impl RedbStore {
    /// Opens the store in a file, which is created where there is none.
    ///
    /// # Errors
    /// `Locked` when another handle has it open, `Format` for a file of another version, `Corrupt`
    /// for a damaged one, `Invalid` for a path that is no regular file, `Storage`.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        let store = Self::start(file::Place::File(path.as_ref().to_owned()), options)?;
        file::note_pid(path.as_ref());
        Ok(store)
    }

    /// A store in memory, gone with the handle.
    ///
    /// # Errors
    /// `Storage`.
    pub fn in_memory(options: Options) -> Result<Self> {
        Self::start(file::Place::Memory, options)
    }

    /// Opens the store over any storage: simulated disks, encrypted volumes. The factory is called
    /// again when the store reopens itself after a failure, and must then give the same bytes.
    ///
    /// # Errors
    /// As [`RedbStore::open`].
    pub fn with_backend(factory: Arc<BackendFactory>, options: Options) -> Result<Self> {
        Self::start(file::Place::Custom(factory), options)
    }

    fn start(place: file::Place, options: Options) -> Result<Self> {
        let (open, counters, merging) = Open::new(&place, &options)?;
        let secret = open.identity.secret;
        let state = RwLock::new(State::Open(Arc::new(open)));
        let shared = Arc::new(Shared { place, options, queue: Queue::new(GATHER), state });
        let writer = Writer {
            shared: Arc::clone(&shared),
            counters,
            merging,
            sessions: Sessions::default(),
            dirty: false,
        };
        let thread = std::thread::Builder::new().name("treering-writer".to_owned());
        let writer = thread
            .spawn(move || writer.run())
            .map_err(|cause| file::storage("starting the writer", cause))?;
        Ok(Self {
            shared,
            places: Arc::new(Semaphore::new(limits::QUEUED_CHANGES)),
            writer: Mutex::new(Some(writer)),
            secret,
        })
    }

    /// Makes a checkpoint: reopening after a crash takes milliseconds until the next commit.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn checkpoint(&self) -> Result<()> {
        let (answer, answered) = oneshot::channel();
        let weight = Weight { entries: 0, bytes: 0 };
        self.shared.queue.put(weight, Request::Checkpoint(answer)).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// Forgets the key of a session of an encrypted store: everything it sealed is erased here at once, and in
    /// every copy of the store made from now on once the file is rewritten. A tombstone without a target says
    /// who, when and why; what the session appends next goes under a new key. `erasure.entries` is not looked
    /// at. A session whose row was lost and recovered forgets only what it appended since.
    ///
    /// Answers the tombstone; none where there was no key to forget, as at a retry.
    ///
    /// # Errors
    /// `NotFound` for a session that is not there, `Storage`.
    pub async fn forget(&self, erasure: &Erasure) -> Result<Option<Id>> {
        let at_ms = erasure.at_ms.to_le_bytes();
        let nonce = self.nonce_for(&[b"forgotten", erasure.session.as_bytes(), &at_ms]);
        let tombstone = erase::forgetting(erasure, nonce);
        let committed = self.submit(Prepared::forgetting(tombstone)?).await?;
        Ok(committed.ids.first().copied())
    }

    /// Waits for the changes that were accepted, makes a checkpoint and closes the file.
    pub fn close(self) {
        drop(self);
    }

    fn redacted(&self, change: Change) -> Change {
        match &self.shared.options.redact {
            Some(hook) => redact::redacted(change, &**hook),
            None => change,
        }
    }

    /// Hands a change to the writer and waits for what it came to.
    async fn submit(&self, change: Prepared) -> Result<Committed> {
        let change = Box::new(change);
        let permit = Arc::clone(&self.places).acquire_owned().await.map_err(|_| gone())?;
        let weight = Weight { entries: change.entries().max(1), bytes: change.bytes };
        let (answer, answered) = oneshot::channel();
        let request = Request::Commit { change, answer, permit };
        self.shared.queue.put(weight, request).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    fn read<T>(&self, read: impl FnOnce(&Snapshot) -> Result<T, fault::Fault>) -> Result<T> {
        let open = self.shared.readable()?;
        open.guarded(|| read(&*open.snapshot()?))
    }
}

fn gone() -> Error {
    Error::Storage { detail: "the store is closed".to_owned(), source: None }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        self.shared.queue.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // A writer that panicked has nothing left to wait for.
            let _ = writer.join();
        }
        if let file::Place::File(path) = &self.shared.place {
            file::remove_pid(path);
        }
    }
}

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedbStore(..)")
    }
}

#[async_trait]
impl Store for RedbStore {
    async fn commit(&self, change: Change) -> Result<Committed> {
        self.submit(Prepared::new(self.redacted(change))?).await
    }

    async fn erase(&self, erasure: Erasure) -> Result<Erased> {
        let nonce = |id: &Id| {
            let at_ms = erasure.at_ms.to_le_bytes();
            self.nonce_for(&[b"tombstone", id.as_bytes(), &at_ms])
        };
        let tombstones = self.redacted(erase::tombstones(&erasure, nonce)?);
        let committed = self.submit(Prepared::tombstones(tombstones)?).await?;
        let dependants = self.read(|snapshot| erase::dependants(snapshot, &erasure.entries))?;
        let tombstones = self.entries(&committed.ids).await?.into_iter().flatten();
        let erased = tombstones.filter_map(|stored| stored.entry.envelope().target).collect();
        Ok(Erased { erased, tombstones: committed.ids, journal: committed.journal, dependants })
    }

    async fn session(&self, name: &str) -> Result<SessionInfo> {
        self.read(|snapshot| snapshot.session(name))
    }

    async fn sessions(&self, after: Option<&str>, limit: usize) -> Result<Vec<SessionInfo>> {
        self.read(|snapshot| snapshot.sessions(after, limit))
    }

    async fn branches(
        &self,
        session: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Branch>> {
        self.read(|snapshot| snapshot.branches(session, after, limit))
    }

    async fn entries(&self, ids: &[Id]) -> Result<Vec<Option<Stored>>> {
        self.read(|snapshot| ids.iter().map(|id| snapshot.entry(id)).collect())
    }

    async fn with_prefix(&self, prefix: Prefix, limit: usize) -> Result<Vec<Id>> {
        self.read(|snapshot| snapshot.with_prefix(&prefix, limit))
    }

    async fn with_alias(&self, session: &str, alias: &str) -> Result<Option<Id>> {
        self.read(|snapshot| snapshot.with_alias(session, alias))
    }

    async fn measure(&self, head: Id) -> Result<Measure> {
        self.read(|snapshot| snapshot.measure(&head))
    }

    async fn seek(&self, of: Id, questions: &[Seek]) -> Result<Vec<Option<Place>>> {
        self.read(|snapshot| snapshot.seek(&of, questions))
    }

    async fn path(&self, head: Id, depths: std::ops::Range<u64>) -> Result<Vec<Stored>> {
        self.read(|snapshot| snapshot.path(&head, depths))
    }

    async fn places(&self, head: Id, depths: std::ops::Range<u64>) -> Result<Vec<Place>> {
        self.read(|snapshot| snapshot.places(&head, depths))
    }

    async fn preview(&self, head: Id, first_kept: Option<Id>) -> Result<Cut> {
        self.read(|snapshot| snapshot.preview(&head, first_kept.as_ref()))
    }

    async fn memo(&self, session: &str, name: &str) -> Result<Memo> {
        self.read(|snapshot| snapshot.memo(session, name))
    }

    async fn tail(&self, head: Id) -> Result<Tail> {
        self.read(|snapshot| snapshot.tail(&head))
    }

    async fn scan(&self, session: Option<&str>, from: Number, limit: usize) -> Result<Vec<Stored>> {
        self.read(|snapshot| snapshot.scan(session, from, limit))
    }

    async fn journal(&self, from: u64, limit: usize) -> Result<Vec<JournalRow>> {
        self.read(|snapshot| snapshot.journal(from, limit))
    }

    async fn verify(&self) -> Result<Report> {
        let open = self.shared.readable()?;
        // What is on the disk counts, not what was read from it before.
        open.guarded(|| check::verify(&Snapshot::take(&open, Arc::new(Caches::new(0)))?))
    }

    async fn stats(&self) -> Result<Stats> {
        let stats = self.read(|snapshot| Ok(snapshot.stats()))?;
        let file_bytes = match &self.shared.place {
            file::Place::File(path) => std::fs::metadata(path).map_or(0, |meta| meta.len()),
            _ => 0,
        };
        Ok(Stats { file_bytes, ..stats })
    }

    fn nonce_for(&self, identity: &[&[u8]]) -> Nonce {
        encode::derived_nonce(&self.secret, identity)
    }
}
