//! How large a model's prompt may be, asked of everyone who may know; and how large a text is, by
//! the server's own count.

use std::sync::atomic::Ordering;

use serde::Serialize;
use serde_json::Value;

use super::dialect::Request;
use super::failure::Failure;
use super::model::Model;
use crate::error::{Error, ErrorKind, Result};

/// A model's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its size in tokens: prompt and answer together.
    pub tokens: u64,
    /// Who said so.
    pub source: WindowSource,
}

/// Who knows a model's window, the surest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WindowSource {
    /// [`Settings::window_tokens`](super::Settings::window_tokens).
    Configured,
    /// llama-server, for one of its slots.
    Props,
    /// The llama-server behind a llama-swap.
    Upstream,
    /// The list of models.
    Models,
    /// An overflow error of an earlier call.
    Overflow,
}

/// One place to ask.
pub(super) struct Probe {
    source: WindowSource,
    url: String,
    /// Finds the number for a model in what comes back.
    read: fn(&Value, &str) -> Option<u64>,
}

impl Probe {
    pub(super) fn new(
        source: WindowSource,
        url: String,
        read: fn(&Value, &str) -> Option<u64>,
    ) -> Self {
        Self { source, url, read }
    }
}

/// How a text is counted.
pub(super) struct Count {
    pub(super) request: Request,
    /// Where the count stands in what comes back.
    pub(super) tokens: &'static str,
}

impl Model {
    /// The model's window: as configured, as the server says, or as an overflow error of an earlier
    /// call said. `None` where nobody knows: then nothing can be decided by size, and an overflow
    /// error is the first to tell.
    ///
    /// # Errors
    /// `Unavailable` and `Timeout` when the server cannot be reached, `Auth` when it does not accept
    /// the key.
    pub async fn window(&self) -> Result<Option<Window>> {
        let known = |tokens, source| Ok(Some(Window { tokens, source }));
        if let Some(tokens) = self.settings.window_tokens {
            return known(tokens, WindowSource::Configured);
        }
        let mut auth = None;
        for probe in self.dialect.windows(&self.base, &self.settings.model) {
            let limit = self.settings.limits.first_byte;
            match self.json(self.client.get(&probe.url), &Value::Null, limit).await {
                Ok(value) => {
                    let tokens = (probe.read)(&value, &self.settings.model);
                    if let Some(tokens) = tokens.filter(|tokens| *tokens > 0) {
                        return known(tokens, probe.source);
                    }
                }
                Err(Failure { error: error @ Error::Auth { .. }, .. }) => auth = Some(error),
                // A server has few of these pages.
                Err(failure) if is_about_the_page(&failure.error) => {}
                Err(failure) => return Err(failure.error),
            }
        }
        match (self.learnt_window.load(Ordering::Relaxed), auth) {
            (0, Some(error)) => Err(error),
            (0, None) => Ok(None),
            (tokens, _) => known(tokens, WindowSource::Overflow),
        }
    }

    /// Tokens of a message of this text, as the server counts them; `None` where it does not count.
    ///
    /// # Errors
    /// As [`window`](Self::window).
    pub async fn count(&self, text: &str) -> Result<Option<u64>> {
        let count = self.dialect.count(&self.base, &self.settings.model, text);
        let Request { url, body } = count.request;
        let request = self.client.post(url).body(body.to_string());
        match self.json(request, &body, self.settings.limits.first_byte).await {
            Ok(value) => Ok(value.pointer(count.tokens).and_then(Value::as_u64)),
            Err(failure) if is_about_the_page(&failure.error) => Ok(None),
            Err(failure) => Err(failure.error),
        }
    }
}

/// The server is there, but not this page of it.
fn is_about_the_page(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::BadReply | ErrorKind::Overflow)
        || matches!(error, Error::Refused { .. })
}
