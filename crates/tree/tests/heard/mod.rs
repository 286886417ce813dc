//! An ear for all that is told, and what must not be.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test speaks by panicking")]

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tracing::Dispatch;

/// Stands in every body, and in no name.
pub(crate) const CANARY: &str = "c4n4ry-in-a-body";

/// What was told: events, spans, errors, what `Debug` shows.
#[derive(Clone)]
pub(crate) struct Heard(Arc<Mutex<String>>);

impl Default for Heard {
    fn default() -> Self {
        // Where there is one subscriber, the thread that comes first to an event says for all whether it is told: that
        // of another test, which has none. Where there are two, both are asked.
        static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Heard(Arc::default())));
        LazyLock::force(&ANOTHER);
        Self(Arc::default())
    }
}

impl Heard {
    /// What a program may show of it.
    pub(crate) fn hear(&self, value: &dyn Debug) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(heard, "{value:?} {value:#?}").unwrap();
    }

    /// An error and its causes, likewise.
    pub(crate) fn error(&self, error: &dyn std::error::Error) {
        let mut cause = Some(error);
        while let Some(error) = cause {
            self.hear(&error);
            self.hear(&error.to_string());
            cause = error.source();
        }
    }

    /// All that was told.
    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was told, which must be something, without the canary.
    pub(crate) fn is_quiet(&self, expected: &[&str]) {
        let heard = self.text();
        for expected in expected {
            assert!(heard.contains(expected), "{expected:?} was not told: {heard}");
        }
        if let Some(at) = heard.find(&CANARY[..CANARY.len() - 1]) {
            let from = heard[..at].rfind('\n').map_or(0, |at| at + 1);
            let to = heard[at..].find('\n').map_or(heard.len(), |to| at + to);
            panic!("told: {}", &heard[from..to]);
        }
    }
}

impl tracing::field::Visit for Heard {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn Debug) {
        self.hear(&format!("{field}: {value:?}"));
    }
}

impl tracing::Subscriber for Heard {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        self.hear(&span.metadata().name());
        span.record(&mut self.clone());
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        values.record(&mut self.clone());
    }
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        self.hear(&event.metadata().target());
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}
