//! An entry: the immutable node of the tree. The envelope is what the engine understands, the body
//! is bytes in a named format that it does not. `Debug` of both shows lengths and names only, so
//! that no log line can carry what was said.

mod draft;
mod envelope;

use std::fmt;
use std::sync::Arc;

pub use self::draft::{Draft, Parent};
pub use self::envelope::{Envelope, Kind, Mask};
use crate::encode;
use crate::error::Result;
use crate::id::Id;
use crate::limits;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let [id, parent] = [1, 2].map(|byte| Id::from_bytes([byte; 32]));
        let lost = Entry::lost(id, Some(parent));
        assert_eq!((lost.id(), lost.envelope().parent), (id, Some(parent)));
        assert_eq!((lost.body(), lost.commitment()), (None, None));
        assert_eq!(lost.without_body(), lost);
    }
}
