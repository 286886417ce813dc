//! The one writer: takes all changes that gathered, applies them in one transaction, commits it, and
//! only then answers each caller. After a failure of the storage nobody is told "done": the handle is
//! closed, the store opened anew, and writes go on only once an empty commit has gone through.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::apply::Applier;
use super::fault::{guarded, is_damage};
use super::group::{self, Caller, Committer};
use super::index::Merging;
use super::log::Log;
use super::open::Resumed;
use super::prepare::Prepared;
use super::queue::{Caps, Taken};
use super::sessions::Sessions;
use super::tables::{Counters, Scrubbed, WriteTables};
use super::{Durability, Open, Shared, State, file};
use crate::error::{Error, Result};
use crate::store::Committed;

/// What one commit takes at most.
const CAPS: Caps = Caps { entries: 512, bytes: 4 << 20 };
/// More than this is not written twice: redb saves it at once.
const RECORD_BYTES: usize = 1 << 20;
/// The part of the log that must be used before a pause is worth a checkpoint.
const PAUSE_PART: u64 = 4;
/// How often, and how long each time, the writer waits for readers to let go of a failed handle.
const LET_GO_TRIES: u32 = 500;
const LET_GO_WAIT: Duration = Duration::from_millis(10);

/// What the writer is asked for.
pub(super) enum Request {
    /// Apply a change.
    Commit {
        change: Box<Prepared>,
        answer: oneshot::Sender<Result<Committed>>,
        /// Holds the caller's place in the bounded queue.
        permit: OwnedSemaphorePermit,
    },
    /// Make the store quick to reopen.
    Checkpoint(oneshot::Sender<Result<()>>),
    /// Note how far the scrub has come.
    Scrubbed(Scrubbed, oneshot::Sender<Result<()>>),
}

/// The writer thread's own state.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) counters: Counters,
    pub(super) merging: Merging,
    pub(super) sessions: Sessions,
    pub(super) log: Log,
    /// When the oldest record was written that is not synced.
    pub(super) unsynced: Option<Instant>,
    /// Whether anything was committed since the last checkpoint.
    pub(super) dirty: bool,
}

impl Writer {
    /// Runs until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let idle = self.shared.options.idle_checkpoint;
        loop {
            let unsynced = self.unsynced.zip(self.shared.options.durability.lag());
            let lag = unsynced.map(|(since, lag)| lag.saturating_sub(since.elapsed()));
            if lag.is_some_and(|left| left.is_zero()) {
                self.sync_or_reopen();
                continue;
            }
            let pause = if self.wants_checkpoint() { idle } else { None };
            match self.shared.queue.take(CAPS, lag.or(pause)) {
                Taken::Batch(requests) => self.serve(requests),
                Taken::Idle if lag.is_some() => {}
                Taken::Idle => self.checkpoint_or_reopen(),
                Taken::Closed => break,
            }
        }
        if self.dirty {
            self.checkpoint_or_reopen();
        }
        if let file::Place::File(path) = &self.shared.place {
            self.log.give_back(path);
        }
        self.shared.set(State::Closed);
    }

    fn serve(&mut self, requests: Vec<Request>) {
        let (mut changes, mut callers) = (Vec::new(), Vec::new());
        let (mut checkpoints, mut scrubs) = (Vec::new(), Vec::new());
        for request in requests {
            match request {
                Request::Commit { change, answer, permit } => {
                    changes.push(change);
                    callers.push((answer, permit));
                }
                Request::Checkpoint(answer) => checkpoints.push(answer),
                Request::Scrubbed(scrubbed, answer) => scrubs.push((scrubbed, answer)),
            }
        }
        if let Err(degraded) = self.shared.open() {
            // The disk may take writes again.
            self.reopen(&degraded);
        }
        let shared = Arc::clone(&self.shared);
        group::serve(self, &shared.queue, &changes, callers);
        for (scrubbed, caller) in scrubs {
            let _ = caller.send(self.note(&scrubbed));
        }
        for caller in checkpoints {
            let _ = caller.send(self.save(None));
        }
    }

    /// Applies and commits; an error means that the outcome of all of them is unknown.
    fn commit_group<'c>(
        &mut self,
        changes: impl Iterator<Item = &'c Prepared>,
    ) -> Result<Vec<Result<Committed>>> {
        let open = self.shared.open()?;
        open.check_writable()?;
        let durability = self.shared.options.durability;
        let (known, merging, sessions) = (&self.counters, &mut self.merging, &mut self.sessions);
        let caches = open.caches();
        let log = &mut self.log;
        let room = if durability.is_logged() { log.room().min(RECORD_BYTES) } else { 0 };
        let applied = open.guarded(|| {
            let mut txn = open.database()?.begin_write()?;
            let mut applied = {
                let tables = WriteTables::recording(&txn, room)?;
                let counters = open.take_up(&tables, known, merging, sessions)?;
                Applier {
                    tables,
                    counters,
                    index: &open.index,
                    caches: &caches,
                    keyring: &open.keyring,
                    merging,
                    sessions,
                    appended: Vec::new(),
                    erased: false,
                    wrote: false,
                }
                .apply_all(changes)?
            };
            if !applied.wrote {
                txn.abort()?;
                return Ok(applied);
            }
            match (&mut applied.record, durability) {
                (Some(record), _) => {
                    let logging = |cause| file::storage("writing the log", cause);
                    log.append(record).map_err(logging)?;
                    if durability.lag().is_none() {
                        log.sync().map_err(logging)?;
                    }
                    txn.set_durability(redb::Durability::None)?;
                }
                (None, Durability::Logged | Durability::Grouped(_)) => {
                    txn.set_two_phase_commit(true);
                    txn.set_quick_repair(true);
                }
                (None, Durability::TwoPhase) => txn.set_two_phase_commit(true),
                (None, Durability::Relaxed) => {}
                (None, Durability::None) => txn.set_durability(redb::Durability::None)?,
            }
            txn.commit()?;
            if applied.record.is_none() {
                log.restart(applied.counters.log);
            }
            Ok(applied)
        })?;
        if applied.wrote {
            self.dirty = true;
            self.unsynced =
                if log.is_synced() { None } else { self.unsynced.or_else(|| Some(Instant::now())) };
            self.counters = applied.counters;
            open.committed(applied.appended, applied.erased);
        }
        if applied.indexed.is_some() {
            open.index.merged(&mut self.merging);
        }
        Ok(applied.answers)
    }

    /// Notes how far the scrub has come.
    fn note(&mut self, scrubbed: &Scrubbed) -> Result<()> {
        self.save(Some(scrubbed)).inspect_err(|error| self.reopen(error))
    }

    fn checkpoint_or_reopen(&mut self) {
        if let Err(error) = self.save(None) {
            tracing::error!(kind = ?error.kind(), "checkpoint failed");
            self.reopen(&error);
        }
    }

    fn sync_or_reopen(&mut self) {
        self.unsynced = None;
        if let Err(cause) = self.log.sync() {
            self.reopen(&file::storage("syncing the log", cause));
        }
    }

    /// Whether a pause is to be used for a checkpoint. What the log holds costs little to do again.
    fn wants_checkpoint(&self) -> bool {
        let logged = self.shared.options.durability.is_logged();
        self.dirty && (!logged || self.log.is_used(PAUSE_PART))
    }

    /// Saves redb with its allocator's state: reopening after a crash then costs milliseconds instead of
    /// reading the whole file, and the log begins anew. Goes on with a merge that is under way.
    fn save(&mut self, scrubbed: Option<&Scrubbed>) -> Result<()> {
        let open = self.shared.open()?;
        open.check_writable()?;
        if open.sharing.is_shared() && !self.merging.is_merging() {
            // Every commit of a shared store is a checkpoint.
            self.dirty = false;
            return Ok(());
        }
        loop {
            let (known, merging, sessions) =
                (&self.counters, &mut self.merging, &mut self.sessions);
            let (counters, indexed) = open.guarded(|| {
                let mut txn = open.database()?.begin_write()?;
                txn.set_two_phase_commit(true);
                txn.set_quick_repair(true);
                let mut tables = WriteTables::open(&txn)?;
                let mut counters = open.take_up(&tables, known, merging, sessions)?;
                if let Some(scrubbed) = scrubbed {
                    tables.put_scrubbed(scrubbed)?;
                }
                tables.entries.repack()?;
                let indexed =
                    open.index.merge_slice(merging, &mut tables, counters.entries, CAPS.entries)?;
                counters.indexed = indexed.unwrap_or(counters.indexed);
                counters.pass_log();
                tables.put_counters(&counters)?;
                drop(tables);
                txn.commit()?;
                Ok((counters, indexed))
            })?;
            open.committed(Vec::new(), false);
            if indexed.is_some() {
                open.index.merged(&mut self.merging);
            }
            self.log.restart(counters.log);
            self.unsynced = None;
            self.counters = counters;
            self.dirty = false;
            if !self.merging.is_merging() || self.shared.queue.has_waiting() {
                return Ok(());
            }
        }
    }

    /// Closes the handle that failed and opens the store again; where that fails it stays degraded, and
    /// reads go on where at least reading works.
    fn reopen(&mut self, cause: &Error) {
        if is_damage(cause) {
            // Opening it again would not mend it, and what is undamaged can still be read.
            self.dirty = false;
            return;
        }
        if let file::Place::File(path) = &self.shared.place {
            self.log.give_back(path);
        }
        let mut open = self.shared.set(State::degraded(cause)).into_handle();
        for _ in 0..LET_GO_TRIES {
            match open.take().map(Arc::try_unwrap) {
                Some(Err(held)) => open = Some(held),
                _ => break,
            }
            std::thread::sleep(LET_GO_WAIT);
        }
        if open.is_some() {
            return;
        }
        let reopened = Open::new(&self.shared.place, &self.shared.options).and_then(|opened| {
            let (open, resumed) = opened;
            let probe = guarded(|| {
                let mut txn = open.database()?.begin_write()?;
                txn.set_two_phase_commit(true);
                let mut tables = WriteTables::open(&txn)?;
                // Others may have committed since it was opened.
                tables.put_counters(&tables.counters()?)?;
                drop(tables);
                Ok(txn.commit()?)
            });
            probe.map(|()| (open, resumed))
        });
        match reopened {
            Ok((open, Resumed { counters, merging, log })) => {
                (self.counters, self.merging, self.log) = (counters, merging, log);
                (self.dirty, self.unsynced) = (true, None);
                self.sessions = Sessions::default();
                self.shared.set(State::Open(Arc::new(open)));
            }
            Err(error) => {
                let reads = Open::sheltered(&self.shared.place, &self.shared.options);
                let (kind, reads) = (error.kind(), reads.ok().map(Arc::new));
                tracing::error!(?kind, reads = reads.is_some(), "the store takes no writes");
                self.shared.set(State::Degraded { why: error.to_string(), reads });
            }
        }
    }
}

impl Caller<Result<Committed>> for (oneshot::Sender<Result<Committed>>, OwnedSemaphorePermit) {
    fn answer(self, answer: Result<Committed>) {
        // A caller that went away loses its answer, not its entry.
        let _ = self.0.send(answer);
    }
}

impl Committer<Box<Prepared>, Result<Committed>> for Writer {
    type Failure = Error;

    fn commit(&mut self, changes: &[Box<Prepared>]) -> Result<Vec<Result<Committed>>> {
        self.commit_group(changes.iter().map(|change| &**change))
    }

    fn recover(&mut self, failure: Error) -> Box<dyn Fn() -> Result<Committed>> {
        tracing::error!(kind = ?failure.kind(), "commit failed");
        if self.shared.open().is_ok() {
            self.reopen(&failure);
        }
        Box::new(move || Err(unknown_outcome(&failure)))
    }
}

fn unknown_outcome(error: &Error) -> Error {
    match error {
        Error::Corrupt { what, detail } => Error::Corrupt { what, detail: detail.clone() },
        other => Error::Storage {
            detail: format!("{other}; the outcome is unknown: retry with the same entry"),
            source: None,
        },
    }
}

impl Shared {
    /// Puts a new state in place and answers the one before.
    fn set(&self, state: State) -> State {
        let mut place = self.state.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *place, state)
    }
}
