//! A model's prose above the ledger's index: what a list cannot say, and what prose loses. Where
//! the model fails, the ledger alone is the summary.

use async_trait::async_trait;
use serde_json::{Value, json};
use treering_tree::Summary;

use crate::byte_classes::ByteClasses;
use crate::count::TokenCounter;
use crate::error::{Error, ErrorKind, Flaw, Result};
use crate::ledger::{Facts, Ledger};
use crate::prompt::{Prompt, SUMMARIZE};
use crate::summarizer::{Summarizer, SummaryJob};

/// Answers a model may give: the first, and one corrected.
const ATTEMPTS: u32 = 2;
/// Part of the budget that is the index's: one of so many.
const INDEX_PART: u32 = 3;
/// Prose may be this many times as long as it was asked to be.
const TOLERANCE: u64 = 2;

/// Prose of a summarizer above the index of the [`Ledger`].
///
/// The prose is held to the prompt's headings, must not be blank, cut off or inflated; an answer
/// that is gets one corrective retry. Every failure but [`Error::Cancelled`] and
/// [`Error::Invalid`] leaves the ledger alone as the summary, with the reason on record: a
/// compaction never fails for want of a model.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use treering_provider::{Error, Hybrid, Scripted, Summarizer, SummaryJob};
///
/// let model = Scripted::new([Err(Error::Auth { status: 401 })]);
/// let job = SummaryJob { budget_tokens: 1_000, ..SummaryJob::default() };
/// let summary = Hybrid::new(model).summarize(job).await.unwrap();
/// assert!(summary.text.starts_with("# Ledger"));
/// assert!(summary.made_by.unwrap()["fallback"].as_str().unwrap().contains("status 401"));
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Hybrid<S> {
    model: S,
    prompt: Prompt,
    strict: bool,
}

/// What a model came to.
#[derive(Default)]
struct Asked {
    /// Answers it was asked for.
    attempts: u32,
    /// What made the answers that were of no use: they cost something too.
    rejected: Vec<Value>,
}

impl<S: Summarizer> Hybrid<S> {
    /// A hybrid whose prose comes from `model`.
    pub fn new(model: S) -> Self {
        Self { model, prompt: SUMMARIZE, strict: false }
    }

    /// The same, but a model that fails is an error: the ledger never stands in alone.
    #[must_use]
    pub fn strict(self) -> Self {
        Self { strict: true, ..self }
    }

    /// Prose that passes, and what it took.
    async fn prose(&self, job: &SummaryJob) -> (Result<Summary>, Asked) {
        let mut ask = job.clone();
        let mut asked = Asked::default();
        loop {
            asked.attempts += 1;
            let answer = self.model.summarize(ask.clone()).await;
            let checked = answer.and_then(|answer| match self.flaw(job, &answer.text) {
                Some(flaw) => {
                    asked.rejected.extend(answer.made_by);
                    Err(Error::BadReply(flaw))
                }
                None => Ok(answer),
            });
            match checked {
                Err(Error::BadReply(flaw)) if asked.attempts < ATTEMPTS => {
                    ask.hint = Some(correction(job.hint.as_deref(), &flaw));
                }
                done => return (done, asked),
            }
        }
    }

    fn flaw(&self, job: &SummaryJob, prose: &str) -> Option<Flaw> {
        let found = u64::from(ByteClasses::default().count(prose));
        let limit = (u64::from(job.budget_tokens) * TOLERANCE).min(stands_for(job));
        self.prompt
            .flaw(prose)
            .or_else(|| (found > limit).then_some(Flaw::Inflated { found, limit }))
    }
}

/// Tokens of everything a summary of this job stands for.
fn stands_for(job: &SummaryJob) -> u64 {
    let counter = ByteClasses::default();
    let previous = job.previous.as_ref().map_or(0, |summary| counter.count(&summary.text));
    job.entry_tokens() + u64::from(previous)
}

fn correction(hint: Option<&str>, flaw: &Flaw) -> String {
    let hint = hint.map(|hint| format!("{hint}\n")).unwrap_or_default();
    format!(
        "{hint}Your last answer could not be used: {flaw}. Answer with the summary alone, under all \
         the headings, shorter."
    )
}

#[async_trait]
impl<S: Summarizer> Summarizer for Hybrid<S> {
    async fn summarize(&self, job: SummaryJob) -> Result<Summary> {
        let facts = Facts::of(&job);
        let index_tokens = (job.budget_tokens / INDEX_PART).max(Ledger::MIN_BUDGET_TOKENS);
        let mut ask = job.clone();
        ask.budget_tokens = job.budget_tokens.saturating_sub(index_tokens);
        if let (Some(previous), Some(prose)) = (&mut ask.previous, facts.earlier_prose()) {
            prose.clone_into(&mut previous.text);
        }
        let (prose, asked) = self.prose(&ask).await;
        let mut made_by = json!({
            "summarizer": self.name(),
            "prompt": { "version": self.prompt.version, "hash": self.prompt.hash() },
            "attempts": asked.attempts,
        });
        if !asked.rejected.is_empty() {
            made_by["rejected"] = asked.rejected.into();
        }
        let summary = match prose {
            Ok(prose) => {
                made_by["prose"] = prose.made_by.unwrap_or(Value::Null);
                facts.under(&prose.text, &job, index_tokens)?
            }
            Err(error)
                if self.strict
                    || matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Invalid) =>
            {
                return Err(error);
            }
            Err(error) => {
                made_by["fallback"] = error.to_string().into();
                facts.summary(&job)?
            }
        };
        made_by["ledger"] = summary.made_by.unwrap_or(Value::Null);
        Ok(Summary { made_by: Some(made_by), ..summary })
    }

    fn name(&self) -> &'static str {
        "hybrid/1"
    }
}
