//! One compaction from measuring to landing.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tracing::Instrument;
use treering_policy::{Policy, SkipReason, should_compact};
use treering_provider::{
    Error as ProviderError, Flaw, Ledger, Summarizer, SummaryJob, TokenCounter,
};
use treering_tree::{
    Context, Error as TreeError, Id, Kind, Measure, Seek, Session, Store, Summary,
};

use crate::count::counted;
use crate::coverage::coverage;
use crate::error::{Error, Result};
use crate::event::{EVENTS, Event, Events, Happened, tell};
use crate::flight::{Flight, Flights, Handle, Key, OnDrop, Progress};
use crate::gather::Covered;
use crate::land::{Landed, Landing, tokens_after};
use crate::lease::{Held, LOOK, Lease, RENEW};
use crate::look::{Chosen, Sight};
use crate::recount::{Counts, Recounted};

/// How often a plan is made again because pins changed while the summary was made.
const PLANS: u64 = 3;

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
    /// Size of the context before.
    pub tokens_before: u64,
    /// Size of the context after; of a dry run the most it would be.
    pub tokens_after: u64,
    /// Why nothing was written; `None` also for a dry run that found a cut.
    pub skipped_reason: Option<SkipReason>,
}

impl CompactionResult {
    fn skipped(tokens: u64, reason: SkipReason) -> Self {
        Self {
            entry: None,
            first_kept_entry_id: None,
            summarized_count: 0,
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
    events: broadcast::Sender<Event>,
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

/// One compaction of one branch.
struct Work {
    compactor: Compactor,
    session: Session,
    branch: String,
    policy: Policy,
    options: RunOptions,
}

/// A plan that is worth a summary.
struct Ready {
    measure: Measure,
    chosen: Chosen,
    covered: Covered,
    /// The most the context would be.
    tokens_after: u64,
}

impl Ready {
    fn foreseen(&self) -> CompactionResult {
        CompactionResult {
            entry: None,
            first_kept_entry_id: self.chosen.first_kept.as_ref().map(|place| place.id),
            summarized_count: self.covered.job.entries.len() as u64,
            tokens_before: self.measure.tokens,
            tokens_after: self.tokens_after,
            skipped_reason: None,
        }
    }
}

impl Work {
    fn new(
        compactor: &Compactor,
        session: &Session,
        branch: String,
        policy: &Policy,
        options: &RunOptions,
    ) -> Self {
        Self {
            compactor: compactor.clone(),
            session: compactor.recounted(session),
            branch,
            policy: policy.clone(),
            options: options.clone(),
        }
    }

    /// Does the work unless it is stopped, and gives the lease back in any case.
    async fn fly(self, flight: Arc<Flight>) {
        tell(&self.compactor.events, &flight.key, Happened::Started);
        let span =
            tracing::info_span!("compaction", session = self.session.name(), branch = self.branch);
        self.watched(&flight).instrument(span).await;
    }

    async fn watched(&self, flight: &Flight) {
        let mut lease = None;
        // Large: it holds a job and an entry across every wait.
        let running = Box::pin(self.run(flight, &mut lease));
        let result = tokio::select! {
            biased;
            () = flight.stopped() => Err(Error::Cancelled),
            result = running => result,
        };
        if let Some(lease) = lease {
            lease.release(result.as_ref().ok().cloned()).await;
        }
        self.report(flight, &result);
        flight.end(result);
    }

    /// Tells what came of it: numbers and ids, never a text.
    fn report(&self, flight: &Flight, result: &Result<CompactionResult>) {
        let happened = match result {
            Ok(result) if result.entry.is_some() => Happened::Landed(result.clone()),
            Ok(result) => Happened::Skipped(result.clone()),
            Err(error) => Happened::Failed(error.kind()),
        };
        tell(&self.compactor.events, &flight.key, happened);
        if let Ok(result) = result {
            tracing::info!(
                entry = ?result.entry,
                summarized = result.summarized_count,
                tokens_before = result.tokens_before,
                tokens_after = result.tokens_after,
                skipped = ?result.skipped_reason,
                "compaction"
            );
        }
    }

    /// Plans, takes the lease once there is something to do, plans again, and does it.
    async fn run(&self, flight: &Flight, lease: &mut Option<Held>) -> Result<CompactionResult> {
        let mut plans = 0;
        loop {
            let ready = match self.plan().await? {
                Ok(ready) => ready,
                Err(skipped) => return Ok(skipped),
            };
            let Some(held) = lease else {
                match Held::take(&self.session, &self.branch).await? {
                    Ok(held) => *lease = Some(held),
                    Err(other) => {
                        if let Some(result) = self.await_other(&other).await? {
                            return Ok(result);
                        }
                    }
                }
                continue;
            };
            plans += 1;
            let result = self.summarize_and_land(flight, held, ready).await?;
            let planned_anew =
                matches!(result.skipped_reason, Some(SkipReason::PinsChanged { .. }));
            if !planned_anew || plans == PLANS || !flight.reached(Progress::Planning) {
                return Ok(result);
            }
        }
    }

    /// Waits for the holder of the lease; what it came to, where it came to something.
    async fn await_other(&self, other: &Lease) -> Result<Option<CompactionResult>> {
        loop {
            tokio::time::sleep(LOOK).await;
            let (now, _) = Lease::read(&self.session, &self.branch).await?;
            if now.fence != other.fence {
                return Ok(None);
            }
            if !now.is_held(self.session.sources().now_ms()) {
                return Ok(now.last.filter(|_| now.branch == self.branch));
            }
        }
    }

    /// What is to be done, or why nothing is. Reads only.
    async fn plan(&self) -> Result<Result<Ready, CompactionResult>> {
        let store = &**self.session.store();
        let measure = match self.measure().await? {
            Ok(measure) => measure,
            Err(reason) => return Ok(Err(CompactionResult::skipped(0, reason))),
        };
        let tokens = measure.tokens;
        let skipped = |reason| Ok(Err(CompactionResult::skipped(tokens, reason)));
        if let Some(reason) = self.not_due(tokens) {
            return skipped(reason);
        }
        let sight = Sight::new(store, measure.clone(), &self.policy, self.options.up_to).await?;
        let chosen = match sight.plan(&self.policy, self.options.force) {
            Ok(chosen) => chosen,
            Err(reason) => return skipped(reason),
        };
        let first_kept = chosen.first_kept.as_ref().map(|place| place.id);
        let cut = store.preview(measure.head.id, first_kept).await?;
        let covered = Covered::new(store, measure.head.id, &cut).await?;
        if covered.job.entries.is_empty() {
            let budget = self.policy.budget();
            return skipped(SkipReason::AllKept {
                tokens,
                turns: measure.turns,
                keep_turns: budget.keep_turns,
                keep_messages: budget.keep_messages,
                keep_tokens: budget.keep_tokens,
            });
        }
        let summary_tokens = u32::try_from(chosen.summary_tokens).unwrap_or(u32::MAX);
        let tokens_after = tokens_after(&cut, &measure.head, summary_tokens);
        Ok(Ok(Ready { measure, chosen, covered, tokens_after }))
    }

    /// Size of the context at the high-water mark.
    async fn measure(&self) -> Result<Result<Measure, SkipReason>> {
        let store = &**self.session.store();
        let info = self.session.info().await?;
        let head = if info.active == self.branch {
            info.head
        } else {
            branch_head(store, self.session.name(), &self.branch).await?
        };
        let Some(head) = head else {
            return Ok(Err(SkipReason::Empty));
        };
        let high_water = self.options.high_water.unwrap_or(head);
        if store.seek(head, &[Seek::Entry(high_water)]).await?.pop().flatten().is_none() {
            return Ok(Err(SkipReason::Stale { high_water, head: Some(head) }));
        }
        Ok(Ok(store.measure(high_water).await?))
    }

    fn not_due(&self, tokens: u64) -> Option<SkipReason> {
        let window = self.policy.window;
        if self.options.force || should_compact(tokens, &self.policy) {
            None
        } else if !self.policy.automatic {
            Some(SkipReason::NotAutomatic { tokens })
        } else if window == 0 {
            Some(SkipReason::UnknownWindow { tokens })
        } else {
            let threshold = self.policy.budget().threshold;
            Some(SkipReason::UnderThreshold { tokens, threshold, window })
        }
    }

    async fn summarize_and_land(
        &self,
        flight: &Flight,
        lease: &mut Held,
        ready: Ready,
    ) -> Result<CompactionResult> {
        let Ready { measure, chosen, covered, .. } = ready;
        let Covered { mut job, ids, lifted } = covered;
        job.hint.clone_from(&self.policy.summary_hint);
        // Below its least budget the ledger has nothing to say; whether the result is worth landing is
        // for the landing to tell.
        let budget = u32::try_from(chosen.summary_tokens).unwrap_or(u32::MAX);
        job.budget_tokens = budget.max(Ledger::MIN_BUDGET_TOKENS);
        let summarized_count = job.entries.len() as u64;
        let tokens = job.entry_tokens();
        if !flight.reached(Progress::Summarizing { entries: summarized_count, tokens }) {
            return Err(Error::Cancelled);
        }
        let budget = u64::from(job.budget_tokens);
        let chunk = Happened::Chunk { entries: summarized_count, tokens, budget };
        tell(&self.compactor.events, &flight.key, chunk);
        let Some(summary) = self.summarize(job, lease).await? else {
            let lost = SkipReason::LeaseLost { fence: lease.fence() };
            return Ok(CompactionResult::skipped(measure.tokens, lost));
        };
        let body = summary.body();
        let draft = counted(&*self.compactor.counter, self.session.draft(Kind::Compaction, body));
        let landing = Landing {
            session: &self.session,
            branch: &self.branch,
            high_water: &measure,
            first_kept: chosen.first_kept.as_ref().map(|place| place.id),
            lifted: &lifted,
            draft,
            forced: self.options.force,
            flight,
            lease,
        };
        let landed = match landing.land().await? {
            Ok(landed) => landed,
            Err(reason) => return Ok(CompactionResult::skipped(measure.tokens, reason)),
        };
        self.prove(&landed, &ids).await?;
        let store = self.session.store();
        let compaction = store.entries(&[landed.entry]).await?.pop().flatten();
        Ok(CompactionResult {
            entry: Some(landed.entry),
            first_kept_entry_id: compaction.and_then(|stored| stored.entry.envelope().target),
            summarized_count,
            tokens_before: landed.tokens_before,
            tokens_after: store.measure(landed.entry).await?.tokens,
            skipped_reason: None,
        })
    }

    /// Makes the summary while the lease is renewed; `None` where the lease was lost.
    async fn summarize(&self, job: SummaryJob, lease: &mut Held) -> Result<Option<Summary>> {
        let summarizer = &self.compactor.summarizer;
        let failed = |source| Error::Summarizer { name: summarizer.name().to_owned(), source };
        let mut summarizing = summarizer.summarize(job);
        let summary = loop {
            tokio::select! {
                biased;
                summary = &mut summarizing => break summary.map_err(failed)?,
                () = tokio::time::sleep(RENEW) => {
                    if !lease.renew().await? {
                        return Ok(None);
                    }
                }
            }
        };
        if summary.text.trim().is_empty() {
            return Err(failed(ProviderError::BadReply(Flaw::Blank)));
        }
        Ok(Some(summary))
    }

    /// In debug builds, accounts for everything that stood in the context.
    async fn prove(&self, landed: &Landed, summarized: &[Id]) -> Result<()> {
        if cfg!(debug_assertions) {
            let store = &**self.session.store();
            let before = Context::at(store, landed.on).await?;
            let after = Context::at(store, landed.entry).await?;
            let account = coverage(&before, &after, summarized);
            debug_assert!(account.is_whole(), "BUG: coverage is broken: {account:?}");
        }
        Ok(())
    }
}

/// Head of a branch that is not the active one.
async fn branch_head(store: &dyn Store, session: &str, branch: &str) -> Result<Option<Id>> {
    let mut after: Option<String> = None;
    loop {
        let page = store.branches(session, after.as_deref(), treering_tree::limits::PAGE).await?;
        if let Some(found) = page.iter().find(|known| known.name == branch) {
            return Ok(found.head);
        }
        let Some(last) = page.last() else {
            return Err(TreeError::NotFound { what: "branch", name: branch.to_owned() }.into());
        };
        after = Some(last.name.clone());
    }
}

#[cfg(test)]
mod tests;
