//! What a caller hears of its change. It takes along what is left to do for it, so that the one writer has less
//! to do: callers are many.

use std::sync::Arc;

use super::cache::Caches;
use super::prepare::Prepared;
use crate::error::{Error, Result};
use crate::store::{Committed, Stored};

/// What became of a change, and what is left of it.
pub(super) struct Answer {
    outcome: Result<Committed>,
    appended: Vec<Stored>,
    /// Those that belong to the state the change was applied to: where bodies were erased since, nobody reads
    /// them any more.
    caches: Option<Arc<Caches>>,
    /// It is let go of where it was made: memory that goes back to another thread costs both.
    change: Option<Box<Prepared>>,
}

impl Answer {
    pub(super) fn new(
        (outcome, appended): (Result<Committed>, Vec<Stored>),
        caches: &Arc<Caches>,
        change: Box<Prepared>,
    ) -> Self {
        Self { outcome, appended, caches: Some(Arc::clone(caches)), change: Some(change) }
    }

    /// That of a change whose outcome is unknown.
    pub(super) fn failed(error: Error) -> Self {
        Self { outcome: Err(error), appended: Vec::new(), caches: None, change: None }
    }

    /// Does what is left to do; called by the caller.
    pub(super) fn taken(self) -> Result<Committed> {
        let Self { outcome, appended, caches, change } = self;
        drop(change);
        if let Some(caches) = caches {
            for stored in appended {
                caches.keep(stored);
            }
        }
        outcome
    }
}
