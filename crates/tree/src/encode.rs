//! Bytes: the identity encoding an id is the hash of, the frame an entry is stored in, and the codec
//! of what the engine stores around it. The only file that uses BLAKE3 and bincode; `docs/format.md`
//! gives both layouts to the byte, and golden vectors hold them.
//!
//! All integers are little-endian. `text` is a `u16` length and that many bytes of UTF-8; `option`
//! is one byte 0 or 1, then the value if 1; `list` is a `u16` count, then the values.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::entry::{Body, Commitment, Content, Entry, Envelope, Kind, Mask, Nonce, Sealed, Whole};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::limits;

const CONTENT_DOMAIN: &[u8] = b"treering/content/1\0";
const ENTRY_DOMAIN: &[u8] = b"treering/entry/1\0";
const ENVELOPE_VERSION: u8 = 1;
/// The version of envelopes that end with masks; those without stay what they were.
const MASKING_VERSION: u8 = 2;
/// First byte of every frame.
pub(crate) const FRAME_VERSION: u8 = 1;
const FLAG_ERASED: u8 = 1;
const FLAG_COMPRESSED: u8 = 2;
const FLAG_LOST: u8 = 4;
const FLAG_SEALED: u8 = 8;
/// What a sealed body may have more than the body: its nonce, its format, lengths, the cipher's tag.
const SEALED_MORE_BYTES: u64 = 1024;
/// Bytes of its id that a frame carries.
const MARK_BYTES: usize = 8;

/// `C = H(domain, nonce, format, length, bytes)`.
pub(crate) fn commitment(nonce: &Nonce, body: &Body) -> Commitment {
    commit_parts(&nonce.0, body.format.as_bytes(), &body.bytes)
}

fn commit_parts(nonce: &[u8], format: &[u8], bytes: &[u8]) -> Commitment {
    let mut hash = blake3::Hasher::new();
    hash.update(CONTENT_DOMAIN).update(nonce);
    hash.update(&short_len(format.len())).update(format);
    hash.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    Commitment(*hash.finalize().as_bytes())
}

/// `id = H(domain, envelope, C)`.
pub(crate) fn entry_id(envelope: &Envelope, commitment: &Commitment) -> Id {
    id_of_parts(&envelope_bytes(envelope), commitment)
}

fn id_of_parts(envelope: &[u8], commitment: &Commitment) -> Id {
    let mut hash = blake3::Hasher::new();
    hash.update(ENTRY_DOMAIN).update(envelope).update(&commitment.0);
    Id::from_bytes(*hash.finalize().as_bytes())
}

/// A 64-bit hash for indexes, told apart by `domain`; whoever finds something by it compares the
/// whole value.
pub(crate) fn short_hash(domain: &str, parts: &[&[u8]]) -> u64 {
    let mut hash = blake3::Hasher::new();
    hash.update(domain.as_bytes()).update(&[0]);
    for part in parts {
        hash.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finalize().as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// The hash of a journal row after the one before it.
pub(crate) fn chained(before: &[u8; 32], row: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new()
        .update(b"treering/journal/1\0")
        .update(before)
        .update(row)
        .finalize()
        .as_bytes()
}

/// A nonce that only the holder of `secret` can derive from a foreign record's identity.
pub(crate) fn derived_nonce(secret: &[u8; 32], identity: &[&[u8]]) -> Nonce {
    let mut hash = blake3::Hasher::new_keyed(secret);
    for part in identity {
        hash.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    let mut nonce = [0; 16];
    hash.finalize_xof().fill(&mut nonce);
    Nonce(nonce)
}

/// The identity encoding of an envelope.
pub(crate) fn envelope_bytes(envelope: &Envelope) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.push(if envelope.masks.is_empty() { ENVELOPE_VERSION } else { MASKING_VERSION });
    out.extend(envelope.kind.code().to_le_bytes());
    out.extend(envelope.at_ms.to_le_bytes());
    for id in [&envelope.parent, &envelope.target] {
        out.push(u8::from(id.is_some()));
        if let Some(id) = id {
            out.extend_from_slice(id.as_bytes());
        }
    }
    for name in [&envelope.alias, &envelope.slot] {
        out.push(u8::from(name.is_some()));
        if let Some(name) = name {
            put_text(&mut out, name);
        }
    }
    for calls in [&envelope.calls, &envelope.answers] {
        out.extend(short_len(calls.len()));
        for call in calls {
            put_text(&mut out, call);
        }
    }
    if !envelope.masks.is_empty() {
        out.extend(short_len(envelope.masks.len()));
        for mask in &envelope.masks {
            out.extend(mask.entry.as_bytes());
            out.extend(mask.saved_tokens.to_le_bytes());
        }
    }
    out
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend(short_len(text.len()));
    out.extend(text.as_bytes());
}

/// Lengths that `limits` keeps far below 65,536; one that is not saturates and so cannot collide
/// with a shorter text of the same bytes.
fn short_len(len: usize) -> [u8; 2] {
    u16::try_from(len).unwrap_or(u16::MAX).to_le_bytes()
}

/// An entry as it is stored: frame version, flags, the first bytes of its id, envelope, then nonce,
/// format and body; or commitment, key and cipher text where they are sealed; or the commitment alone
/// where the body was erased, or the whole id where the entry is lost. It says how long it is and what it hashes to, so that it can be found and trusted with
/// nothing around it. `shorter` is the body compressed, where that pays.
pub(crate) fn frame(entry: &Entry, shorter: Option<&[u8]>) -> Vec<u8> {
    let envelope = envelope_bytes(entry.envelope());
    let body = match entry.content() {
        Content::Whole(whole) => shorter.map_or(whole.body.bytes.len(), <[u8]>::len),
        Content::Sealed(sealed) => sealed.bytes.len(),
        Content::Erased { .. } | Content::Lost => 0,
    };
    let mut out = Vec::with_capacity(envelope.len() + body + 104);
    out.extend([FRAME_VERSION, 0]);
    out.extend(&entry.id().as_bytes()[..MARK_BYTES]);
    put_len(&mut out, envelope.len());
    out.extend(&envelope);
    match entry.content() {
        Content::Erased { commitment } => {
            out[1] |= FLAG_ERASED;
            out.extend(commitment.0);
        }
        Content::Lost => {
            out[1] |= FLAG_LOST;
            out.extend(entry.id().as_bytes());
        }
        Content::Sealed(sealed) => {
            out[1] |= FLAG_SEALED;
            out.extend(sealed.commitment.0);
            out.extend(sealed.key.to_le_bytes());
            put_len(&mut out, sealed.bytes.len());
            out.extend(&sealed.bytes);
        }
        Content::Whole(whole) => {
            out[1] |= if shorter.is_some() { FLAG_COMPRESSED } else { 0 };
            put_whole(&mut out, whole, shorter);
        }
    }
    out
}

fn put_whole(out: &mut Vec<u8>, Whole { nonce, body }: &Whole, shorter: Option<&[u8]>) {
    out.extend(nonce.0);
    put_text(out, &body.format);
    put_len(out, body.bytes.len());
    if let Some(shorter) = shorter {
        put_len(out, shorter.len());
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
    let whole = reader.whole(compressed == 1, expand)?;
    if reader.rest.is_empty() { Ok(whole) } else { Err("bytes after its end".to_owned()) }
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    out.extend(u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
}

/// Reads a frame back and recomputes the id from what is there, never trusting a stored one.
///
/// # Errors
/// `Corrupt` when the bytes are no frame or hash to another id than `expected`.
pub(crate) fn unframe(
    bytes: &[u8],
    expected: &Id,
    expand: impl Fn(&[u8], usize) -> Result<Vec<u8>>,
) -> Result<Entry> {
    let broken = |why: &str| Error::corrupt("entry", format!("{expected}: {why}"));
    let (entry, read) = salvage(bytes, expand).map_err(|why| broken(&why))?;
    if read != bytes.len() {
        return Err(broken("bytes after its end"));
    }
    if entry.id() != *expected {
        return Err(broken(&format!("its content hashes to {}", entry.id())));
    }
    Ok(entry)
}

/// The entry whose frame begins `bytes`, and the frame's length; or why there is none.
pub(crate) fn salvage(
    bytes: &[u8],
    expand: impl Fn(&[u8], usize) -> Result<Vec<u8>>,
) -> Result<(Entry, usize), String> {
    let mut reader = Reader { rest: bytes };
    let (version, flags) = (reader.u8(), reader.u8());
    if version != Some(FRAME_VERSION) {
        return Err("frame of an unknown version".to_owned());
    }
    let flags = flags.filter(|flags| {
        matches!(*flags, 0 | FLAG_ERASED | FLAG_COMPRESSED | FLAG_LOST | FLAG_SEALED)
    });
    let flags = flags.ok_or("flags missing or unknown")?;
    let mark: [u8; MARK_BYTES] = reader.array().ok_or("mark cut short")?;
    let envelope_bytes = reader.len_and_bytes().ok_or("envelope cut short")?;
    let envelope = read_envelope(envelope_bytes).ok_or("envelope unreadable")?;
    let (id, content) = match flags {
        FLAG_LOST => (reader.array().map(Id::from_bytes).ok_or("id cut short")?, Content::Lost),
        FLAG_ERASED => {
            let commitment = reader.array().map(Commitment).ok_or("commitment cut short")?;
            (id_of_parts(envelope_bytes, &commitment), Content::Erased { commitment })
        }
        FLAG_SEALED => {
            let sealed = reader.sealed().ok_or("sealed body cut short")?;
            (id_of_parts(envelope_bytes, &sealed.commitment), Content::Sealed(Arc::new(sealed)))
        }
        _ => {
            let (commitment, whole) = reader.whole(flags == FLAG_COMPRESSED, expand)?;
            (id_of_parts(envelope_bytes, &commitment), Content::Whole(Arc::new(whole)))
        }
    };
    if !id.as_bytes().starts_with(&mark) {
        return Err(format!("its content hashes to {id}, which its mark is not of"));
    }
    // Nothing but the mark vouches for a lost entry: it must look like one all through.
    if (content == Content::Lost) != (envelope.kind == Kind::Lost) {
        return Err("kind and content are not of one another".to_owned());
    }
    let read = bytes.len() - reader.rest.len();
    Ok((Entry::verified(id, envelope, content), read))
}

/// How long the frame is whose head, everything up to the body, begins `bytes`; `None` where none does.
pub(crate) fn frame_len(bytes: &[u8]) -> Option<usize> {
    let mut reader = Reader { rest: bytes };
    if reader.u8()? != FRAME_VERSION {
        return None;
    }
    let flags = reader.u8()?;
    reader.bytes(MARK_BYTES)?;
    let envelope = reader.len_and_bytes()?;
    // The cheapest sign that this is one, before anything is decoded.
    if !matches!(envelope.first(), Some(&(ENVELOPE_VERSION | MASKING_VERSION))) {
        return None;
    }
    read_envelope(envelope)?;
    let rest = match flags {
        FLAG_LOST | FLAG_ERASED => 32,
        FLAG_SEALED => {
            reader.bytes(32 + 8)?;
            let len = reader.len()?;
            if len as u64 > limits::BODY_BYTES + SEALED_MORE_BYTES {
                return None;
            }
            len
        }
        0 | FLAG_COMPRESSED => {
            reader.array::<16>()?;
            reader.text()?;
            let len = reader.len()?;
            let stored = if flags == FLAG_COMPRESSED { reader.len()? } else { len };
            if len.max(stored) as u64 > limits::BODY_BYTES {
                return None;
            }
            stored
        }
        _ => return None,
    };
    Some(bytes.len() - reader.rest.len() + rest)
}

/// The envelope of a frame alone, without looking at the body.
///
/// # Errors
/// `Corrupt` when the bytes are no frame.
pub(crate) fn frame_envelope(bytes: &[u8]) -> Result<Envelope> {
    let mut reader = Reader { rest: bytes };
    let version = reader.u8();
    let past = reader.bytes(1 + MARK_BYTES);
    let envelope = past.and_then(|_| reader.len_and_bytes()).and_then(read_envelope);
    envelope
        .filter(|_| version == Some(FRAME_VERSION))
        .ok_or_else(|| Error::corrupt("entry", "envelope unreadable"))
}

/// Reads an identity encoding; `None` where it is not one.
pub(crate) fn read_envelope(bytes: &[u8]) -> Option<Envelope> {
    let mut reader = Reader { rest: bytes };
    let version = reader.u8()?;
    if !matches!(version, ENVELOPE_VERSION | MASKING_VERSION) {
        return None;
    }
    let envelope = Envelope {
        kind: Kind::from_code(u16::from_le_bytes(reader.array()?)),
        at_ms: i64::from_le_bytes(reader.array()?),
        parent: reader.option(|reader| reader.array().map(Id::from_bytes))?,
        target: reader.option(|reader| reader.array().map(Id::from_bytes))?,
        alias: reader.option(Reader::text)?,
        slot: reader.option(Reader::text)?,
        calls: reader.list()?,
        answers: reader.list()?,
        masks: if version == MASKING_VERSION { reader.masks()? } else { Vec::new() },
    };
    reader.rest.is_empty().then_some(envelope)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn len(&mut self) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(self.array()?)).ok()
    }

    fn len_and_bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.len()?;
        self.bytes(len)
    }

    fn text(&mut self) -> Option<String> {
        let len = u16::from_le_bytes(self.array()?);
        String::from_utf8(self.bytes(usize::from(len))?.to_vec()).ok()
    }

    fn sealed(&mut self) -> Option<Sealed> {
        let commitment = self.array().map(Commitment)?;
        let key = self.array().map(u64::from_le_bytes)?;
        let bytes = self.len_and_bytes()?;
        Some(Sealed { commitment, key, bytes: bytes.to_vec() })
    }

    /// Nonce, format and body, and the hash of them.
    fn whole(
        &mut self,
        compressed: bool,
        expand: impl Fn(&[u8], usize) -> Result<Vec<u8>>,
    ) -> Result<(Commitment, Whole), String> {
        let nonce = self.array().map(Nonce).ok_or("nonce cut short")?;
        let format = self.text().ok_or("body format unreadable")?;
        let len = self.len().ok_or("body length cut short")?;
        if len as u64 > limits::BODY_BYTES {
            return Err("body over the limit".to_owned());
        }
        let body = if compressed {
            let shorter = self.len_and_bytes().ok_or("body cut short")?;
            Cow::Owned(expand(shorter, len).map_err(|error| error.to_string())?)
        } else {
            Cow::Borrowed(self.bytes(len).ok_or("body cut short")?)
        };
        if body.len() != len {
            return Err("body of another length".to_owned());
        }
        let commitment = commit_parts(&nonce.0, format.as_bytes(), &body);
        Ok((commitment, Whole { nonce, body: Body::new(format, body) }))
    }

    #[allow(clippy::option_option, reason = "the outer one is the reader's end of input")]
    fn option<T>(&mut self, value: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.u8()? {
            0 => Some(None),
            1 => value(self).map(Some),
            _ => None,
        }
    }

    fn list(&mut self) -> Option<Vec<String>> {
        let count = u16::from_le_bytes(self.array()?);
        (0..count).map(|_| self.text()).collect()
    }

    /// At least one: an envelope without any is of the version that has none.
    fn masks(&mut self) -> Option<Vec<Mask>> {
        let count = u16::from_le_bytes(self.array()?);
        let mask = |_| {
            let entry = self.array().map(Id::from_bytes)?;
            Some(Mask { entry, saved_tokens: u32::from_le_bytes(self.array()?) })
        };
        let masks: Vec<Mask> = (0..count).map(mask).collect::<Option<_>>()?;
        (!masks.is_empty()).then_some(masks)
    }
}

/// What most rows fit in.
const ROW_BYTES: usize = 256;

struct Row(Vec<u8>);

impl bincode::enc::write::Writer for Row {
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Encodes what the engine stores around entries: places, sessions, the journal.
pub(crate) fn pack<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let mut row = Row(Vec::with_capacity(ROW_BYTES));
    bincode::serde::encode_into_writer(value, &mut row, bincode::config::standard())
        .map_err(|cause| Error::corrupt("row", format!("cannot be encoded: {cause}")))?;
    Ok(row.0)
}

/// 32 bytes as bytes: serde's arrays go one byte at a time.
pub(crate) mod bytes32 {
    use std::fmt;

    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        bytes: &[u8; 32],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[u8; 32], D::Error> {
        deserializer.deserialize_bytes(Bytes32)
    }

    struct Bytes32;

    impl Visitor<'_> for Bytes32 {
        type Value = [u8; 32];

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("32 bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<[u8; 32], E> {
            bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))
        }
    }
}

/// Bytes as bytes: serde's vectors go one byte at a time.
pub(crate) mod byte_vec {
    use std::fmt;

    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_bytes(Bytes)
    }

    struct Bytes;

    impl Visitor<'_> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }
    }
}

/// Decodes what [`pack`] made.
pub(crate) fn unpack<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T> {
    let config = bincode::config::standard().with_limit::<{ 16 << 20 }>();
    match bincode::serde::borrow_decode_from_slice(bytes, config) {
        Ok((value, read)) if read == bytes.len() => Ok(value),
        Ok((_, read)) => {
            Err(Error::corrupt(what, format!("{} bytes after its end", bytes.len() - read)))
        }
        Err(cause) => Err(Error::corrupt(what, format!("undecodable: {cause}"))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(envelope: Envelope, body: &[u8]) -> Entry {
        Entry::new(envelope, Nonce([7; 16]), Body::new("test/1", body))
    }

    fn plain(_: &[u8], _: usize) -> Result<Vec<u8>> {
        Err(Error::corrupt("entry", "not compressed"))
    }

    proptest! {
        #[test]
        fn invariant_2_a_frame_reads_back_and_any_flipped_bit_is_noticed(
            kind in 1_u16..12, at_ms: i64, alias in proptest::option::of("[a-z]{1,9}"),
            calls in proptest::collection::vec("[a-z]{1,5}", 0..3), body: Vec<u8>, flip: usize,
        ) {
            let kind = Kind::from_code(kind);
            let envelope = Envelope { alias, calls, ..Envelope::new(kind, at_ms) };
            let entry = whole(envelope, &body);
            let mut bytes = frame(&entry, None);
            prop_assert_eq!(&unframe(&bytes, &entry.id(), plain).unwrap(), &entry);
            let bit = flip % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(unframe(&bytes, &entry.id(), plain).is_err());
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>) {
            let _ = read_envelope(&bytes);
            let _ = unframe(&bytes, &Id::from_bytes([0; 32]), plain);
        }
    }

    #[test]
    fn an_erased_entry_keeps_its_id() {
        let entry = whole(Envelope::new(Kind::User, 5), b"secret");
        let Content::Whole(whole) = entry.content() else { panic!("whole") };
        let erased = Entry::erased(entry.envelope().clone(), commitment(&whole.nonce, &whole.body));
        assert_eq!(erased.id(), entry.id());
        let bytes = frame(&erased, None);
        assert_eq!(unframe(&bytes, &entry.id(), plain).unwrap(), erased);
    }

    #[test]
    fn a_frame_is_found_and_trusted_with_nothing_around_it() {
        let entry = whole(Envelope::new(Kind::User, 5), b"body");
        let lost = Entry::lost(Id::from_bytes([3; 32]), Some(entry.id()));
        for entry in [entry, lost] {
            let bytes = frame(&entry, None);
            let found = salvage(&[&bytes, &b"more"[..]].concat(), plain).unwrap();
            assert_eq!(found, (entry, bytes.len()));
            assert_eq!(frame_len(&bytes), Some(bytes.len()));
        }
    }
}
