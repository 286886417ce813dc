//! An entry on its way into a store. It becomes one where it lands; nothing here looks at a store.

use std::sync::Arc;

use super::{Body, Commitment, Content, Entry, Envelope, Kind, Mask, Nonce, Whole};
use crate::counted::{Counted, Counter};
use crate::encode;
use crate::error::Result;
use crate::id::Id;

/// Where a draft goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    /// Under the draft before it in the same change; the first one under the head of the branch
    /// that the change's first move names.
    Previous,
    /// Under this entry; `None` makes a root.
    Is(Option<Id>),
}

/// An entry on its way into a store: everything but, perhaps, its parent.
///
/// A draft with [`Parent::Is`] has a fixed id, so appending the same value again is a no-op. One
/// with [`Parent::Previous`] gets its id where it lands; give it an alias to make a retry safe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Where it goes.
    pub parent: Parent,
    envelope: Envelope,
    content: Content,
    commitment: Commitment,
    /// Its own size in the context, in tokens. Not part of the identity.
    pub tokens: u32,
    /// Whose count that is.
    pub counter: Counter,
}

impl Draft {
    /// A draft to be chained under what is there. `nonce` comes from the caller's generator.
    pub fn new(kind: Kind, at_ms: i64, nonce: Nonce, body: Body) -> Self {
        Self::with(Envelope::new(kind, at_ms), nonce, body)
    }

    /// A draft with a whole envelope, whose `parent` is set when it lands.
    pub fn with(envelope: Envelope, nonce: Nonce, body: Body) -> Self {
        let commitment = encode::commitment(&nonce, &body);
        let content = Content::Whole(Arc::new(Whole { nonce, body }));
        Self::of(envelope, content, commitment)
    }

    /// A draft of an entry whose body was erased elsewhere: its ancestry and its id still verify.
    pub fn erased(envelope: Envelope, commitment: Commitment) -> Self {
        Self::of(envelope, Content::Erased { commitment }, commitment)
    }

    fn of(envelope: Envelope, content: Content, commitment: Commitment) -> Self {
        let (parent, counter) = (Parent::Previous, Counter::UNNAMED);
        Self { parent, envelope, content, commitment, tokens: 0, counter }
    }

    /// Fixes the parent, and with it the id.
    #[must_use]
    pub fn under(mut self, parent: Option<Id>) -> Self {
        self.parent = Parent::Is(parent);
        self
    }

    /// Sets its size in tokens, of no named counter.
    #[must_use]
    pub fn tokens(self, tokens: u32) -> Self {
        self.counted(tokens.into())
    }

    /// Sets its size in tokens, with whose count it is.
    #[must_use]
    pub fn counted(mut self, size: Counted) -> Self {
        (self.tokens, self.counter) = (size.tokens, size.counter);
        self
    }

    /// Sets the caller's own id.
    #[must_use]
    pub fn alias(mut self, alias: impl Into<String>) -> Self {
        self.envelope.alias = Some(alias.into());
        self
    }

    /// Sets the ids of the tool calls it makes.
    #[must_use]
    pub fn calls<S: Into<String>>(mut self, calls: impl IntoIterator<Item = S>) -> Self {
        self.envelope.calls = calls.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the ids of the tool calls it answers.
    #[must_use]
    pub fn answers<S: Into<String>>(mut self, answers: impl IntoIterator<Item = S>) -> Self {
        self.envelope.answers = answers.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the slot of a system prompt.
    #[must_use]
    pub fn slot(mut self, slot: impl Into<String>) -> Self {
        self.envelope.slot = Some(slot.into());
        self
    }

    /// Sets the entry it is about.
    #[must_use]
    pub fn target(mut self, target: Id) -> Self {
        self.envelope.target = Some(target);
        self
    }

    /// Sets what it masks.
    #[must_use]
    pub fn masks(mut self, masks: Vec<Mask>) -> Self {
        self.envelope.masks = masks;
        self
    }

    /// The envelope, without a parent.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The body; one of no format and no bytes where it was erased.
    pub fn body(&self) -> &Body {
        static NONE: Body = Body { format: String::new(), bytes: Vec::new() };
        self.whole().map_or(&NONE, |whole| &whole.body)
    }

    /// Nonce and body; `None` where they were erased.
    pub(crate) fn whole(&self) -> Option<&Whole> {
        match &self.content {
            Content::Whole(whole) => Some(whole),
            _ => None,
        }
    }

    /// What its id says of nonce and body.
    pub fn commitment(&self) -> Commitment {
        self.commitment
    }

    /// The id it has under `parent`. Costs one hash of the envelope, never of the body.
    pub fn id_under(&self, parent: Option<Id>) -> Id {
        encode::entry_id(&Envelope { parent, ..self.envelope.clone() }, &self.commitment)
    }

    /// The entry it becomes under `parent`. Costs one hash of the envelope, never of the body.
    pub fn entry_under(&self, parent: Option<Id>) -> Entry {
        let envelope = Envelope { parent, ..self.envelope.clone() };
        let id = encode::entry_id(&envelope, &self.commitment);
        Entry { id, envelope, content: self.content.clone() }
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.envelope.check()?;
        self.whole().map_or(Ok(()), |whole| whole.body.check())
    }
}
