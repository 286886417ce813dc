//! What the command line runs the engine with: one counter for every store, and the ledger where
//! nobody names another summarizer.

use std::sync::Arc;

use treering_compactor::Compactor;
use treering_provider::{ByteClasses, Ledger, Summarizer, TokenCounter, count_message};
use treering_tree::{Counted, Counter, Draft, Message};

fn counter() -> impl TokenCounter + 'static {
    ByteClasses::default()
}

/// A compactor with the ledger.
pub(crate) fn compactor() -> Compactor {
    compactor_with(Arc::new(Ledger))
}

/// A compactor with this summarizer.
pub(crate) fn compactor_with(summarizer: Arc<dyn Summarizer>) -> Compactor {
    Compactor::new(Arc::new(counter()), summarizer)
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
