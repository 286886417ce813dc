//! What the command line runs the engine with: one counter for every store, one summarizer. The only
//! file that names them.

use std::sync::Arc;

use treering_compactor::Compactor;
use treering_provider::{ByteClasses, Ledger, TokenCounter, count_message};
use treering_tree::{Body, Kind, Message};

fn counter() -> impl TokenCounter + 'static {
    ByteClasses::default()
}

/// The compactor.
pub(crate) fn compactor() -> Compactor {
    Compactor::new(Arc::new(counter()), Arc::new(Ledger))
}

/// Size of an entry in a context.
pub(crate) fn draft_tokens(kind: Kind, body: &Body) -> u32 {
    treering_compactor::draft_tokens(&counter(), kind, body)
}

/// Size of a message.
pub(crate) fn message_tokens(message: &Message) -> u32 {
    count_message(&counter(), message)
}
