//! The one writer: takes all changes that gathered, applies them in one transaction, makes them durable, and
//! only then answers each caller. After a failure of the storage nobody is told "done": the handle is
//! closed, the store opened anew, and writes go on only once an empty commit has gone through.

use std::sync::mpsc::SyncSender;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::answer::Answer;
use super::commit::Logging;
use super::fault::{guarded, is_damage};
use super::flight::Flight;
use super::group::{self, Caller, Group};
use super::index::Merging;
use super::log::Log;
use super::open::Resumed;
use super::prepare::Prepared;
use super::queue::{Caps, Taken};
use super::round::{PATIENCE, Round, Unread};
use super::rows::{Counters, Scrubbed};
use super::sessions::Sessions;
use super::tables::{Tails, WriteTables};
use super::{Open, Shared, State, file};
use crate::error::{Error, Result};

/// What one commit takes at most.
pub(super) const CAPS: Caps = Caps { entries: 512, bytes: 4 << 20 };
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
        answer: oneshot::Sender<Answer>,
        /// Holds the caller's place in the bounded queue.
        permit: OwnedSemaphorePermit,
    },
    /// Make what was answered readable. Told however that went: the state says how.
    Publish(SyncSender<()>),
    /// Make the store quick to reopen.
    Checkpoint(oneshot::Sender<Result<()>>),
    /// Note how far the scrub has come.
    Scrubbed(Scrubbed, oneshot::Sender<Result<()>>),
}

/// A caller, and its place in the bounded queue.
type Waiting = (oneshot::Sender<Answer>, OwnedSemaphorePermit);

/// A group that is made durable while the next is applied.
type InFlight = Flight<Group<Waiting, Answer, Logging>, Error>;

/// The writer thread's own state.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) flight: Arc<InFlight>,
    /// Makes groups in flight durable, from the first that may overlap on.
    pub(super) flying: Option<JoinHandle<()>>,
    pub(super) counters: Counters,
    pub(super) merging: Merging,
    pub(super) sessions: Sessions,
    pub(super) log: Log,
    /// What was answered and is not readable.
    pub(super) round: Option<Round>,
    pub(super) unread: Unread,
    /// What the last round left gathering.
    pub(super) tails: Option<Tails>,
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
            let patience = match (self.round.is_some(), lag) {
                (true, lag) => Some(lag.map_or(PATIENCE, |lag| lag.min(PATIENCE))),
                (false, lag) => lag.or(pause),
            };
            match self.shared.queue.take(CAPS, patience) {
                Taken::Batch(requests) => self.serve(requests),
                Taken::Idle => {
                    self.land();
                    if self.round.is_some() {
                        self.publish_or_reopen();
                    } else if lag.is_none() {
                        self.checkpoint_or_reopen();
                    }
                }
                Taken::Closed => break,
            }
        }
        self.land();
        if self.dirty {
            self.checkpoint_or_reopen();
        }
        self.flight.close();
        if let Some(flying) = self.flying.take() {
            // One that panicked has nothing left to do.
            let _ = flying.join();
        }
        if let file::Place::File(path) = &self.shared.place {
            self.log.give_back(path);
        }
        self.shared.set(State::Closed);
    }

    fn serve(&mut self, requests: Vec<Request>) {
        let mut changes = Vec::with_capacity(requests.len());
        let mut callers = Vec::with_capacity(requests.len());
        let (mut checkpoints, mut scrubs) = (Vec::new(), Vec::new());
        let mut readers = Vec::new();
        for request in requests {
            match request {
                Request::Commit { change, answer, permit } => {
                    changes.push(change);
                    callers.push((answer, permit));
                }
                Request::Publish(answer) => readers.push(answer),
                Request::Checkpoint(answer) => checkpoints.push(answer),
                Request::Scrubbed(scrubbed, answer) => scrubs.push((scrubbed, answer)),
            }
        }
        if !readers.is_empty() {
            self.land();
            self.publish_or_reopen();
        }
        for reader in readers {
            let _ = reader.send(());
        }
        if let Err(degraded) = self.shared.open() {
            // The disk may take writes again.
            self.reopen(&degraded);
        }
        let shared = Arc::clone(&self.shared);
        if !changes.is_empty() {
            let flight = Arc::clone(&self.flight);
            group::serve(self, &shared.queue, &flight, changes, callers);
        }
        if !(scrubs.is_empty() && checkpoints.is_empty()) {
            self.land();
        }
        for (scrubbed, caller) in scrubs {
            let _ = caller.send(self.note(&scrubbed));
        }
        for caller in checkpoints {
            let _ = caller.send(self.save(None));
        }
    }

    /// Waits for the group in flight: whoever is told of it has been told then.
    fn land(&mut self) {
        let (shared, flight) = (Arc::clone(&self.shared), Arc::clone(&self.flight));
        group::land(self, &shared.queue, &flight);
    }

    /// Starts the thread that makes groups durable, once; false where there can be none.
    pub(super) fn may_fly(&mut self) -> bool {
        if self.flying.is_none() {
            let (shared, flight) = (Arc::clone(&self.shared), Arc::clone(&self.flight));
            let thread = std::thread::Builder::new().name("treering-log".to_owned());
            let flying = thread.spawn(move || flight.run(|group| group::fly(&shared.queue, group)));
            self.flying = flying.ok();
        }
        self.flying.is_some()
    }

    pub(super) fn publish_or_reopen(&mut self) {
        if let Err(error) = self.publish() {
            self.reopen(&error);
        }
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

    /// Whether a pause is to be used for a checkpoint. What the log holds costs little to do again, and a few keys to
    /// read back.
    fn wants_checkpoint(&self) -> bool {
        let logged = self.shared.options.durability.is_logged();
        let has_much = self.log.is_used(PAUSE_PART) || self.merging.is_worth_a_pause();
        self.dirty && (!logged || has_much)
    }

    /// Closes the handle that failed and opens the store again; where that fails it stays degraded, and
    /// reads go on where at least reading works.
    pub(super) fn reopen(&mut self, cause: &Error) {
        // A round that fails leaves nothing of it behind; redb may panic over damage as it lets go.
        let (round, _) = (self.round.take(), self.tails.take());
        let _ = guarded(move || {
            drop(round);
            Ok(())
        });
        let elsewhere = self.shared.check_in_place().err();
        if is_damage(cause) || elsewhere.is_some() {
            // Opening it again would not mend damage, and what has the name now is for whoever opens that: this handle
            // reads on in its own file, and nothing at all where that would be less than what was answered.
            self.dirty = false;
            match (self.republish(), elsewhere) {
                (Err(error), _) => {
                    tracing::error!(kind = ?error.kind(), "what the log holds cannot be read");
                    self.shared.set(State::degraded(&error, None));
                }
                (Ok(()), Some(elsewhere)) => self.shared.only_reads(&elsewhere),
                (Ok(()), None) => {}
            }
            return;
        }
        self.unread.clear();
        if let file::Place::File(path) = &self.shared.place {
            self.log.give_back(path);
        }
        let mut open = self.shared.set(State::degraded(cause, None)).into_handle();
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
            open.check_writable()?;
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
            Ok((open, Resumed { counters, merging, log, .. })) => {
                (self.counters, self.merging, self.log) = (counters, merging, log);
                (self.dirty, self.unsynced) = (true, None);
                self.sessions = Sessions::default();
                self.shared.set(State::Open(Arc::new(open)));
            }
            Err(error) => {
                let reads = Open::sheltered(&self.shared.place, &self.shared.options);
                let (kind, reads) = (error.kind(), reads.ok().map(|(open, _)| Arc::new(open)));
                tracing::error!(?kind, reads = reads.is_some(), "the store takes no writes");
                self.shared.set(State::degraded(&error, reads));
            }
        }
    }
}

impl Caller<Answer> for Waiting {
    fn answer(self, answer: Answer) {
        // A caller that went away loses its answer, not its entry.
        let _ = self.0.send(answer);
    }
}

impl Shared {
    /// Puts a new state in place and answers the one before.
    fn set(&self, state: State) -> State {
        let mut place = self.state.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *place, state)
    }

    /// Keeps the handle for reading alone.
    fn only_reads(&self, why: &Error) {
        let mut place = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let reads = std::mem::replace(&mut *place, State::Closed).into_handle();
        *place = State::degraded(why, reads);
    }
}
