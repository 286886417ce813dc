//! Bytes: the identity encoding an id is the hash of, the [`mod@frame`] an entry is stored in, and the codec
//! of what the engine stores around it. The only file that uses BLAKE3 and bincode; `docs/format.md`
//! gives both layouts to the byte, and golden vectors hold them.
//!
//! All integers are little-endian. `text` is a `u16` length and that many bytes of UTF-8; `option`
//! is one byte 0 or 1, then the value if 1; `list` is a `u16` count, then the values.

#[cfg(feature = "redb")]
mod frame;
#[cfg(feature = "redb")]
mod packed;

use serde::Serialize;
use serde::de::DeserializeOwned;

#[cfg(feature = "redb")]
pub(crate) use self::frame::{
    FRAME_VERSION, Mark, Told, frame, frame_envelope, frame_into, frame_len, mark, to_seal,
    unframe, unsealed,
};
#[cfg(all(feature = "conformance", feature = "redb"))]
pub(crate) use self::packed::{packed_envelope, unpacked_envelope};
use crate::entry::{Body, Commitment, Envelope, Nonce};
use crate::error::{Error, Result};
use crate::id::Id;

const CONTENT_DOMAIN: &[u8] = b"treering/content/1\0";
const ENTRY_DOMAIN: &[u8] = b"treering/entry/1\0";
const ENVELOPE_VERSION: u8 = 1;
/// The version of envelopes that end with masks; those without stay what they were.
const MASKING_VERSION: u8 = 2;

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
    let mut hash = blake3::Hasher::new();
    hash.update(ENTRY_DOMAIN).update(&envelope_bytes(envelope)).update(&commitment.0);
    Id::from_bytes(*hash.finalize().as_bytes())
}

/// What proves bytes around the tables to be whole.
pub(crate) fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = blake3::Hasher::new();
    for part in parts {
        hash.update(part);
    }
    *hash.finalize().as_bytes()
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
fn envelope_bytes(envelope: &Envelope) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    put_envelope(&mut out, envelope);
    out
}

fn put_envelope(out: &mut Vec<u8>, envelope: &Envelope) {
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
            put_text(out, name);
        }
    }
    for calls in [&envelope.calls, &envelope.answers] {
        out.extend(short_len(calls.len()));
        for call in calls {
            put_text(out, call);
        }
    }
    if !envelope.masks.is_empty() {
        out.extend(short_len(envelope.masks.len()));
        for mask in &envelope.masks {
            out.extend(mask.entry.as_bytes());
            out.extend(mask.saved_tokens.to_le_bytes());
        }
    }
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

/// What most rows fit in.
const ROW_BYTES: usize = 256;

struct Row<'r>(&'r mut Vec<u8>);

impl bincode::enc::write::Writer for Row<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Encodes what the engine stores around entries: places, sessions, the journal.
pub(crate) fn pack<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let mut row = Vec::with_capacity(ROW_BYTES);
    pack_into(&mut row, value)?;
    Ok(row)
}

/// The same in place of what is there.
pub(crate) fn pack_into<T: Serialize>(row: &mut Vec<u8>, value: &T) -> Result<()> {
    row.clear();
    bincode::serde::encode_into_writer(value, Row(row), bincode::config::standard())
        .map_err(|cause| Error::corrupt("row", format!("cannot be encoded: {cause}")))
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
    use super::*;

    #[test]
    fn a_hash_is_of_all_parts_in_their_order() {
        assert_eq!(hash(&[b"a", b"bc"]), *blake3::hash(b"abc").as_bytes());
    }

    #[test]
    fn a_row_of_the_journal_is_hashed_after_the_one_before_it() {
        let rows = [([0; 32], "a"), ([0; 32], "b"), ([1; 32], "a")];
        let hashes = rows.map(|(before, row)| chained(&before, row.as_bytes()));
        assert!(hashes[0] != hashes[1] && hashes[0] != hashes[2] && hashes[1] != hashes[2]);
    }

    #[test]
    fn bytes_behind_a_value_are_damage() {
        let mut bytes = pack(&7_u64).unwrap();
        assert_eq!(unpack::<u64>("number", &bytes).unwrap(), 7);
        bytes.push(0);
        let error = unpack::<u64>("number", &bytes).unwrap_err().to_string();
        assert!(error.contains("1 bytes after its end"), "{error}");
    }
}
