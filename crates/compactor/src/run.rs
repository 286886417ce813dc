//! The compactor: what callers ask of it and what they are told. The work itself is in `work`.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use treering_policy::{Policy, SkipReason};
use treering_provider::{Summarizer, TokenCounter};
use treering_tree::{Id, Session};

use crate::error::Result;
use crate::event::{EVENTS, Event, Events};
use crate::flight::{Flights, Handle, Key, OnDrop};
use crate::lease::Lease;
use crate::look::Sight;
use crate::recount::{Counts, Recounted};
use crate::work::Work;

/// What to do beside what the policy says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// Compact although the context is not due, and land whatever is smaller.
    pub force: bool,
    /// Plan only: nothing is summarized and nothing is written.
    pub dry_run: bool,
    /// Cover everything up to this entry, whatever the policy keeps; less where that would part a
    /// tool call from its result.
    pub up_to: Option<Id>,
    /// The high-water mark: plan as if this entry were the head, and leave everything after it as it
    /// is; `None` takes the present head.
    pub high_water: Option<Id>,
}

/// What a compaction did, or why it did nothing. Sizes are in tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompactionResult {
    /// The compaction entry; `None` where nothing was written.
    pub entry: Option<Id>,
    /// The first entry that stays verbatim; `None` where nothing is kept or nothing was written.
    pub first_kept_entry_id: Option<Id>,
    /// Entries that were summarized.
    pub summarized_count: u64,
    /// Entries that are kept and masked, those that were before included.
    #[serde(default)]
    pub masked_count: u64,
    /// Size of the context before.
    pub tokens_before: u64,
    /// Size of the context after; of a dry run the most it would be.
    pub tokens_after: u64,
    /// Why nothing was written; `None` also for a dry run that found a cut.
    pub skipped_reason: Option<SkipReason>,
}

impl CompactionResult {
    pub(crate) fn skipped(tokens: u64, reason: SkipReason) -> Self {
        Self {
            entry: None,
            first_kept_entry_id: None,
            summarized_count: 0,
            masked_count: 0,
            tokens_before: tokens,
            tokens_after: tokens,
            skipped_reason: Some(reason),
        }
    }
}

/// Compacts sessions with one counter and one summarizer. Cheap to clone; clones share what is in
/// flight.
#[derive(Clone)]
pub struct Compactor {
    pub(crate) counter: Arc<dyn TokenCounter>,
    pub(crate) summarizer: Arc<dyn Summarizer>,
    counts: Arc<Counts>,
    flights: Arc<Flights>,
    pub(crate) events: broadcast::Sender<Event>,
}

impl fmt::Debug for Compactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compactor")
            .field("counter", &self.counter.id())
            .field("summarizer", &self.summarizer.name())
            .finish_non_exhaustive()
    }
}

impl Compactor {
    /// A compactor with this counter and this summarizer. What another counter counted is counted
    /// again where it is in view: see [`recounted`](Self::recounted).
    pub fn new(counter: Arc<dyn TokenCounter>, summarizer: Arc<dyn Summarizer>) -> Self {
        let events = broadcast::Sender::new(EVENTS);
        Self { counter, summarizer, counts: Arc::default(), flights: Arc::default(), events }
    }

    /// Compacts the active branch of a session if the policy says so, and waits for it.
    ///
    /// While one caller does, others of the same session and branch wait and get its result. Dropping
    /// the future leaves it; when nobody waits any more, the work stops and nothing is written. Needs
    /// a tokio runtime with its timer enabled.
    ///
    /// # Errors
    /// `NotFound` for an unknown session or `up_to`, `Invalid` for an `up_to` off the active path, the
    /// summarizer's errors, `BadReply` for a blank summary, `Corrupt`, `Storage`.
    pub async fn run(
        &self,
        session: &Session,
        policy: &Policy,
        options: &RunOptions,
    ) -> Result<CompactionResult> {
        if options.dry_run {
            let branch = session.info().await?.active;
            let work = Work::new(self, session, branch, policy, options);
            return Ok(match Box::pin(work.plan()).await? {
                Ok(ready) => ready.foreseen(),
                Err(skipped) => skipped,
            });
        }
        self.start(session, policy, options, OnDrop::Cancel).await?.result().await
    }

    /// Starts compacting the active branch in the background, or joins the compaction that is in
    /// flight there. Appends, rewinds and forks go on meanwhile; the result lands behind them. Needs a
    /// tokio runtime with its timer enabled.
    ///
    /// # Errors
    /// `NotFound` for an unknown session, `Corrupt`, `Storage`. What goes wrong later is the handle's
    /// result.
    pub async fn start(
        &self,
        session: &Session,
        policy: &Policy,
        options: &RunOptions,
        on_drop: OnDrop,
    ) -> Result<Handle> {
        let branch = session.info().await?.active;
        let key = key(session, &branch);
        let work = Work::new(self, session, branch, policy, options);
        Ok(self.flights.join(key, on_drop, |flight| work.fly(flight)))
    }

    /// Starts what a watch fired: it goes on by itself, and the breaker of the branch counts it.
    pub(crate) fn start_counted(&self, session: &Session, branch: &str, policy: &Policy) -> Handle {
        let options = RunOptions::default();
        let work = Work::new(self, session, branch.to_owned(), policy, &options).counted();
        self.flights.join(key(session, branch), OnDrop::Detach, |flight| work.fly(flight))
    }

    /// Listens to what happens to compactions from now on. What a slow listener misses is counted.
    pub fn events(&self) -> Events {
        Events::new(&self.events)
    }

    /// Whether, and where, to cut now: what a run would decide before it reads a single body.
    /// `None` in place of an entry means that nothing would be kept. O(log n + kept).
    ///
    /// # Errors
    /// `NotFound` for an unknown session, `Corrupt`, `Storage`.
    pub async fn decide(
        &self,
        session: &Session,
        policy: &Policy,
    ) -> Result<Result<Option<Id>, SkipReason>> {
        let session = self.recounted(session);
        let Some(measure) = session.measure().await? else {
            return Ok(Err(SkipReason::Empty));
        };
        let sight = Sight::new(&**session.store(), measure, policy, None).await?;
        let chosen = sight.plan(policy, true);
        Ok(chosen.map(|chosen| chosen.first_kept.map(|place| place.id)))
    }

    /// The session with sizes by this compactor's counter alone, as all its decisions see it. Free
    /// where nobody else counted what is in view; else each entry in view is counted once, and the
    /// handle's `measure` is O(context). Nothing of it is written.
    #[must_use]
    pub fn recounted(&self, session: &Session) -> Session {
        let store = Arc::new(self.sizes(session));
        Session::new(store, session.name(), session.sources().clone())
    }

    pub(crate) fn sizes(&self, session: &Session) -> Recounted {
        Recounted::new(session, Arc::clone(&self.counter), Arc::clone(&self.counts))
    }

    /// The compaction that is in flight on a branch.
    pub(crate) fn joined(&self, session: &Session, branch: &str) -> Option<Handle> {
        self.flights.board(&key(session, branch))
    }

    /// What is known of compactions of the active branch: who holds its lease, what came last.
    ///
    /// # Errors
    /// `NotFound` for an unknown session, `Corrupt`, `Storage`.
    pub async fn lease(&self, session: &Session) -> Result<Lease> {
        let branch = session.info().await?.active;
        Ok(Lease::read(session, &branch).await?.0)
    }
}

/// What single flight is about.
fn key(session: &Session, branch: &str) -> Key {
    let store = Arc::as_ptr(session.store()).cast::<()>() as usize;
    (store, session.name().to_owned(), branch.to_owned())
}

#[cfg(test)]
mod tests;
