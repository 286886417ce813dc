//! What can go wrong between a conversation and its summary, grouped by what the caller can do
//! about it. No text holds a key, a header or a body.

use std::time::Duration;

/// Result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller can do about an error; rims map it to exit codes, HTTP status and exceptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The same call may succeed later: wait and retry, or fall back.
    Transient,
    /// The provider will not do it for this key or request: fix the settings.
    Refused,
    /// The prompt is larger than the model's window: send less.
    Overflow,
    /// The answer is no summary: ask once more, or fall back.
    BadReply,
    /// The caller gave up.
    Cancelled,
    /// The request cannot be right whatever the provider says: fix the request.
    Invalid,
}

/// An error of a counter or summarizer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The prompt does not fit.
    #[error("prompt of {} tokens is over the model's window of {}; send less or use a larger model", known(*.prompt), known(*.limit))]
    Overflow {
        /// Size of the prompt in tokens, where the provider said it.
        prompt: Option<u64>,
        /// The model's window in tokens, where the provider said it.
        limit: Option<u64>,
    },
    /// Too many requests.
    #[error("rate limited by the provider; retry {}", .after.map_or_else(|| "later".to_owned(), |after| format!("after {} ms", after.as_millis())))]
    RateLimited {
        /// How long the provider wants to be left alone.
        after: Option<Duration>,
    },
    /// The provider could not be reached, or failed on its side.
    #[error("provider unavailable: {detail}")]
    Unavailable {
        /// What happened, with the status where there was one.
        detail: String,
        /// How long the provider wants to be left alone.
        after: Option<Duration>,
    },
    /// A limit of time passed.
    #[error("no answer: {what} took longer than the limit of {limit_ms} ms")]
    Timeout {
        /// Which wait: "connect", "first byte", "idle" or "whole call".
        what: &'static str,
        /// The limit.
        limit_ms: u64,
    },
    /// The provider does not accept the key.
    #[error("the provider does not accept the key (status {status}); check the key's setting")]
    Auth {
        /// HTTP status.
        status: u16,
    },
    /// The provider refuses this request, or the model refuses to answer.
    #[error("refused by the provider: {detail}")]
    Refused {
        /// Why, in the provider's words, shortened, without what was sent.
        detail: String,
    },
    /// The answer is no summary.
    #[error("no summary in the answer: {0}")]
    BadReply(Flaw),
    /// The caller gave up.
    #[error("cancelled")]
    Cancelled,
    /// The job or the settings break a rule.
    #[error("invalid {what}: {why}")]
    Invalid {
        /// Which part.
        what: &'static str,
        /// The rule and what was found instead.
        why: String,
    },
}

/// Why an answer is no summary.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Flaw {
    /// Nothing but white space.
    #[error("it is blank")]
    Blank,
    /// The model ran into its output limit.
    #[error("it was cut off at the output limit")]
    Truncated,
    /// It is no smaller than what it stands for.
    #[error("it has {found} tokens and stands for {limit}")]
    Inflated {
        /// Tokens of the answer.
        found: u64,
        /// Tokens it must stay under.
        limit: u64,
    },
    /// A heading the prompt asked for is missing.
    #[error("the heading {missing:?} is missing")]
    OffTemplate {
        /// The heading.
        missing: String,
    },
    /// The model called tools instead of answering.
    #[error("it calls tools")]
    ToolCalls,
    /// It is not what the dialect promises.
    #[error("it is not what the protocol promises: {0}")]
    Protocol(String),
}

impl Error {
    /// The group an error belongs to.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Overflow { .. } => ErrorKind::Overflow,
            Self::RateLimited { .. } | Self::Unavailable { .. } | Self::Timeout { .. } => {
                ErrorKind::Transient
            }
            Self::Auth { .. } | Self::Refused { .. } => ErrorKind::Refused,
            Self::BadReply(_) => ErrorKind::BadReply,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Invalid { .. } => ErrorKind::Invalid,
        }
    }
}

fn known(tokens: Option<u64>) -> String {
    tokens.map_or_else(|| "unknown".to_owned(), |tokens| tokens.to_string())
}
