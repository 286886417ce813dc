//! The frame an entry is stored in: its envelope and its body, or what is left of that, and enough besides to
//! be found in raw bytes. Knows nothing of tables, ciphers and codecs.

use std::borrow::Cow;
use std::sync::Arc;

use super::{
    ENVELOPE_VERSION, MASKING_VERSION, Reader, commit_parts, id_of_parts, put_envelope, put_text,
    read_envelope,
};
use crate::entry::{Body, Commitment, Content, Entry, Envelope, Kind, Nonce, Sealed, Whole};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::limits;

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

/// An entry as it is stored: frame version, flags, the first bytes of its id, envelope, then nonce,
/// format and body; or commitment, key and cipher text where they are sealed; or the commitment alone
/// where the body was erased, or the whole id where the entry is lost. It says how long it is and what it
/// hashes to, so that it can be found and trusted with nothing around it. `shorter` is the body compressed,
/// where that pays.
pub(crate) fn frame(entry: &Entry, shorter: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    frame_into(&mut out, entry, shorter);
    out
}

/// Makes that frame in memory that is there.
pub(crate) fn frame_into(out: &mut Vec<u8>, entry: &Entry, shorter: Option<&[u8]>) {
    out.clear();
    out.extend([FRAME_VERSION, 0]);
    out.extend(&entry.id().as_bytes()[..MARK_BYTES]);
    let before = out.len();
    put_len(out, 0);
    let start = out.len();
    put_envelope(out, entry.envelope());
    let len = len_bytes(out.len() - start);
    out[before..start].copy_from_slice(&len);
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
            put_len(out, sealed.bytes.len());
            out.extend(&sealed.bytes);
        }
        Content::Whole(whole) => {
            out[1] |= if shorter.is_some() { FLAG_COMPRESSED } else { 0 };
            put_whole(out, whole, shorter);
        }
    }
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
    let whole = read_whole(&mut reader, compressed == 1, expand)?;
    if reader.rest.is_empty() { Ok(whole) } else { Err("bytes after its end".to_owned()) }
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    out.extend(len_bytes(len));
}

fn len_bytes(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes()
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
            let sealed = read_sealed(&mut reader).ok_or("sealed body cut short")?;
            (id_of_parts(envelope_bytes, &sealed.commitment), Content::Sealed(Arc::new(sealed)))
        }
        _ => {
            let (commitment, whole) = read_whole(&mut reader, flags == FLAG_COMPRESSED, expand)?;
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

fn read_sealed(reader: &mut Reader<'_>) -> Option<Sealed> {
    let commitment = reader.array().map(Commitment)?;
    let key = reader.array().map(u64::from_le_bytes)?;
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
    let format = reader.text().ok_or("body format unreadable")?;
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

    /// The head of a frame whose last length says `len`, where the body has `body` bytes.
    fn claiming(entry: &Entry, shorter: Option<&[u8]>, body: usize, len: u64) -> Vec<u8> {
        let mut bytes = frame(entry, shorter);
        bytes.truncate(bytes.len() - body - 4);
        put_len(&mut bytes, usize::try_from(len).unwrap());
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
