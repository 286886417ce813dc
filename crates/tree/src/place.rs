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
    /// How many entries right above it stand right before it in number, one after another.
    pub run: u64,
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

/// Every entry of such a number names its parent where it is stored, so that those behind it need no other
/// row to be known by.
const NAMES_PARENT: Number = 16;

impl Place {
    /// Whether its parent is the entry before it in number, and goes without saying.
    pub(crate) fn follows(&self) -> bool {
        let is_behind = self.parent.is_some_and(|parent| parent + 1 == self.number);
        is_behind && !self.number.is_multiple_of(NAMES_PARENT)
    }

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

#[cfg(test)]
impl Place {
    /// The root of a tree in the first session, of no size: for tests to make others of.
    pub(crate) fn root(kind: Kind) -> Self {
        Self {
            number: 0,
            id: Id::from_bytes([0; 32]),
            parent: None,
            session: 0,
            previous_in_session: None,
            alias: None,
            kind,
            depth: 0,
            run: 0,
            jump: 0,
            turn: 0,
            tokens: 0,
            tokens_through: 0,
            counter: Counter::UNNAMED,
            counted_from: 0,
            compaction: None,
            pins: None,
            open: Vec::new(),
            cut: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(kind: Kind) -> Place {
        let (number, parent, depth) = (5, Some(4), 5);
        let (turn, tokens, tokens_through) = (3, 10, 100);
        Place { number, parent, depth, turn, tokens, tokens_through, ..Place::root(kind) }
    }

    fn compaction(lifted: Vec<Number>) -> Place {
        let cut = Cut {
            first_kept: 3,
            first_kept_depth: 3,
            covered_tokens: 40,
            covered_turns: 2,
            active: Vec::new(),
            lifted,
            lifted_tokens: 7,
        };
        Place { cut: Some(cut), ..place(Kind::Compaction) }
    }

    #[test]
    fn what_comes_before_an_entry_is_without_its_own() {
        let of = |kind| (place(kind).turns_before(), place(kind).tokens_before());
        assert_eq!((of(Kind::User), of(Kind::Note)), ((2, 90), (3, 90)));
        assert_eq!(of(Kind::Compaction), (3, 100), "a summary is in no sum of the path");
    }

    #[test]
    fn a_tail_may_begin_where_no_call_is_open_and_where_all_are_closed() {
        let open = Place { open: vec![OpenCall { call: 1, by: 4 }], ..place(Kind::Assistant) };
        for kind in [Kind::User, Kind::Lost] {
            assert!(place(kind).may_be_first_kept(Some(&open)), "{kind}");
        }
        let note = place(Kind::Note);
        assert!(!note.may_be_first_kept(Some(&open)));
        assert!(note.may_be_first_kept(Some(&place(Kind::Note))) && note.may_be_first_kept(None));
    }

    #[test]
    fn a_context_is_what_is_lifted_the_summary_and_what_is_not_covered() {
        let whole = Measure::new(place(Kind::User), None);
        assert_eq!((whole.tokens, whole.turns, whole.first_visible_depth()), (100, 3, 0));
        let cut = Measure::new(place(Kind::User), Some(compaction(vec![0])));
        assert_eq!((cut.tokens, cut.turns, cut.first_visible_depth()), (7 + 10 + 60, 1, 3));
    }

    #[test]
    fn a_context_is_counted_by_one_where_nothing_in_view_is_by_another() {
        let [a, b] = ["a", "b"].map(Counter::named);
        let is_counted = |counted_from, compaction: Option<Place>| {
            let head = Place { counter: a, counted_from, ..place(Kind::User) };
            let measure = Measure::new(head, compaction);
            assert!(!measure.is_counted_by(b));
            measure.is_counted_by(a)
        };
        assert!(is_counted(0, None) && !is_counted(1, None));
        // The first that is in view stands at depth 3.
        assert!(
            is_counted(3, Some(compaction(vec![]))) && !is_counted(4, Some(compaction(vec![])))
        );
        // What is lifted may be of another, where another counted at all.
        assert!(
            !is_counted(3, Some(compaction(vec![0]))) && is_counted(0, Some(compaction(vec![0])))
        );
    }
}
