//! What happens to compactions, as a bounded stream of numbers: never a body, never a text.

use tokio::sync::broadcast;

use crate::error::ErrorKind;
use crate::flight::Key;
use crate::run::CompactionResult;

/// Events that wait for one listener; older ones are missed, and counted.
pub(crate) const EVENTS: usize = 256;

/// Something that happened to a compaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The session.
    pub session: String,
    /// The branch.
    pub branch: String,
    /// What happened.
    pub what: Happened,
}

/// What happened. Sizes are in tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Happened {
    /// A compaction began; nothing is decided yet.
    Started,
    /// The summarizer was given a piece of work.
    Chunk {
        /// Entries.
        entries: u64,
        /// Their size.
        tokens: u64,
        /// What the summary may take.
        budget: u64,
    },
    /// The result is in the session.
    Landed(CompactionResult),
    /// Nothing was written, for the reason in the result.
    Skipped(CompactionResult),
    /// Nothing was written: an error of this kind.
    Failed(ErrorKind),
}

/// A listener to a compactor's events.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<Event>);

impl Events {
    pub(crate) fn new(sender: &broadcast::Sender<Event>) -> Self {
        Self(sender.subscribe())
    }

    /// The next event; `Err` with how many were missed where this listener was too slow, `None` when
    /// the last clone of the compactor is gone.
    pub async fn next(&mut self) -> Option<Result<Event, u64>> {
        match self.0.recv().await {
            Ok(event) => Some(Ok(event)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Err(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// Tells everybody who listens; nobody need.
pub(crate) fn tell(sender: &broadcast::Sender<Event>, key: &Key, what: Happened) {
    let (_, session, branch) = key.clone();
    // An error says that nobody listens.
    let _ = sender.send(Event { session, branch, what });
}
