//! The seam behind which summaries are made: by a table of facts, by a model, by a test.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use treering_tree::{Id, Kind, Message, Summary};

use crate::error::Result;

/// Makes a summary of entries that leave the context.
///
/// # Contract
/// The summary stands for everything in [`SummaryJob::entries`] *and* everything
/// [`SummaryJob::previous`] stood for. Its text is not blank and aims at
/// [`SummaryJob::budget_tokens`]. Dropping the future abandons the work and frees what it held.
#[async_trait]
pub trait Summarizer: Send + Sync {
    /// Summarizes.
    ///
    /// # Errors
    /// Any [`Error`](crate::Error); the caller writes nothing then.
    async fn summarize(&self, job: SummaryJob) -> Result<Summary>;

    /// Name, as recorded with what it made.
    fn name(&self) -> &str;
}

#[async_trait]
impl<S: Summarizer + ?Sized> Summarizer for Arc<S> {
    async fn summarize(&self, job: SummaryJob) -> Result<Summary> {
        (**self).summarize(job).await
    }

    fn name(&self) -> &str {
        (**self).name()
    }
}

/// What is to be summarized.
#[derive(Clone, Default, PartialEq)]
pub struct SummaryJob {
    /// What leaves the context, oldest first.
    pub entries: Vec<JobEntry>,
    /// The summary that stood in the context so far: always an input, never dropped.
    pub previous: Option<Summary>,
    /// What the user wants the summary to mind.
    pub hint: Option<String>,
    /// Tokens the text may have.
    pub budget_tokens: u32,
    /// What stays verbatim behind the summary: to be read, not to be repeated.
    pub kept: Vec<JobEntry>,
}

/// One entry of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobEntry {
    /// The entry.
    pub id: Id,
    /// What it is.
    pub kind: Kind,
    /// The turn it belongs to (1 is the first; 0 comes before any).
    pub turn: u64,
    /// Its size in the context, in tokens.
    pub tokens: u32,
    /// What it says.
    pub message: Message,
}

impl SummaryJob {
    /// Tokens of the entries.
    pub fn entry_tokens(&self) -> u64 {
        self.entries.iter().map(|entry| u64::from(entry.tokens)).sum()
    }
}

impl fmt::Debug for SummaryJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SummaryJob")
            .field("entries", &self.entries.len())
            .field("previous", &self.previous.is_some())
            .field("hint", &self.hint.is_some())
            .field("budget_tokens", &self.budget_tokens)
            .field("kept", &self.kept.len())
            .finish()
    }
}
