//! How many tokens an entry takes in a context.

use treering_provider::{TokenCounter, count_message};
use treering_tree::{Body, Counted, Counter, Draft, Kind, Message};

/// Tokens of an entry of this kind and body; 0 for kinds that have no place in a context.
pub fn draft_tokens(counter: &dyn TokenCounter, kind: Kind, body: &Body) -> u32 {
    size(counter, kind, &treering_interchange::message(kind, body))
}

/// The draft with its size, and with whose count that is: what is to be compacted by this counter, or
/// by another one later, is appended so.
pub fn counted(counter: &dyn TokenCounter, draft: Draft) -> Draft {
    let tokens = draft_tokens(counter, draft.envelope().kind, draft.body());
    draft.counted(Counted { tokens, counter: Counter::named(counter.id()) })
}

/// Tokens of an entry that says this.
pub(crate) fn size(counter: &dyn TokenCounter, kind: Kind, message: &Message) -> u32 {
    let counts = kind.has_place_in_context() || kind == Kind::Compaction;
    if counts { count_message(counter, message) } else { 0 }
}
