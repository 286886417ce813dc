//! The place of an entry: what is carried along its path so that no decision has to walk the
//! history. Derived, rebuildable, never hashed; `verify` recomputes all of it.

use serde::{Deserialize, Serialize};

use crate::counted::Counter;
use crate::entry::Kind;
use crate::id::Id;

/// Append number of an entry: dense from 0, in the order entries reached the store.
pub type Number = u64;

/// What is carried along the path to an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Append number of the entry.
    pub number: Number,
    /// Id of the entry.
    pub id: Id,
    /// Append number of its parent.
    pub parent: Option<Number>,
    /// Number of the session it was first appended in.
    pub session: u64,
    /// The entry appended before it in the same session.
    pub previous_in_session: Option<Number>,
    /// Short hash of tree and alias, where it has one.
    pub alias: Option<u64>,
    /// What the entry is.
    pub kind: Kind,
    /// Entries between it and the root; 0 for a root.
    pub depth: u64,
    /// Its jump ancestor (Myers' skew-binary pointers); itself for a root.
    pub jump: Number,
    /// User entries from the root to it, inclusive.
    pub turn: u64,
    /// Its own size in tokens, 0 for kinds that have no place in a context (a compaction's own
    /// tokens are those of its summary).
    pub tokens: u32,
    /// Sum of `tokens` from the root to it, inclusive, without compactions.
    pub tokens_through: u64,
    /// Whose counts `tokens` are, here and at the newest entries above: the newest counter named.
    pub counter: Counter,
    /// Depth from which on nothing through here was counted by another.
    pub counted_from: u64,
    /// The newest compaction at or above it.
    pub compaction: Option<Number>,
    /// The newest pin-changing entry (system prompt, pin, unpin) at or above it.
    pub pins: Option<Number>,
    /// Tool calls open after it, oldest first.
    pub open: Vec<OpenCall>,
    /// Where it cuts, if it is a compaction.
    pub cut: Option<Cut>,
}

/// A tool call that has no result yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenCall {
    /// Short hash of the call's id.
    pub call: u64,
    /// The entry that makes it.
    pub by: Number,
}

/// What a compaction entry does to the context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The first kept entry; the compaction itself where nothing is kept.
    pub first_kept: Number,
    /// Depth of the first kept entry: everything less deep is covered.
    pub first_kept_depth: u64,
    /// `tokens_through` of the entry before the first kept one, and what masks save behind it: what
    /// the context leaves out of the path.
    pub covered_tokens: u64,
    /// User entries that are covered.
    pub covered_turns: u64,
    /// Pins and prompts active at the compaction, in path order.
    pub active: Vec<Active>,
    /// The entries that are lifted in front of the summary: what is active and covered, with the
    /// rest of its call group, in path order.
    pub lifted: Vec<Number>,
    /// Sum of the tokens of what is lifted.
    pub lifted_tokens: u64,
}

/// A pin or an active system prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Active {
    /// The entry that stays.
    pub entry: Number,
    /// Short hash of the slot of a system prompt; `None` for a pin.
    pub slot: Option<u64>,
}

impl Place {
    /// Whether the entry is the one that begins a turn.
    pub fn begins_turn(&self) -> bool {
        self.kind == Kind::User
    }

    /// Sum of the tokens of its proper ancestors.
    pub fn tokens_before(&self) -> u64 {
        let own = if self.kind.has_place_in_context() { self.tokens } else { 0 };
        self.tokens_through - u64::from(own)
    }

    /// User entries among its proper ancestors.
    pub fn turns_before(&self) -> u64 {
        self.turn - u64::from(self.begins_turn())
    }

    /// Whether a compaction that keeps this entry may mask it: it makes tool calls, or is a result
    /// next to its call. `parent` is the place of its parent.
    pub fn may_be_masked(&self, parent: Option<&Place>) -> bool {
        match self.kind {
            Kind::Assistant => self.open.iter().any(|open| open.by == self.number),
            Kind::ToolResult => parent.is_some_and(|parent| parent.open.len() > self.open.len()),
            _ => false,
        }
    }

    /// Whether a compaction may keep from this entry on: no call made before it can still be
    /// answered at or after it. `parent` is the place of its parent.
    pub fn may_be_first_kept(&self, parent: Option<&Place>) -> bool {
        let closes_all = self.begins_turn() || self.kind == Kind::Lost;
        closes_all || parent.is_none_or(|parent| parent.open.is_empty())
    }
}

/// Size of a context and what it is made of, without building it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Place of the head.
    pub head: Place,
    /// Tokens of the whole context: lifted entries, summary, kept tail, later entries.
    pub tokens: u64,
    /// User entries that stand verbatim in the context, lifted ones not counted.
    pub turns: u64,
    /// The newest compaction on the path, if any.
    pub compaction: Option<Place>,
}

impl Measure {
    /// Combines a head with the newest compaction at or above it.
    pub fn new(head: Place, compaction: Option<Place>) -> Self {
        let cut = compaction.as_ref().and_then(|place| place.cut.as_ref());
        let (tokens, turns) = match (&compaction, cut) {
            (Some(place), Some(cut)) => (
                cut.lifted_tokens + u64::from(place.tokens) + head.tokens_through
                    - cut.covered_tokens,
                head.turn - cut.covered_turns,
            ),
            _ => (head.tokens_through, head.turn),
        };
        Self { head, tokens, turns, compaction }
    }

    /// Whether no size in it comes from another counter than this one. It says no where it does not
    /// know: of what is lifted from beyond a change of counters.
    pub fn is_counted_by(&self, counter: Counter) -> bool {
        let cut = self.compaction.as_ref().and_then(|place| place.cut.as_ref());
        let from = self.head.counted_from;
        let reaches =
            from <= self.first_visible_depth() && cut.is_none_or(|cut| cut.lifted.is_empty());
        self.head.counter.agrees_with(counter) && (from == 0 || reaches)
    }

    /// Depth of the first entry that stands verbatim in the context, lifted ones not counted.
    pub fn first_visible_depth(&self) -> u64 {
        let cut = self.compaction.as_ref().and_then(|place| place.cut.as_ref());
        cut.map_or(0, |cut| cut.first_kept_depth)
    }
}
