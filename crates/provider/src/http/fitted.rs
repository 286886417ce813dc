//! A model that is given what fits it, in turn, and so long.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::timeout;
use treering_tree::Summary;

use super::model::Model;
use crate::error::{Error, Result};
use crate::folding::Folding;
use crate::limited::Limited;
use crate::permits::Permits;
use crate::summarizer::{Summarizer, SummaryJob};

/// A model as a compaction wants it: heads larger than its window are folded, its calls take turns,
/// and all of them together take no longer than [`Limits::whole`](super::Limits::whole).
///
/// The window is the model's own, asked for when there is something to summarize. Where nobody
/// tells it, overflow errors do. Put it inside a [`Hybrid`](crate::Hybrid).
#[derive(Clone, Debug)]
pub struct Fitted {
    model: Arc<Model>,
    in_turn: Limited<Arc<Model>>,
}

impl Fitted {
    /// `model`, at most `at_once` calls of it at once among all that share these permits.
    pub fn new(model: Arc<Model>, permits: &Permits, at_once: usize) -> Self {
        let settings = model.settings();
        let in_turn =
            Limited::new(model.clone(), permits, &settings.base_url, &settings.model, at_once);
        Self { model, in_turn }
    }

    async fn fold(&self, job: SummaryJob) -> Result<Summary> {
        // A server that cannot be asked fails the call itself, with the tries that it deserves.
        let window = self.model.window().await.ok().flatten();
        let tokens = window.map_or(u64::MAX, |window| window.tokens);
        Folding::new(self.in_turn.clone(), tokens).summarize(job).await
    }
}

#[async_trait]
impl Summarizer for Fitted {
    async fn summarize(&self, job: SummaryJob) -> Result<Summary> {
        let whole = self.model.settings().limits.whole;
        let limit_ms = u64::try_from(whole.as_millis()).unwrap_or(u64::MAX);
        let late = |_| Error::Timeout { what: "whole call", limit_ms };
        timeout(whole, self.fold(job)).await.map_err(late)?
    }

    fn name(&self) -> &str {
        self.model.name()
    }
}
