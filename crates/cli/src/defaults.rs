//! What the command line runs the engine with: one counter for every store, one summarizer. The only
//! file that names them.

use std::sync::Arc;

use treering_compactor::Compactor;
use treering_provider::{ByteClasses, Ledger, TokenCounter, count_message};
use treering_tree::{Counted, Counter, Draft, Message};

fn counter() -> impl TokenCounter + 'static {
    ByteClasses::default()
}

/// The compactor.
pub(crate) fn compactor() -> Compactor {
    Compactor::new(Arc::new(counter()), Arc::new(Ledger))
}

/// The draft with its size in a context.
pub(crate) fn counted(draft: Draft) -> Draft {
    treering_compactor::counted(&counter(), draft)
}

/// Size of a message.
pub(crate) fn message_size(message: &Message) -> Counted {
    let counter = counter();
    let tokens = count_message(&counter, message);
    Counted { tokens, counter: Counter::named(counter.id()) }
}
