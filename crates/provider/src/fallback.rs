//! One summarizer after another.

use async_trait::async_trait;
use serde_json::{Value, json};
use treering_tree::Summary;

use crate::error::{ErrorKind, Result};
use crate::summarizer::{Summarizer, SummaryJob};

/// Asks the second summarizer when the first fails, but for [`Error::Cancelled`] and
/// [`Error::Invalid`]; the reason is on record with what the second made.
///
/// [`Error::Cancelled`]: crate::Error::Cancelled
/// [`Error::Invalid`]: crate::Error::Invalid
#[derive(Clone, Debug)]
pub struct Fallback<A, B> {
    first: A,
    second: B,
}

impl<A: Summarizer, B: Summarizer> Fallback<A, B> {
    /// `first`, and `second` where that fails.
    pub fn new(first: A, second: B) -> Self {
        Self { first, second }
    }
}

#[async_trait]
impl<A: Summarizer, B: Summarizer> Summarizer for Fallback<A, B> {
    async fn summarize(&self, job: SummaryJob) -> Result<Summary> {
        let error = match self.first.summarize(job.clone()).await {
            Err(error) if !matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Invalid) => {
                error
            }
            done => return done,
        };
        let summary = self.second.summarize(job).await?;
        let made_by = json!({
            "summarizer": self.second.name(),
            "instead_of": self.first.name(),
            "fallback": error.to_string(),
            "details": summary.made_by.unwrap_or(Value::Null),
        });
        Ok(Summary { made_by: Some(made_by), ..summary })
    }

    fn name(&self) -> &'static str {
        "fallback"
    }
}
