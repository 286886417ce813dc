//! A summarizer that says what it was told to say: for tests of everything that calls one.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use treering_tree::Summary;

use crate::error::{Error, Result};
use crate::summarizer::{Summarizer, SummaryJob};

/// Answers jobs from a queue and keeps the jobs. With the queue empty it is
/// [`Error::Unavailable`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use treering_provider::{Error, Scripted, Summarizer, SummaryJob};
///
/// let script = Scripted::new([Err(Error::Cancelled), Ok("fixed the parser".into())]);
/// assert_eq!(script.summarize(SummaryJob::default()).await, Err(Error::Cancelled));
/// let summary = script.summarize(SummaryJob::default()).await.unwrap();
/// assert_eq!(summary.text, "fixed the parser");
/// assert_eq!(script.jobs().len(), 2);
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Scripted {
    replies: Mutex<VecDeque<Result<Summary>>>,
    jobs: Mutex<Vec<SummaryJob>>,
}

impl Scripted {
    /// A summarizer that gives these texts and errors, in order.
    pub fn new(replies: impl IntoIterator<Item = Result<String>>) -> Self {
        let summary = |text| Summary { text, ..Summary::default() };
        Self::summaries(replies.into_iter().map(|reply| reply.map(summary)))
    }

    /// A summarizer that gives these whole summaries and errors, in order.
    pub fn summaries(replies: impl IntoIterator<Item = Result<Summary>>) -> Self {
        Self { replies: Mutex::new(replies.into_iter().collect()), jobs: Mutex::default() }
    }

    /// The jobs so far, in order.
    pub fn jobs(&self) -> Vec<SummaryJob> {
        held(&self.jobs).clone()
    }
}

#[async_trait]
impl Summarizer for Scripted {
    async fn summarize(&self, job: SummaryJob) -> Result<Summary> {
        held(&self.jobs).push(job);
        held(&self.replies).pop_front().unwrap_or_else(|| {
            Err(Error::Unavailable { detail: "the script has no more replies".into(), after: None })
        })
    }

    fn name(&self) -> &'static str {
        "scripted"
    }
}

/// Both queues are whole at every moment, so a panic elsewhere does not spoil them.
fn held<T>(queue: &Mutex<T>) -> MutexGuard<'_, T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}
