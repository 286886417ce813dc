//! The frame an entry is stored in: its envelope and its body, or what is left of that, and enough besides to
//! be found in raw bytes. Knows nothing of tables, ciphers and codecs.

use std::borrow::Cow;
use std::sync::Arc;

use super::packed::{Reader, put_envelope, put_name, put_number, read_envelope};
use super::{commit_parts, entry_id};
use crate::entry::{Body, Commitment, Content, Entry, Envelope, Kind, Nonce, Sealed, Whole};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::limits;

/// First byte of every frame: one that text in UTF-8 never has, so that a search passes over it.
pub(crate) const FRAME_VERSION: u8 = 0xfa;
const FLAG_ERASED: u8 = 1;
const FLAG_COMPRESSED: u8 = 2;
const FLAG_LOST: u8 = 4;
const FLAG_SEALED: u8 = 8;
/// Beside one of the others or none: the parent is the entry of the number before it, and its id left out.
const FLAG_FOLLOWS: u8 = 16;
/// What a sealed body may have more than the body: its nonce, its format, lengths, the cipher's tag.
const SEALED_MORE_BYTES: u64 = 1024;
/// Bytes of its id that a frame carries.
const MARK_BYTES: usize = 8;

/// The first bytes of an id.
pub(crate) type Mark = [u8; MARK_BYTES];

/// The first bytes of an id, as a frame carries them.
pub(crate) fn mark(id: &Id) -> Mark {
    let mut mark = Mark::default();
    mark.copy_from_slice(&id.as_bytes()[..MARK_BYTES]);
    mark
}

/// An entry as it is stored: frame version, flags, the first bytes of its id, envelope, then nonce,
/// format and body; or commitment, key and cipher text where they are sealed; or the commitment alone
/// where the body was erased, or the whole id where the entry is lost. It says how long it is and what it
/// hashes to, so that it can be found and trusted with nothing around it, but for the id of its parent
/// where it `follows` it in number: who reads it knows that one. `shorter` is the body compressed, where
/// that pays.
pub(crate) fn frame(entry: &Entry, follows: bool, shorter: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    frame_into(&mut out, entry, follows, shorter);
    out
}

/// Makes that frame in memory that is there.
pub(crate) fn frame_into(out: &mut Vec<u8>, entry: &Entry, follows: bool, shorter: Option<&[u8]>) {
    let content = entry.content();
    // Nothing but what it says vouches for the parent of a lost one.
    let follows = follows && *content != Content::Lost;
    let flag = match content {
        Content::Erased { .. } => FLAG_ERASED,
        Content::Lost => FLAG_LOST,
        Content::Sealed(_) => FLAG_SEALED,
        Content::Whole(_) if shorter.is_some() => FLAG_COMPRESSED,
        Content::Whole(_) => 0,
    };
    out.clear();
    out.extend([FRAME_VERSION, flag | if follows { FLAG_FOLLOWS } else { 0 }]);
    out.extend(mark(&entry.id()));
    put_envelope(out, entry.envelope(), follows);
    match content {
        Content::Erased { commitment } => out.extend(commitment.0),
        Content::Lost => out.extend(entry.id().as_bytes()),
        Content::Sealed(sealed) => {
            out.extend(sealed.commitment.0);
            put_number(out, sealed.key);
            put_number(out, sealed.bytes.len() as u64);
            out.extend(&sealed.bytes);
        }
        Content::Whole(whole) => put_whole(out, whole, shorter),
    }
}

fn put_whole(out: &mut Vec<u8>, Whole { nonce, body }: &Whole, shorter: Option<&[u8]>) {
    out.extend(nonce.0);
    put_name(out, &body.format);
    put_number(out, body.bytes.len() as u64);
    if let Some(shorter) = shorter {
        put_number(out, shorter.len() as u64);
        out.extend(shorter);
    } else {
        out.extend(&body.bytes);
    }
}

/// What a sealed frame holds, before it is sealed: whether the body is compressed, then nonce, format and
/// body as in a frame.
pub(crate) fn to_seal(whole: &Whole, shorter: Option<&[u8]>) -> Vec<u8> {
    let body = shorter.unwrap_or(&whole.body.bytes);
    // Room for what a cipher adds.
    let mut out = Vec::with_capacity(body.len() + whole.body.format.len() + 64);
    out.push(u8::from(shorter.is_some()));
    put_whole(&mut out, whole, shorter);
    out
}

/// Reads what [`to_seal`] made, and hashes it.
pub(crate) fn unsealed(
    bytes: &[u8],
    expand: impl Fn(&[u8], usize) -> Result<Vec<u8>>,
) -> Result<(Commitment, Whole), String> {
    let mut reader = Reader { rest: bytes };
    let compressed = reader.u8().ok_or("cut short")?;
    let whole = read_whole(&mut reader, compressed == 1, expand)?;
    if reader.rest.is_empty() { Ok(whole) } else { Err("bytes after its end".to_owned()) }
}

/// Reads a frame back and recomputes the id from what is there, never trusting a stored one. `before` is
/// asked for the id of the entry before it in number, where the frame leaves that of its parent out.
///
/// # Errors
/// `Corrupt` when the bytes are no frame or hash to another id than `expected`; those of `before`.
pub(crate) fn unframe<E: From<Error>>(
    bytes: &[u8],
    expected: &Id,
    before: impl FnOnce() -> Result<Id, E>,
    expand: impl Fn(&[u8], usize) -> Result<Vec<u8>>,
) -> Result<Entry, E> {
    let broken = |why: &str| Error::corrupt("entry", format!("{expected}: {why}"));
    let told = Told::read(bytes, expand).map_err(|why| broken(&why))?;
    if told.len != bytes.len() {
        return Err(broken("bytes after its end").into());
    }
    let before = if told.head.follows { Some(before()?) } else { None };
    let entry = told.under(before).map_err(|why| broken(&why))?;
    if entry.id() != *expected {
        return Err(broken(&format!("its content hashes to {}", entry.id())).into());
    }
    Ok(entry)
}

/// What a frame tells: all of an entry, but for the id of its parent where it follows that one.
pub(crate) struct Told {
    head: Head,
    of: Of,
    /// Bytes of the frame.
    pub(crate) len: usize,
}

/// What follows an envelope.
enum Of {
    Content(Commitment, Content),
    Lost(Id),
}

impl Told {
    /// What the frame tells that begins `bytes`; or why there is none.
    pub(crate) fn read(
        bytes: &[u8],
        expand: impl Fn(&[u8], usize) -> Result<Vec<u8>>,
    ) -> Result<Self, String> {
        let mut reader = Reader { rest: bytes };
        let head = Head::read(&mut reader)?;
        let of = match head.state {
            FLAG_LOST => Of::Lost(reader.array().map(Id::from_bytes).ok_or("id cut short")?),
            FLAG_ERASED => {
                let commitment = reader.array().map(Commitment).ok_or("commitment cut short")?;
                Of::Content(commitment, Content::Erased { commitment })
            }
            FLAG_SEALED => {
                let sealed = read_sealed(&mut reader).ok_or("sealed body cut short")?;
                Of::Content(sealed.commitment, Content::Sealed(Arc::new(sealed)))
            }
            state => {
                let (commitment, whole) =
                    read_whole(&mut reader, state == FLAG_COMPRESSED, expand)?;
                Of::Content(commitment, Content::Whole(Arc::new(whole)))
            }
        };
        // Nothing but the mark vouches for a lost entry: it must look like one all through.
        if matches!(of, Of::Lost(_)) != (head.envelope.kind == Kind::Lost) {
            return Err("kind and content are not of one another".to_owned());
        }
        Ok(Self { head, of, len: bytes.len() - reader.rest.len() })
    }

    /// The first bytes of the id, if that of the parent has to be known.
    pub(crate) fn follows(&self) -> Option<Mark> {
        self.head.follows.then_some(self.head.mark)
    }

    /// Whether its parent, which it does not name, is this one.
    pub(crate) fn is_under(&mut self, before: Id) -> bool {
        self.head.envelope.parent = Some(before);
        self.id().as_bytes().starts_with(&self.head.mark)
    }

    fn id(&self) -> Id {
        match &self.of {
            Of::Content(commitment, _) => entry_id(&self.head.envelope, commitment),
            Of::Lost(id) => *id,
        }
    }

    /// The entry, under the one before it where it follows that.
    ///
    /// # Errors
    /// Where its content does not hash to its mark, or the one before it is not known.
    pub(crate) fn under(mut self, before: Option<Id>) -> Result<Entry, String> {
        if self.head.follows {
            self.head.envelope.parent = Some(before.ok_or("it does not tell its parent")?);
        }
        let id = self.id();
        if !id.as_bytes().starts_with(&self.head.mark) {
            return Err(format!("its content hashes to {id}, which its mark is not of"));
        }
        let content = match self.of {
            Of::Content(_, content) => content,
            Of::Lost(_) => Content::Lost,
        };
        Ok(Entry::verified(id, self.head.envelope, content))
    }
}

/// What comes before nonce, commitment or id.
struct Head {
    /// The flags without that for following.
    state: u8,
    follows: bool,
    mark: Mark,
    /// Without its parent where it follows that.
    envelope: Envelope,
}

impl Head {
    fn read(reader: &mut Reader<'_>) -> Result<Self, &'static str> {
        if reader.u8() != Some(FRAME_VERSION) {
            return Err("frame of an unknown version");
        }
        let flags = reader.u8().ok_or("flags missing")?;
        let (state, follows) = (flags & !FLAG_FOLLOWS, flags & FLAG_FOLLOWS != 0);
        match state {
            0 | FLAG_ERASED | FLAG_COMPRESSED | FLAG_SEALED => {}
            FLAG_LOST if !follows => {}
            _ => return Err("flags unknown"),
        }
        let mark = reader.array().ok_or("mark cut short")?;
        let envelope = read_envelope(reader).ok_or("envelope unreadable")?;
        if follows && envelope.parent.is_some() {
            return Err("two parents");
        }
        Ok(Self { state, follows, mark, envelope })
    }
}

/// How long the frame is whose head, everything up to the body, begins `bytes`; `None` where none does.
pub(crate) fn frame_len(bytes: &[u8]) -> Option<usize> {
    let mut reader = Reader { rest: bytes };
    let rest = match Head::read(&mut reader).ok()?.state {
        FLAG_LOST | FLAG_ERASED => 32,
        FLAG_SEALED => {
            reader.bytes(32)?;
            reader.number()?;
            let len = reader.len()?;
            if len as u64 > limits::BODY_BYTES + SEALED_MORE_BYTES {
                return None;
            }
            len
        }
        state => {
            reader.array::<16>()?;
            reader.name()?;
            let len = reader.len()?;
            let stored = if state == FLAG_COMPRESSED { reader.len()? } else { len };
            if len.max(stored) as u64 > limits::BODY_BYTES {
                return None;
            }
            stored
        }
    };
    Some(bytes.len() - reader.rest.len() + rest)
}

/// The envelope of a frame alone, without looking at the body; `before` as in [`unframe`].
///
/// # Errors
/// `Corrupt` when the bytes are no frame; those of `before`.
pub(crate) fn frame_envelope<E: From<Error>>(
    bytes: &[u8],
    before: impl FnOnce() -> Result<Id, E>,
) -> Result<Envelope, E> {
    let mut head = Head::read(&mut Reader { rest: bytes })
        .map_err(|why| Error::corrupt("entry", why.to_owned()))?;
    if head.follows {
        head.envelope.parent = Some(before()?);
    }
    Ok(head.envelope)
}

fn read_sealed(reader: &mut Reader<'_>) -> Option<Sealed> {
    let commitment = reader.array().map(Commitment)?;
    let key = reader.number()?;
    let bytes = reader.len_and_bytes()?;
    Some(Sealed { commitment, key, bytes: bytes.to_vec() })
}

/// Nonce, format and body, and the hash of them.
fn read_whole(
    reader: &mut Reader<'_>,
    compressed: bool,
    expand: impl Fn(&[u8], usize) -> Result<Vec<u8>>,
) -> Result<(Commitment, Whole), String> {
    let nonce = reader.array().map(Nonce).ok_or("nonce cut short")?;
    let format = reader.name().ok_or("body format unreadable")?;
    let len = reader.len().ok_or("body length cut short")?;
    if len as u64 > limits::BODY_BYTES {
        return Err("body over the limit".to_owned());
    }
    let body = if compressed {
        let shorter = reader.len_and_bytes().ok_or("body cut short")?;
        Cow::Owned(expand(shorter, len).map_err(|error| error.to_string())?)
    } else {
        Cow::Borrowed(reader.bytes(len).ok_or("body cut short")?)
    };
    if body.len() != len {
        return Err("body of another length".to_owned());
    }
    let commitment = commit_parts(&nonce.0, format.as_bytes(), &body);
    Ok((commitment, Whole { nonce, body: Body::new(format, body) }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::commitment;
    use super::*;
    use crate::entry::Mask;

    const ABOVE: Id = Id::from_bytes([9; 32]);

    fn whole(envelope: Envelope, body: &[u8]) -> Entry {
        Entry::new(envelope, Nonce([7; 16]), Body::new("test/1", body))
    }

    fn plain(_: &[u8], _: usize) -> Result<Vec<u8>> {
        Err(Error::corrupt("entry", "not compressed"))
    }

    fn read(bytes: &[u8], expected: &Id) -> Result<Entry> {
        unframe(bytes, expected, || Ok(ABOVE), plain)
    }

    proptest! {
        #[test]
        fn invariant_2_a_frame_reads_back_and_any_flipped_bit_is_noticed(
            kind in 1_u16..12, at_ms: i64, alias in proptest::option::of("[a-z]{1,9}"),
            calls in proptest::collection::vec("[a-z]{1,5}", 0..3), target: Option<[u8; 32]>,
            masks in proptest::collection::vec(any::<u32>(), 0..3), parent: bool, follows: bool,
            body: Vec<u8>, flip: usize,
        ) {
            let masks = masks.iter().map(|saved| Mask { entry: ABOVE, saved_tokens: *saved });
            let envelope = Envelope {
                alias,
                slot: calls.first().cloned(),
                answers: calls.iter().skip(1).cloned().collect(),
                calls,
                parent: parent.then_some(ABOVE),
                target: target.map(Id::from_bytes),
                masks: masks.collect(),
                ..Envelope::new(Kind::from_code(kind), at_ms)
            };
            let entry = whole(envelope, &body);
            let mut bytes = frame(&entry, parent && follows, None);
            prop_assert_eq!(&read(&bytes, &entry.id()).unwrap(), &entry);
            prop_assert_eq!(frame_len(&bytes), Some(bytes.len()));
            let bit = flip % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(read(&bytes, &entry.id()).is_err());
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>) {
            let _ = read(&bytes, &ABOVE);
            let _ = read(&[&[FRAME_VERSION, 0], &[0; MARK_BYTES][..], &bytes].concat(), &ABOVE);
        }
    }

    #[test]
    fn an_erased_entry_keeps_its_id() {
        let entry = whole(Envelope::new(Kind::User, 5), b"secret");
        let Content::Whole(whole) = entry.content() else { panic!("whole") };
        let erased = Entry::erased(entry.envelope().clone(), commitment(&whole.nonce, &whole.body));
        assert_eq!(erased.id(), entry.id());
        let bytes = frame(&erased, false, None);
        assert_eq!(read(&bytes, &entry.id()).unwrap(), erased);
    }

    #[test]
    fn a_frame_is_found_and_trusted_with_nothing_around_it() {
        let entry = whole(Envelope::new(Kind::User, 5), b"body");
        let lost = Entry::lost(Id::from_bytes([3; 32]), Some(entry.id()));
        for entry in [entry, lost] {
            let bytes = frame(&entry, false, None);
            let told = Told::read(&[&bytes, &b"more"[..]].concat(), plain).unwrap();
            assert_eq!((told.len, told.follows()), (bytes.len(), None));
            assert_eq!(told.under(None), Ok(entry));
            assert_eq!(frame_len(&bytes), Some(bytes.len()));
        }
    }

    #[test]
    fn a_frame_that_follows_is_trusted_under_its_parent_alone() {
        let envelope = Envelope { parent: Some(ABOVE), ..Envelope::new(Kind::User, 5) };
        let entry = whole(envelope, b"body");
        let bytes = frame(&entry, true, None);
        assert_eq!(frame(&entry, false, None).len(), bytes.len() + 32);
        let other = Id::from_bytes([8; 32]);
        let told = || Told::read(&bytes, plain).unwrap();
        assert_eq!(told().follows(), Some(mark(&entry.id())));
        assert_eq!([told().is_under(ABOVE), told().is_under(other)], [true, false]);
        assert!(told().under(Some(other)).is_err() && told().under(None).is_err());
        assert_eq!(told().under(Some(ABOVE)), Ok(entry.clone()));
        assert_eq!(frame_envelope(&bytes, || Ok::<_, Error>(ABOVE)).unwrap(), *entry.envelope());
        let missing = || Err(Error::corrupt("place", "missing"));
        assert!(unframe(&bytes, &entry.id(), missing, plain).is_err());
        // One that is lost tells its parent itself: nothing could vouch for another one.
        let lost = Entry::lost(Id::from_bytes([3; 32]), Some(ABOVE));
        assert_eq!(frame(&lost, true, None), frame(&lost, false, None));
    }

    /// The head of a frame whose last length says `len`, where the body has `body` bytes.
    fn claiming(entry: &Entry, shorter: Option<&[u8]>, body: usize, len: u64) -> Vec<u8> {
        let mut bytes = frame(entry, false, shorter);
        bytes.truncate(bytes.len() - body - 1);
        put_number(&mut bytes, len);
        bytes
    }

    #[test]
    fn a_head_that_promises_more_than_a_body_may_have_is_no_frame() {
        let entry = whole(Envelope::new(Kind::User, 5), b"body");
        let commitment = entry.commitment().unwrap();
        let sealed = Sealed { commitment, key: 1, bytes: b"body".to_vec() };
        let sealed = entry.in_state(Content::Sealed(Arc::new(sealed)));
        let short = Some(&b"bdy"[..]);
        for (entry, shorter, body, most) in [
            (&entry, None, 4, limits::BODY_BYTES),
            (&entry, short, 3, limits::BODY_BYTES),
            (&sealed, None, 4, limits::BODY_BYTES + SEALED_MORE_BYTES),
        ] {
            for len in [0, most - 1, most] {
                let head = claiming(entry, shorter, body, len);
                assert_eq!(frame_len(&head), Some(head.len() + usize::try_from(len).unwrap()));
            }
            assert_eq!(frame_len(&claiming(entry, shorter, body, most + 1)), None);
        }
    }
}
