//! A summarizer that takes its turn: so many calls at once per endpoint and model, and a deadline.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use treering_tree::Summary;

use crate::error::{Error, Result};
use crate::summarizer::{Summarizer, SummaryJob};

/// Permits per endpoint and model, shared by everything that calls them. A server that answers the
/// main conversation keeps a slot for it when the summarizer's permits are fewer than its slots.
#[derive(Clone, Debug, Default)]
pub struct Permits(Arc<Mutex<Semaphores>>);

/// By endpoint and model.
type Semaphores = BTreeMap<(String, String), Arc<Semaphore>>;

impl Permits {
    /// No permits given out yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The permits of a model at an endpoint: `at_once` of them if these are the first that are
    /// asked for, at least one.
    fn of(&self, endpoint: &str, model: &str, at_once: usize) -> Arc<Semaphore> {
        // The map is whole at every moment, so a panic elsewhere does not spoil it.
        let mut permits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (endpoint.to_owned(), model.to_owned());
        let fresh = || Arc::new(Semaphore::new(at_once.clamp(1, Semaphore::MAX_PERMITS)));
        permits.entry(key).or_insert_with(fresh).clone()
    }
}

/// Waits for a permit, and gives the call up at a deadline.
///
/// The deadline needs a tokio runtime with its timer enabled; without one, none is needed.
#[derive(Clone, Debug)]
pub struct Limited<S> {
    inner: S,
    permits: Arc<Semaphore>,
    deadline: Option<Duration>,
}

impl<S: Summarizer> Limited<S> {
    /// `inner`, at most `at_once` calls of it and its like at once. Local servers want 1.
    pub fn new(inner: S, permits: &Permits, endpoint: &str, model: &str, at_once: usize) -> Self {
        Self { inner, permits: permits.of(endpoint, model, at_once), deadline: None }
    }

    /// Gives up after this long, the wait for a permit included.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    async fn in_turn(&self, job: SummaryJob) -> Result<Summary> {
        // The semaphore is never closed.
        let _permit = self.permits.acquire().await.map_err(|_| Error::Cancelled)?;
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
