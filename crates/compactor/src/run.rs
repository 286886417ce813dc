//! One compaction from measuring to landing.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use treering_policy::{Policy, SkipReason, should_compact};
use treering_provider::{Error as ProviderError, Flaw, Ledger, Summarizer, TokenCounter};
use treering_tree::{Context, Error as TreeError, Id, Kind, Measure, Session, Store, Summary};

use crate::count::draft_tokens;
use crate::coverage::coverage;
use crate::error::{Error, Result};
use crate::flight::Flights;
use crate::gather::Covered;
use crate::land::{Landed, Landing, tokens_after};
use crate::look::{Chosen, Sight};

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
}

/// What a compaction did, or why it did nothing. Sizes are in tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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

/// Store, session, branch.
type Key = (usize, String, String);

/// Compacts sessions with one counter and one summarizer. Cheap to clone; clones share what is in
/// flight.
#[derive(Clone)]
pub struct Compactor {
    counter: Arc<dyn TokenCounter>,
    summarizer: Arc<dyn Summarizer>,
    flights: Arc<Flights<Key, Result<CompactionResult>>>,
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
    /// A compactor with this counter, which must be the one the session's entries were counted with,
    /// and this summarizer.
    pub fn new(counter: Arc<dyn TokenCounter>, summarizer: Arc<dyn Summarizer>) -> Self {
        Self { counter, summarizer, flights: Arc::default() }
    }

    /// Compacts the active branch of a session if the policy says so.
    ///
    /// While one caller does, others of the same session and branch wait and get its result. Dropping
    /// the future abandons the work, and nothing is written.
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
        let branch = session.info().await?.active;
        let work = Work { compactor: self, session, branch: &branch, policy, options };
        // Large: it holds a job and an entry across every wait.
        let running = Box::pin(work.run());
        if options.dry_run {
            return running.await;
        }
        let store = Arc::as_ptr(session.store()).cast::<()>() as usize;
        let key = (store, session.name().to_owned(), branch.clone());
        self.flights.join(key, running).await
    }
}

struct Work<'a> {
    compactor: &'a Compactor,
    session: &'a Session,
    branch: &'a str,
    policy: &'a Policy,
    options: &'a RunOptions,
}

impl Work<'_> {
    async fn run(&self) -> Result<CompactionResult> {
        let mut result = self.attempt().await?;
        for _ in 1..PLANS {
            if !matches!(result.skipped_reason, Some(SkipReason::PinsChanged { .. })) {
                break;
            }
            result = self.attempt().await?;
        }
        tracing::info!(
            session = self.session.name(),
            branch = self.branch,
            entry = ?result.entry,
            summarized = result.summarized_count,
            tokens_before = result.tokens_before,
            tokens_after = result.tokens_after,
            skipped = ?result.skipped_reason,
            "compaction"
        );
        Ok(result)
    }

    async fn attempt(&self) -> Result<CompactionResult> {
        let store = &**self.session.store();
        let Some(measure) = self.measure().await? else {
            return Ok(CompactionResult::skipped(0, SkipReason::Empty));
        };
        let tokens = measure.tokens;
        if let Some(reason) = self.not_due(tokens) {
            return Ok(CompactionResult::skipped(tokens, reason));
        }
        let sight = Sight::new(store, measure.clone(), self.policy, self.options.up_to).await?;
        let chosen = match sight.plan(self.policy, self.options.force) {
            Ok(chosen) => chosen,
            Err(reason) => return Ok(CompactionResult::skipped(tokens, reason)),
        };
        let first_kept = chosen.first_kept.as_ref().map(|place| place.id);
        let cut = store.preview(measure.head.id, first_kept).await?;
        let covered = Covered::new(store, measure.head.id, &cut).await?;
        if covered.job.entries.is_empty() {
            let budget = self.policy.budget();
            let reason = SkipReason::AllKept {
                tokens,
                turns: measure.turns,
                keep_turns: budget.keep_turns,
                keep_messages: budget.keep_messages,
                keep_tokens: budget.keep_tokens,
            };
            return Ok(CompactionResult::skipped(tokens, reason));
        }
        let summary_tokens = u32::try_from(chosen.summary_tokens).unwrap_or(u32::MAX);
        if self.options.dry_run {
            return Ok(CompactionResult {
                entry: None,
                first_kept_entry_id: first_kept,
                summarized_count: covered.job.entries.len() as u64,
                tokens_before: tokens,
                tokens_after: tokens_after(&cut, &measure.head, summary_tokens),
                skipped_reason: None,
            });
        }
        self.summarize_and_land(&measure, &chosen, covered).await
    }

    async fn measure(&self) -> Result<Option<Measure>> {
        let store = self.session.store();
        let info = self.session.info().await?;
        let head = if info.active == self.branch {
            info.head
        } else {
            branch_head(&**store, self.session.name(), self.branch).await?
        };
        match head {
            Some(head) => Ok(Some(store.measure(head).await?)),
            None => Ok(None),
        }
    }

    fn not_due(&self, tokens: u64) -> Option<SkipReason> {
        let window = self.policy.window;
        if self.options.force || should_compact(tokens, self.policy) {
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
        measure: &Measure,
        chosen: &Chosen,
        covered: Covered,
    ) -> Result<CompactionResult> {
        let Covered { mut job, ids, lifted } = covered;
        job.hint.clone_from(&self.policy.summary_hint);
        // Below its least budget the ledger has nothing to say; whether the result is worth landing is
        // for the landing to tell.
        let budget = u32::try_from(chosen.summary_tokens).unwrap_or(u32::MAX);
        job.budget_tokens = budget.max(Ledger::MIN_BUDGET_TOKENS);
        let summarized_count = job.entries.len() as u64;
        let body = self.summarize(job).await?.body();
        let tokens = draft_tokens(&*self.compactor.counter, Kind::Compaction, &body);
        let landing = Landing {
            session: self.session,
            branch: self.branch,
            high_water: measure,
            first_kept: chosen.first_kept.as_ref().map(|place| place.id),
            lifted: &lifted,
            draft: self.session.draft(Kind::Compaction, body).tokens(tokens),
            forced: self.options.force,
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

    async fn summarize(&self, job: treering_provider::SummaryJob) -> Result<Summary> {
        let summarizer = &self.compactor.summarizer;
        let failed = |source| Error::Summarizer { name: summarizer.name().to_owned(), source };
        let summary = summarizer.summarize(job).await.map_err(failed)?;
        if summary.text.trim().is_empty() {
            return Err(failed(ProviderError::BadReply(Flaw::Blank)));
        }
        Ok(summary)
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
