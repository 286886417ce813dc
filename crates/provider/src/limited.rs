//! A summarizer that takes its turn: so many calls at once per endpoint and model, and a deadline.

use std::time::Duration;

use async_trait::async_trait;
use treering_tree::Summary;

use crate::error::{Error, Result};
use crate::permits::{Caller, Gate, Permits};
use crate::summarizer::{Summarizer, SummaryJob};

/// Waits for a permit, and gives the call up at a deadline.
///
/// The deadline needs a tokio runtime with its timer enabled; without one, none is needed.
#[derive(Clone, Debug)]
pub struct Limited<S> {
    inner: S,
    gate: Gate,
    deadline: Option<Duration>,
}

impl<S: Summarizer> Limited<S> {
    /// `inner`, at most `at_once` calls of it and its like at once. Local servers want 1.
    pub fn new(inner: S, permits: &Permits, endpoint: &str, model: &str, at_once: usize) -> Self {
        Self { inner, gate: permits.of(endpoint, model, at_once), deadline: None }
    }

    /// Gives up after this long, the wait for a permit included.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    async fn in_turn(&self, job: SummaryJob) -> Result<Summary> {
        let _permit = self.gate.take(Caller::Compaction).await;
        self.inner.summarize(job).await
    }
}

#[async_trait]
impl<S: Summarizer> Summarizer for Limited<S> {
    async fn summarize(&self, job: SummaryJob) -> Result<Summary> {
        let Some(deadline) = self.deadline else {
            return self.in_turn(job).await;
        };
        let limit_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        let late = |_| Error::Timeout { what: "whole call", limit_ms };
        tokio::time::timeout(deadline, self.in_turn(job)).await.map_err(late)?
    }

    fn name(&self) -> &str {
        self.inner.name()
    }
}
