//! Automatic compaction: a look after every append, a start in the background when it is due, a wait
//! only where the next call would fail.

use serde::{Deserialize, Serialize};
use treering_policy::{Breaker, Outcome, Policy, Reading, Rest, SkipReason, should_compact};
use treering_provider::Calibrations;
use treering_tree::{Committed, Draft, Expect, Measure, Session};

use crate::error::Result;
use crate::flight::Handle;
use crate::gauge::{self, Known};
use crate::lease::Lease;
use crate::remembered;
use crate::run::{CompactionResult, Compactor};

/// How many compactions are waited for until a context fits.
const WAITS: u64 = 3;

/// What a look came to. Sizes are in tokens.
#[derive(Debug)]
#[non_exhaustive]
pub enum Look {
    /// The context is not due.
    Fits {
        /// Its size.
        tokens: u64,
    },
    /// A compaction was started in the background; it goes on when the handle is dropped.
    Started(Handle),
    /// It is due, and rests: nothing was started.
    Rests(Rest),
}

/// Whether the next call fits. Sizes are in tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fit {
    /// Size of the context.
    pub tokens: u64,
    /// What it must not pass.
    pub emergency: u64,
    /// Whether it does not.
    pub fits: bool,
    /// What the compaction that was waited for came to.
    pub compaction: Option<CompactionResult>,
    /// Why nothing more was started.
    pub rest: Option<Rest>,
}

/// Everything that is known of a branch's compactions: for `stats`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Who compacts it, and what came last.
    pub lease: Lease,
    /// Whether automatic compaction rests, and what it counts.
    pub breaker: Breaker,
    /// Size of the context in tokens, as a look sees it: reported, or by what reports taught.
    pub tokens: u64,
    /// What reports of the session's models taught.
    pub calibrations: Calibrations,
}

/// Compacts a session by itself. Cheap to clone; what it remembers is in the store.
#[derive(Clone, Debug)]
pub struct Watch {
    compactor: Compactor,
    session: Session,
    /// The same with sizes by the compactor's counter.
    counted: Session,
    policy: Policy,
}

impl Compactor {
    /// Watches a session: call [`Watch::look`] after every append, or append through the watch.
    pub fn watch(&self, session: &Session, policy: &Policy) -> Watch {
        let counted = self.recounted(session);
        Watch { compactor: self.clone(), session: session.clone(), counted, policy: policy.clone() }
    }

    /// What is known of compactions of the active branch.
    ///
    /// # Errors
    /// `NotFound` for an unknown session, `Corrupt`, `Storage`.
    pub async fn status(&self, session: &Session) -> Result<Status> {
        let branch = session.info().await?.active;
        let (lease, _) = Lease::read(session, &branch).await?;
        let breaker = remembered::read(session, &branch).await?.0;
        let measure = self.recounted(session).measure().await?;
        let tokens = measure.map_or(0, |measure| measure.tokens);
        let known = Known::read(&**session.store(), session.name()).await?;
        Ok(Status { lease, breaker, tokens, calibrations: known.calibrations })
    }

    /// Forgets failures and strikes of the active branch, so that it may fire again.
    ///
    /// # Errors
    /// `NotFound` for an unknown session, `Corrupt`, `Storage`.
    pub async fn rearm(&self, session: &Session) -> Result<()> {
        let branch = session.info().await?.active;
        remembered::change(session, &branch, |breaker| *breaker = Breaker::default()).await
    }
}

impl Watch {
    /// Appends to the active branch, and looks.
    ///
    /// # Errors
    /// As [`Session::append`]; what goes wrong with the look shows at the next one.
    pub async fn append(&self, draft: Draft, expect: Expect) -> Result<(Committed, Look)> {
        let committed = self.session.append(draft, expect).await?;
        Ok((committed, self.look().await?))
    }

    /// Starts a compaction in the background where it is due and does not rest. Where it is not that is
    /// a few look-ups: at most the last 64 entries are searched for the newest answer with a report,
    /// which is learnt from once, with one small commit. Needs a tokio runtime with its timer enabled.
    ///
    /// # Errors
    /// `NotFound` for an unknown session, `Corrupt`, `Storage`.
    pub async fn look(&self) -> Result<Look> {
        gauge::learn(&self.session, &self.compactor.sizes(&self.session)).await?;
        let Some(measure) = self.counted.measure().await? else {
            return Ok(Look::Fits { tokens: 0 });
        };
        if !should_compact(measure.tokens, &self.policy) {
            return Ok(Look::Fits { tokens: measure.tokens });
        }
        self.fire(&measure).await
    }

    /// Waits until the context is at most the policy's emergency mark, or nothing more can be done
    /// about it. Where it is under the mark this does not wait for anything.
    ///
    /// # Errors
    /// As [`Watch::look`], and those of the compaction that was waited for.
    pub async fn ensure_fits(&self) -> Result<Fit> {
        let emergency = self.policy.budget().emergency;
        let mut compaction = None;
        for tries in 0..=WAITS {
            let tokens = self.counted.measure().await?.map_or(0, |measure| measure.tokens);
            let fits = self.policy.window == 0 || tokens <= emergency;
            let fit = |rest, compaction| Fit { tokens, emergency, fits, compaction, rest };
            let look = self.look().await?;
            match look {
                Look::Started(mut handle) if !fits && tries < WAITS => {
                    compaction = Some(handle.result().await?);
                }
                Look::Rests(rest) => return Ok(fit(Some(rest), compaction)),
                _ => return Ok(fit(None, compaction)),
            }
        }
        Err(crate::Error::Aborted)
    }

    async fn fire(&self, measure: &Measure) -> Result<Look> {
        let branch = self.session.info().await?.active;
        if let Some(handle) = self.compactor.joined(&self.session, &branch) {
            return Ok(Look::Started(handle));
        }
        let reading = reading(measure, &self.policy);
        let mut fired = Ok(());
        remembered::change(&self.session, &branch, |breaker| fired = breaker.fire(reading)).await?;
        if let Err(rest) = fired {
            return Ok(Look::Rests(rest));
        }
        let handle = self.compactor.start_counted(&self.session, &branch, &self.policy);
        let mut settling = handle.another();
        let watch = self.clone();
        tokio::spawn(async move {
            let result = settling.result().await;
            watch.settle(&branch, &result).await;
        });
        Ok(Look::Started(handle))
    }

    /// Counts what came of it, unless it landed: then that was counted in the same step.
    async fn settle(&self, branch: &str, result: &Result<CompactionResult>) {
        let outcome = match result {
            Err(crate::Error::Cancelled | crate::Error::Aborted) => return,
            Err(_) => Outcome::Failed,
            Ok(CompactionResult { skipped_reason: Some(reason), .. }) if is_useless(reason) => {
                Outcome::Useless
            }
            Ok(_) => return,
        };
        let policy = &self.policy;
        let settled =
            remembered::change(&self.session, branch, |breaker| breaker.settle(outcome, policy));
        if let Err(error) = settled.await {
            tracing::warn!(session = self.session.name(), branch, %error, "breaker not kept");
        }
    }
}

/// Whether trying again with the same context would come to the same.
fn is_useless(reason: &SkipReason) -> bool {
    matches!(
        reason,
        SkipReason::AllKept { .. }
            | SkipReason::NoLegalCut { .. }
            | SkipReason::Unreachable { .. }
            | SkipReason::NoProgress { .. }
    )
}

fn reading(measure: &Measure, policy: &Policy) -> Reading {
    let cut = measure.compaction.as_ref().and_then(|place| place.cut.as_ref());
    Reading {
        tokens: measure.tokens,
        through: measure.head.tokens_through,
        overhead: cut.map_or(0, |cut| cut.lifted_tokens),
        window: policy.window,
    }
}

#[cfg(test)]
mod tests;
