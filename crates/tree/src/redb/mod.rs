//! A store in one redb file, or in memory.
//!
//! One writer thread ([`writer`]) groups concurrent changes into one transaction; readers
//! ([`snapshot`], [`walk`]) take snapshots. [`tables`] alone names tables, [`index`] keeps
//! the short-hash index. [`prepare`] makes a change ready on its caller's thread, [`plan`] decides it
//! against an [`overlay`], [`mod@write`] writes it, for each of a group in [`apply`]. [`check`] is `verify`,
//! [`mod@file`] opens and creates, [`publish`] gives a file its name, [`open`] is what is then open.

mod ahead;
mod answer;
mod apply;
mod cache;
mod check;
#[cfg(test)]
mod check_tests;
mod commit;
#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod degraded_tests;
mod direct;
#[cfg(test)]
mod direct_tests;
mod erase;
mod fault;
mod file;
#[cfg(test)]
mod file_tests;
mod flight;
mod group;
mod index;
mod key_table;
mod keyring;
#[cfg(test)]
mod killed_tests;
#[cfg(test)]
mod layer_tests;
mod layout;
mod lazy;
mod leaf;
mod log;
mod open;
#[cfg(test)]
mod open_tests;
mod options;
#[cfg(test)]
mod overlap_tests;
mod overlay;
mod own_trees;
#[cfg(test)]
mod own_trees_tests;
mod place_row;
mod plan;
mod prepare;
mod publish;
#[cfg(test)]
#[cfg(unix)]
mod publish_tests;
mod queue;
#[cfg(test)]
mod queue_tests;
mod recover;
#[cfg(test)]
mod recover_tests;
mod redo;
mod restore;
mod rewrite;
mod roll;
mod round;
mod rows;
mod salvage;
mod scrub;
mod sessions;
mod sharing;
mod shelter;
pub(crate) mod shrink;
mod sight;
#[cfg(test)]
mod sight_tests;
mod snapshot;
mod stamp;
mod switch;
mod sync;
mod tables;
#[cfg(test)]
mod test_disk;
mod turn;
mod walk;
mod write;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Semaphore, oneshot};

use self::cache::{Caches, Limits};
pub use self::file::BackendFactory;
use self::flight::Flight;
use self::open::{Open, Resumed, Shared, State};
pub use self::options::{Durability, Options};
use self::prepare::Prepared;
use self::queue::{Queue, Weight};
pub use self::recover::{RecoverReport, RecoveredSession};
pub use self::rewrite::RewriteReport;
use self::round::Unread;
pub use self::scrub::{ScrubPass, ScrubReport};
use self::sessions::Sessions;
pub use self::sharing::Sharing;
use self::snapshot::Snapshot;
use self::writer::{Request, Writer};
use crate::context::Context;
use crate::encode;
use crate::entry::{Body, Nonce};
use crate::error::{Error, Result};
use crate::id::{Id, Prefix};
use crate::limits;
use crate::place::{Cut, Measure, Number, Place};
use crate::redact;
use crate::store::{
    Branch, Change, Committed, Erased, Erasure, JournalRow, Memo, Seek, SessionInfo, Stats, Store,
    Stored, Tail,
};
use crate::verify::Report;

pub use redb::{BackendError, StorageBackend};

/// How long the writer waits for callers it has just answered, while others wait: a fraction of a commit.
const GATHER: Duration = Duration::from_micros(200);

/// A store in one redb file. Cheap calls read inline on the caller's thread: a warm `measure` takes
/// microseconds, a page of entries well under a millisecond. Where something was answered that readers do not see
/// yet, as after a burst of appends, a read first waits for the group under way: a sync, milliseconds on a slow disk.
///
/// Dropping it waits for the changes that were accepted, makes a checkpoint and closes the file.
pub struct RedbStore {
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
    writer: Mutex<Option<JoinHandle<()>>>,
    secret: [u8; 32],
}

impl RedbStore {
    /// Opens the store in a file, which is created where there is none. On a file system that takes no writes it
    /// can be read, and changes are refused as `Storage`.
    ///
    /// # Errors
    /// `Locked` when another handle has it open, `Format` for a file of another version, `Corrupt`
    /// for a damaged one, `Invalid` for a path that is no regular file or another user's, `Storage`.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self> {
        let sharing = options.sharing;
        let store = Self::start(file::Place::File(path.as_ref().to_owned()), options)?;
        file::note_pid(path.as_ref(), sharing);
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

    fn start(place: file::Place, mut options: Options) -> Result<Self> {
        if options.sharing.is_shared() {
            options.durability = Durability::TwoPhase;
        }
        let (state, secret, resumed) = State::first(&place, &options)?;
        let Resumed { counters, merging, log, named } = resumed;
        let state = RwLock::new(state);
        let queue = Queue::new(GATHER, options.overlaps_from());
        let shared = Arc::new(Shared { place, options, queue, state, named });
        let writer = Writer {
            shared: Arc::clone(&shared),
            flight: Arc::new(Flight::new()),
            flying: None,
            counters,
            merging,
            log,
            round: None,
            unread: Unread::default(),
            tails: None,
            unsynced: None,
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
        self.put(weight, Request::Checkpoint(answer))?;
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
        self.put(weight, request)?;
        answered.await.map_err(|_| gone())?.taken()
    }

    fn put(&self, weight: Weight, request: Request) -> Result<()> {
        self.shared.options.sharing.check_writes()?;
        self.shared.queue.put(weight, request).map_err(|_| gone())
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

    async fn context(&self, head: Id) -> Result<Context> {
        self.read(|snapshot| snapshot.context(&head))
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
        let mut report = open.guarded(|| {
            check::verify(&Snapshot::take(&open, Arc::new(Caches::new(Limits::default())))?)
        })?;
        report.problems.extend(open.damage()?);
        Ok(report)
    }

    async fn stats(&self) -> Result<Stats> {
        let stats = self.read(|snapshot| Ok(snapshot.stats()))?;
        let file_bytes = match &self.shared.place {
            file::Place::File(path) => std::fs::metadata(path).map_or(0, |meta| meta.len()),
            _ => 0,
        };
        Ok(Stats { file_bytes, ..stats })
    }

    fn redacts(&self, body: &Body) -> Option<Body> {
        self.shared.options.redact.as_ref()?.redact(body)
    }

    fn nonce_for(&self, identity: &[&[u8]]) -> Nonce {
        encode::derived_nonce(&self.secret, identity)
    }
}
