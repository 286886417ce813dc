//! How many tokens an entry takes in a context.

use treering_provider::{TokenCounter, count_message};
use treering_tree::{Body, Kind};

/// Tokens of an entry of this kind and body; 0 for kinds that have no place in a context.
pub fn draft_tokens(counter: &dyn TokenCounter, kind: Kind, body: &Body) -> u32 {
    if kind.has_place_in_context() || kind == Kind::Compaction {
        count_message(counter, &treering_interchange::message(kind, body))
    } else {
        0
    }
}
