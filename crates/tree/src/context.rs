//! The context: what a model is given at a head. A pure function of the head's id.
//!
//! Lifted pins and prompts, the summary, the kept tail, everything later. Results stand next to
//! their calls in call order; while a call of the last turn is open the context ends with that group;
//! a later user entry closes what is still open with an "interrupted" result, for good. So between
//! two compactions a later context begins with the earlier one, and no context ever holds a result
//! without its call or a call without its result.

mod difference;
#[cfg(test)]
#[cfg(feature = "redb")]
mod kit;
mod layout;

use std::sync::Arc;

pub use self::difference::{Change, Difference, Run};
pub(crate) use self::layout::Layout;
use crate::entry::Entry;
use crate::error::Result;
use crate::id::Id;
use crate::place::Measure;
use crate::store::{Store, Stored, Tail};

/// What a model is given at a head. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Context {
    /// The head.
    pub head: Option<Id>,
    /// Size in tokens, as carried along the path.
    pub tokens: u64,
    /// What it is made of, in the order the model sees it; shared with the store that keeps it.
    pub items: Arc<Vec<Item>>,
}

/// One item of a context.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The entry it comes from.
    pub stored: Stored,
    /// Which part of the context it belongs to.
    pub source: Source,
    /// How the entry shows.
    pub form: Form,
    /// The entries whose calls a result next to its call answers; none for others.
    pub callers: Vec<Arc<Entry>>,
}

impl Item {
    /// Whether it only closes a call of its entry.
    pub fn is_interruption(&self) -> bool {
        matches!(self.form, Form::Interrupted { .. })
    }

    /// Whether a compaction masks its entry.
    pub fn is_masked(&self) -> bool {
        matches!(self.form, Form::Masked { .. })
    }
}

/// Part of a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Lifted in front of the summary: a pin or an active system prompt that is covered.
    Pin,
    /// The summary of the newest compaction.
    Summary,
    /// From the first kept entry up to the compaction.
    Kept,
    /// After the compaction; everything where there is none.
    Later,
}

/// How an entry shows in a context.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// As it is.
    Verbatim,
    /// Without what its tools were given or printed at length: see [`Message::masked`](crate::Message::masked).
    Masked {
        /// By how much less of the context that takes, in tokens.
        saved_tokens: u32,
    },
    /// Not itself: the "interrupted" result that closes this call of the entry.
    Interrupted {
        /// The call.
        call: String,
    },
    /// As a note that names its calls: a result that came after its calls were closed, or whose
    /// calls are not in the context.
    LateResult,
}

impl Context {
    /// The context of an empty session.
    pub fn empty() -> Self {
        Self { head: None, tokens: 0, items: Arc::default() }
    }

    /// What a model is given at `head`. O(kept), or O(1) where the store holds it or that of its parent.
    ///
    /// # Errors
    /// `NotFound` for an unknown head, `Corrupt`, `Storage`.
    pub async fn at(store: &dyn Store, head: Id) -> Result<Self> {
        store.context(head).await
    }

    /// The context of what a head is made of.
    pub fn of(measure: &Measure, tail: Tail) -> Self {
        let items = Arc::clone(Layout::of(tail).items());
        Self { head: Some(measure.head.id), tokens: measure.tokens, items }
    }
}
