//! One compaction of one branch, from measuring to landing: what flies in a flight. Nothing of it is
//! public, and it never writes but by its lease and its landing.

use std::sync::Arc;

use tracing::Instrument;
use treering_policy::{Policy, SkipReason, should_compact};
use treering_provider::{Error as ProviderError, Flaw, Ledger, SummaryJob};
use treering_tree::{
    Context, Error as TreeError, Id, Kind, Measure, Seek, Session, Store, Summary,
};

use crate::count::counted;
use crate::coverage::coverage;
use crate::error::{Error, Result};
use crate::event::{Happened, tell};
use crate::flight::{Flight, Progress};
use crate::gather::Covered;
use crate::land::{Landed, Landing, tokens_after};
use crate::lease::{Held, LOOK, Lease, RENEW};
use crate::look::{Chosen, Sight};
use crate::run::{CompactionResult, Compactor, RunOptions};

/// How often a plan is made again because pins changed while the summary was made.
const PLANS: u64 = 3;

/// One compaction of one branch.
pub(crate) struct Work {
    compactor: Compactor,
    session: Session,
    branch: String,
    policy: Policy,
    options: RunOptions,
    /// Whether the breaker of the branch counts what comes of it.
    counts: bool,
}

/// A plan that is worth a summary.
pub(crate) struct Ready {
    measure: Measure,
    chosen: Chosen,
    covered: Covered,
    /// The most the context would be.
    tokens_after: u64,
}

impl Ready {
    pub(crate) fn foreseen(&self) -> CompactionResult {
        CompactionResult {
            entry: None,
            first_kept_entry_id: self.chosen.first_kept.as_ref().map(|place| place.id),
            summarized_count: self.covered.job.entries.len() as u64,
            masked_count: self.covered.masks.len() as u64,
            tokens_before: self.measure.tokens,
            tokens_after: self.tokens_after,
            skipped_reason: None,
        }
    }
}

impl Work {
    pub(crate) fn new(
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
            counts: false,
        }
    }

    /// The same, and the breaker of the branch counts its landing, in the same step.
    pub(crate) fn counted(self) -> Self {
        Self { counts: true, ..self }
    }

    /// Does the work unless it is stopped, and gives the lease back in any case.
    pub(crate) async fn fly(self, flight: Arc<Flight>) {
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
    pub(crate) async fn plan(&self) -> Result<Result<Ready, CompactionResult>> {
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
        let counter = &*self.compactor.counter;
        let at = (measure.head.id, &cut);
        let covered = Covered::new(store, counter, at, &chosen.masked).await?;
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
        let added = (summary_tokens, covered.saved_tokens());
        let tokens_after = tokens_after(&cut, &measure.head, added);
        Ok(Ok(Ready { measure, chosen, covered, tokens_after }))
    }

    /// Size of the context at the high-water mark.
    async fn measure(&self) -> Result<Result<Measure, SkipReason>> {
        let store = &**self.session.store();
        let Some(head) = self.head().await? else {
            return Ok(Err(SkipReason::Empty));
        };
        let high_water = self.options.high_water.unwrap_or(head);
        if store.seek(head, &[Seek::Entry(high_water)]).await?.pop().flatten().is_none() {
            return Ok(Err(SkipReason::Stale { high_water, head: Some(head) }));
        }
        Ok(Ok(store.measure(high_water).await?))
    }

    /// The present head of the branch.
    async fn head(&self) -> Result<Option<Id>> {
        let info = self.session.info().await?;
        if info.active == self.branch {
            return Ok(info.head);
        }
        branch_head(&**self.session.store(), self.session.name(), &self.branch).await
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
        let saved_tokens = covered.saved_tokens();
        let Covered { mut job, ids, lifted, masks } = covered;
        job.hint.clone_from(&self.policy.summary_hint);
        // Below its least budget the ledger has nothing to say; whether the result is worth landing is
        // for the landing to tell.
        let budget = u32::try_from(chosen.summary_tokens).unwrap_or(u32::MAX);
        job.budget_tokens = budget.max(Ledger::MIN_BUDGET_TOKENS);
        let (summarized_count, masked_count) = (job.entries.len() as u64, masks.len() as u64);
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
            draft: draft.masks(masks),
            saved_tokens,
            forced: self.options.force,
            flight,
            lease,
            counts: self.counts.then_some(&self.policy),
        };
        let landed = match landing.land(self.head().await?).await? {
            Ok(landed) => landed,
            Err(reason) => return Ok(CompactionResult::skipped(measure.tokens, reason)),
        };
        self.prove(&landed, &ids).await?;
        let store = self.session.store();
        Ok(CompactionResult {
            entry: Some(landed.entry),
            first_kept_entry_id: landed.first_kept,
            summarized_count,
            masked_count,
            tokens_before: store.measure(landed.on).await?.tokens,
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
