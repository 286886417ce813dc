//! An entry: the immutable node of the tree. The envelope is what the engine understands, the body
//! is bytes in a named format that it does not. `Debug` of both shows lengths and names only, so
//! that no log line can carry what was said.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::counted::{Counted, Counter};
use crate::encode;
use crate::error::{Error, Result};
use crate::id::Id;
use crate::limits;

/// What an entry is. Codes are part of the identity and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// Instructions in a named slot; the newest per slot on a path is active.
    SystemPrompt,
    /// The user's words: starts a turn.
    User,
    /// The model's answer, with the tool calls it makes.
    Assistant,
    /// What a tool returned, naming the calls it answers.
    ToolResult,
    /// Takes the place of all proper ancestors of its target, the first kept entry.
    Compaction,
    /// What happened on a branch that was left.
    BranchSummary,
    /// In the context, from neither party.
    Note,
    /// Keeps its target verbatim in the context from the next compaction on.
    Pin,
    /// Ends a pin.
    Unpin,
    /// Never in the context: labels, settings, foreign lines that carry no message.
    Record,
    /// Stands for an entry of which `recover` found nothing but the id. Never appended otherwise, never
    /// in the context; the calls open before it count as interrupted.
    Lost,
    /// A kind of a newer version: kept and shown, never in the context.
    Unknown(u16),
}

/// The one table of kinds: code, name.
const KINDS: [(Kind, u16, &str); 11] = [
    (Kind::Lost, 0, "lost"),
    (Kind::SystemPrompt, 1, "system-prompt"),
    (Kind::User, 2, "user"),
    (Kind::Assistant, 3, "assistant"),
    (Kind::ToolResult, 4, "tool-result"),
    (Kind::Compaction, 5, "compaction"),
    (Kind::BranchSummary, 6, "branch-summary"),
    (Kind::Note, 7, "note"),
    (Kind::Pin, 8, "pin"),
    (Kind::Unpin, 9, "unpin"),
    (Kind::Record, 10, "record"),
];

impl Kind {
    /// The code in the identity encoding.
    pub fn code(self) -> u16 {
        match self {
            Self::Unknown(code) => code,
            known => KINDS.iter().find(|row| row.0 == known).map_or(0, |row| row.1),
        }
    }

    /// The kind of a code; codes of newer versions are [`Kind::Unknown`].
    pub fn from_code(code: u16) -> Self {
        KINDS.iter().find(|row| row.1 == code).map_or(Self::Unknown(code), |row| row.0)
    }

    /// Its name, as the command line and `--json` write it.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|row| row.0 == self).map_or("unknown", |row| row.2)
    }

    /// The kind of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        KINDS.iter().find(|row| row.2 == name).map(|row| row.0)
    }

    /// Whether an entry of this kind stands in a context as a message of its own. Compactions do
    /// not: the newest one shows as the summary, older ones not at all.
    pub fn has_place_in_context(self) -> bool {
        matches!(
            self,
            Self::SystemPrompt
                | Self::User
                | Self::Assistant
                | Self::ToolResult
                | Self::BranchSummary
                | Self::Note
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(self.name())
        } else {
            serializer.serialize_u16(self.code())
        }
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            Self::from_name(&name)
                .ok_or_else(|| serde::de::Error::custom(format!("unknown kind {name:?}")))
        } else {
            u16::deserialize(deserializer).map(Self::from_code)
        }
    }
}

/// What the engine itself understands of an entry. All of it is part of the identity.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What the entry is.
    pub kind: Kind,
    /// The entry it follows; `None` for a root.
    pub parent: Option<Id>,
    /// The caller's time, milliseconds since 1970 UTC. Order never comes from it.
    pub at_ms: i64,
    /// The caller's own id, unique in its tree.
    pub alias: Option<String>,
    /// Ids of the tool calls this entry makes, in order.
    pub calls: Vec<String>,
    /// Ids of the tool calls this entry answers, in order.
    pub answers: Vec<String>,
    /// Slot of a system prompt.
    pub slot: Option<String>,
    /// The entry this one is about: the first kept entry of a compaction (`None`: nothing is
    /// kept), the entry a pin, unpin or label names, the head a branch summary speaks of.
    pub target: Option<Id>,
    /// What a compaction masks of what it keeps.
    pub masks: Vec<Mask>,
}

/// That an entry which a compaction keeps shows from then on without what its tools were given or
/// printed at length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mask {
    /// A tool result, or an assistant entry that makes calls.
    pub entry: Id,
    /// By how much less of the context it takes, in tokens.
    pub saved_tokens: u32,
}

impl Envelope {
    /// An envelope of `kind` with everything else empty.
    pub fn new(kind: Kind, at_ms: i64) -> Self {
        Self {
            kind,
            parent: None,
            at_ms,
            alias: None,
            calls: Vec::new(),
            answers: Vec::new(),
            slot: None,
            target: None,
            masks: Vec::new(),
        }
    }

    /// Whether `other` says the same at another time: what an alias promises.
    pub(crate) fn same_but_for_time(&self, other: &Self) -> bool {
        let mut other = other.clone();
        other.at_ms = self.at_ms;
        *self == other
    }

    /// Limits and the rules that need no other entry.
    pub(crate) fn check(&self) -> Result<()> {
        if self.kind == Kind::Lost {
            return Err(Error::invalid("kind", "only `recover` makes entries that are lost"));
        }
        limits::within("tool calls in one entry", limits::CALLS_PER_ENTRY, self.calls.len())?;
        limits::within("tool answers in one entry", limits::CALLS_PER_ENTRY, self.answers.len())?;
        limits::within("masks in one entry", limits::MASKS_PER_ENTRY, self.masks.len())?;
        let names = self.calls.iter().chain(&self.answers).map(|call| ("tool call id", call));
        let names = names
            .chain(self.alias.iter().map(|alias| ("alias", alias)))
            .chain(self.slot.iter().map(|slot| ("slot", slot)));
        for (what, name) in names {
            limits::check_name(what, name)?;
        }
        let rule = match self.kind {
            Kind::SystemPrompt if self.slot.is_none() => "a system prompt needs a slot",
            kind if self.slot.is_some() && kind != Kind::SystemPrompt => {
                "only a system prompt has a slot"
            }
            kind if !self.calls.is_empty() && kind != Kind::Assistant => {
                "only an assistant entry makes tool calls"
            }
            kind if !self.answers.is_empty() && kind != Kind::ToolResult => {
                "only a tool result answers tool calls"
            }
            Kind::Pin | Kind::Unpin if self.target.is_none() => "a pin needs a target",
            kind if !self.masks.is_empty() && kind != Kind::Compaction => {
                "only a compaction masks entries"
            }
            _ => return Ok(()),
        };
        Err(Error::invalid("entry", rule))
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("kind", &self.kind)
            .field("parent", &self.parent)
            .field("at_ms", &self.at_ms)
            .field("calls", &self.calls.len())
            .field("answers", &self.answers.len())
            .finish_non_exhaustive()
    }
}

/// Bytes in a named format: the engine's own, or a foreign tool's record kept verbatim.
#[derive(Clone, PartialEq, Eq)]
pub struct Body {
    /// Name and version of the format, such as `treering/message/1` or `pi/3`.
    pub format: String,
    /// The bytes, at most [`limits::BODY_BYTES`].
    pub bytes: Vec<u8>,
}

impl Body {
    /// A body in a named format.
    pub fn new(format: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { format: format.into(), bytes: bytes.into() }
    }

    pub(crate) fn check(&self) -> Result<()> {
        limits::within("body in bytes", limits::BODY_BYTES, self.bytes.len())?;
        limits::check_name("body format", &self.format)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({}, {} bytes)", self.format, self.bytes.len())
    }
}

/// 16 random bytes hashed with the body, so that an erased body cannot be guessed from the id.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Nonce(pub [u8; 16]);

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce(..)")
    }
}

/// The hash of nonce and body that the id is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commitment(pub [u8; 32]);

/// The whole content of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Hashed with the body.
    pub nonce: Nonce,
    /// The body.
    pub body: Body,
}

/// The content of an entry under a key of its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Hash of what is inside: the id verifies without the key.
    pub(crate) commitment: Commitment,
    /// Number of the key.
    pub(crate) key: u64,
    /// What the cipher made.
    pub(crate) bytes: Vec<u8>,
}

/// What is left of an entry's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nonce and body, shared by all clones of an entry.
    Whole(Arc<Whole>),
    /// The body was erased; the commitment keeps the id verifiable.
    Erased {
        /// Hash of what was there.
        commitment: Commitment,
    },
    /// Nonce and body as they are stored, encrypted. What a store gives out is never this: it has the key,
    /// or the key was forgotten and the body is erased.
    Sealed(Arc<Sealed>),
    /// Damage took the entry; what names it is known, and nothing of what it was.
    Lost,
}

/// An immutable node of the tree. Its id always matches its content: it is computed when the value
/// is made, never taken from outside, but for entries of [`Kind::Lost`], which are an id and no content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    id: Id,
    envelope: Envelope,
    content: Content,
}

impl Entry {
    /// Makes an entry and computes its id.
    pub fn new(envelope: Envelope, nonce: Nonce, body: Body) -> Self {
        let id = encode::entry_id(&envelope, &encode::commitment(&nonce, &body));
        Self { id, envelope, content: Content::Whole(Arc::new(Whole { nonce, body })) }
    }

    /// An entry whose body was erased: the same id, from the commitment that was kept.
    pub fn erased(envelope: Envelope, commitment: Commitment) -> Self {
        let id = encode::entry_id(&envelope, &commitment);
        Self { id, envelope, content: Content::Erased { commitment } }
    }

    /// The stand-in for an entry that is known by its id alone, and perhaps by what it stood under.
    pub(crate) fn lost(id: Id, parent: Option<Id>) -> Self {
        let envelope = Envelope { parent, ..Envelope::new(Kind::Lost, 0) };
        Self { id, envelope, content: Content::Lost }
    }

    /// The same entry, its body erased.
    pub(crate) fn without_body(&self) -> Self {
        let content = match self.commitment() {
            Some(commitment) => Content::Erased { commitment },
            None => self.content.clone(),
        };
        Self { id: self.id, envelope: self.envelope.clone(), content }
    }

    /// The same entry, its content in another state.
    pub(crate) fn in_state(&self, content: Content) -> Self {
        Self { id: self.id, envelope: self.envelope.clone(), content }
    }

    /// An entry whose id the decoder has just recomputed from the same content.
    pub(crate) fn verified(id: Id, envelope: Envelope, content: Content) -> Self {
        Self { id, envelope, content }
    }

    /// The content address.
    pub fn id(&self) -> Id {
        self.id
    }

    /// What the engine understands.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// What the engine does not understand; `None` once erased, or where it is lost.
    pub fn body(&self) -> Option<&Body> {
        match &self.content {
            Content::Whole(whole) => Some(&whole.body),
            Content::Erased { .. } | Content::Sealed(_) | Content::Lost => None,
        }
    }

    /// Nonce and body, or what is left of them.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// What its id holds of nonce and body; `None` where the entry is lost.
    pub(crate) fn commitment(&self) -> Option<Commitment> {
        match &self.content {
            Content::Whole(whole) => Some(encode::commitment(&whole.nonce, &whole.body)),
            Content::Erased { commitment } => Some(*commitment),
            Content::Sealed(sealed) => Some(sealed.commitment),
            Content::Lost => None,
        }
    }
}

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

    pub(crate) fn commitment(&self) -> Commitment {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> Id {
        Id::from_bytes([byte; 32])
    }

    #[test]
    fn every_kind_has_a_code_and_a_name_of_its_own() {
        for (kind, code, name) in KINDS {
            assert_eq!((kind.code(), kind.name()), (code, name));
            assert_eq!((Kind::from_code(code), Kind::from_name(name)), (kind, Some(kind)));
            assert_eq!(format!("{kind:<16}|"), format!("{name:<16}|"));
            let json = serde_json::to_string(&kind).unwrap();
            assert_eq!(json, format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<Kind>(&json).unwrap(), kind);
        }
        assert_eq!(Kind::from_code(999), Kind::Unknown(999));
        assert_eq!((Kind::Unknown(999).code(), Kind::Unknown(999).name()), (999, "unknown"));
        assert_eq!(Kind::from_name("unknown"), None);
    }

    #[test]
    fn an_alias_allows_another_time_and_nothing_else() {
        let one = Envelope { alias: Some("a".to_owned()), ..Envelope::new(Kind::User, 1) };
        assert!(one.same_but_for_time(&Envelope { at_ms: 2, ..one.clone() }));
        assert!(!one.same_but_for_time(&Envelope { kind: Kind::Note, ..one.clone() }));
        assert!(!one.same_but_for_time(&Envelope { parent: Some(id(1)), ..one.clone() }));
    }

    #[test]
    fn what_needs_no_other_entry_is_checked_alone() {
        let plain = |kind| Envelope::new(kind, 0);
        let names = || vec!["x".to_owned()];
        let slot = || Some("x".to_owned());
        let target = Some(id(1));
        let masks = || vec![Mask { entry: id(1), saved_tokens: 1 }];
        for right in [
            Envelope { slot: slot(), ..plain(Kind::SystemPrompt) },
            Envelope { calls: names(), ..plain(Kind::Assistant) },
            Envelope { answers: names(), ..plain(Kind::ToolResult) },
            Envelope { target, ..plain(Kind::Pin) },
            Envelope { target, ..plain(Kind::Unpin) },
            Envelope { masks: masks(), ..plain(Kind::Compaction) },
            plain(Kind::User),
        ] {
            right.check().unwrap();
        }
        for (wrong, why) in [
            (plain(Kind::Lost), "recover"),
            (plain(Kind::SystemPrompt), "needs a slot"),
            (Envelope { slot: slot(), ..plain(Kind::User) }, "has a slot"),
            (Envelope { calls: names(), ..plain(Kind::User) }, "makes tool calls"),
            (Envelope { answers: names(), ..plain(Kind::Assistant) }, "answers tool calls"),
            (plain(Kind::Pin), "needs a target"),
            (plain(Kind::Unpin), "needs a target"),
            (Envelope { masks: masks(), ..plain(Kind::Note) }, "masks entries"),
        ] {
            let error = wrong.check().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn debug_tells_what_it_is_and_not_what_it_says() {
        let envelope =
            Envelope { calls: vec!["c1".to_owned()], ..Envelope::new(Kind::Assistant, 7) };
        let entry = Entry::new(envelope, Nonce([9; 16]), Body::new("test/1", b"secret".to_vec()));
        let shown = format!("{entry:?}");
        for part in ["Assistant", "at_ms: 7", "calls: 1", "Body(test/1, 6 bytes)", "Nonce(..)"] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
        assert!(!shown.contains("secret"), "{shown}");
        assert!(shown.contains(&format!("Id({})", entry.id().short())), "{shown}");
    }

    #[test]
    fn a_lost_entry_is_its_id_and_what_it_stood_under() {
        let lost = Entry::lost(id(1), Some(id(2)));
        assert_eq!((lost.id(), lost.envelope().parent), (id(1), Some(id(2))));
        assert_eq!((lost.body(), lost.commitment()), (None, None));
        assert_eq!(lost.without_body(), lost);
    }
}
