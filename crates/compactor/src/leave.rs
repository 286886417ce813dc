//! What is told of a branch that is left: a summary of it, under the head that is gone to.

use serde::Serialize;
use treering_policy::Policy;
use treering_provider::{Error as ProviderError, Flaw, SummaryJob};
use treering_tree::context::{Form, Source};
use treering_tree::{Context, Expect, Id, Kind, Seek, Session};

use crate::count::counted;
use crate::error::{Error, Result};
use crate::gather::{entry, summary_of};
use crate::run::Compactor;

/// What a branch summary did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BranchSummary {
    /// Its entry, the new head; `None` where nothing was left behind.
    pub entry: Option<Id>,
    /// The newest entry both heads stand on; `None` where they share none.
    pub common: Option<Id>,
    /// Entries that were summarized.
    pub summarized_count: u64,
}

impl Compactor {
    /// Summarizes what was left, from the head `left` down to what it shares with the active head, and
    /// appends that behind the active head. Call it after a rewind, a fork or a switch. Where `left` is
    /// an ancestor of the active head nothing was left behind, and nothing is written.
    ///
    /// # Errors
    /// `NotFound` for an unknown session or `left`, `Conflict` where the head moved meanwhile, the
    /// summarizer's errors, `Corrupt`, `Storage`.
    pub async fn summarize_branch(
        &self,
        session: &Session,
        left: Id,
        policy: &Policy,
    ) -> Result<BranchSummary> {
        let store = &**session.store();
        let head = session.head().await?;
        let common = match head {
            Some(head) => store.seek(left, &[Seek::Common(head)]).await?.pop().flatten(),
            None => None,
        };
        let mut summary = BranchSummary {
            entry: None,
            common: common.as_ref().map(|place| place.id),
            summarized_count: 0,
        };
        let budget = policy.budget().summary();
        let mut job = SummaryJob {
            hint: policy.summary_hint.clone(),
            budget_tokens: u32::try_from(budget).unwrap_or(u32::MAX),
            ..SummaryJob::default()
        };
        let shared = common.map(|place| place.depth);
        for item in Context::at(store, left).await?.items.iter() {
            let is_left = shared.is_none_or(|depth| item.stored.place.depth > depth);
            match (&item.form, item.source) {
                _ if !is_left => {}
                (Form::Interrupted { .. }, _) => {}
                (_, Source::Summary) => job.previous = Some(summary_of(&item.stored)),
                _ => job.entries.push(entry(&item.stored)),
            }
        }
        if job.entries.is_empty() && job.previous.is_none() {
            return Ok(summary);
        }
        summary.summarized_count = job.entries.len() as u64;
        let failed = |source| Error::Summarizer { name: self.summarizer.name().to_owned(), source };
        let told = self.summarizer.summarize(job).await.map_err(failed)?;
        if told.text.trim().is_empty() {
            return Err(failed(ProviderError::BadReply(Flaw::Blank)));
        }
        let body = told.body();
        let draft = session.draft(Kind::BranchSummary, body).target(left);
        let draft = counted(&*self.counter, draft);
        let expect = head.map_or(Expect::Empty, Expect::Head);
        summary.entry = session.append(draft, expect).await?.ids.pop();
        Ok(summary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunOptions;
    use crate::kit::{Desk, keeping, scripted};

    #[tokio::test]
    async fn what_was_left_is_told_behind_the_new_head() {
        let desk = Desk::with("u40 a40 u30 a30>1 t10 a20").await;
        let (compactor, script) = scripted(&["tried and dropped"]);
        let left = desk.head().await;
        desk.session.rewind(Some(desk.ids[1]), Expect::Any).await.unwrap();
        let policy = Policy { summary_hint: Some("names".to_owned()), ..keeping(50) };
        let done = compactor.summarize_branch(&desk.session, left, &policy).await.unwrap();
        let job = &script.jobs()[0];
        assert_eq!((job.hint.as_deref(), job.budget_tokens), (Some("names"), 100));
        let told: Vec<Id> = script.jobs()[0].entries.iter().map(|entry| entry.id).collect();
        assert_eq!(told, desk.ids[2..]);
        assert_eq!((done.common, done.summarized_count), (Some(desk.ids[1]), 4));
        assert_eq!(done.entry, Some(desk.head().await));
        assert_eq!(desk.shown().await, [desk.ids[0], desk.ids[1], desk.head().await]);
        // Nothing is left where the head only went on.
        let again = compactor.summarize_branch(&desk.session, desk.ids[1], &keeping(50)).await;
        assert_eq!(again.unwrap().entry, None);
        assert_eq!(script.jobs().len(), 1);
    }

    #[tokio::test]
    async fn a_call_that_was_interrupted_is_told_once() {
        let desk = Desk::with("u40 a40 u30 a30>1 u20 a20").await;
        let (compactor, script) = scripted(&["tried and dropped"]);
        let left = desk.head().await;
        desk.session.rewind(Some(desk.ids[1]), Expect::Any).await.unwrap();
        let done = compactor.summarize_branch(&desk.session, left, &keeping(50)).await.unwrap();
        let told: Vec<Id> = script.jobs()[0].entries.iter().map(|entry| entry.id).collect();
        assert_eq!((&told[..], done.summarized_count), (&desk.ids[2..], 4));
    }

    #[tokio::test]
    async fn a_summary_on_the_branch_that_was_left_is_an_input() {
        let mut desk = Desk::with("u400 a150 u20 a20").await;
        let (compactor, script) = scripted(&["first", "both"]);
        compactor.run(&desk.session, &keeping(50), &RunOptions::default()).await.unwrap();
        desk.say("u5").await;
        let left = desk.head().await;
        desk.session.rewind(Some(desk.ids[0]), Expect::Any).await.unwrap();
        compactor.summarize_branch(&desk.session, left, &keeping(50)).await.unwrap();
        assert_eq!(script.jobs()[1].previous.as_ref().unwrap().text, "first");
    }
}
