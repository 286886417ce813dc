//! What is true of any bytes in the place of a stored entry: they are the frame of one entry and of no
//! other, or none at all. For tests and fuzzers; panics with what it expected and found.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a check for tests speaks by panicking")]

use crate::encode::{
    Told, commitment, entry_id, frame, frame_envelope, frame_len, packed_envelope, unframe,
    unpacked_envelope,
};
use crate::entry::{Body, Content, Entry, Envelope, Kind, Nonce};
use crate::error::Result;
use crate::id::Id;
use crate::redb::shrink::{Effort, compress, expand};

/// The entry before one that follows it.
const BEFORE: Id = Id::from_bytes([9; 32]);

#[allow(clippy::unnecessary_wraps, reason = "looking it up may fail elsewhere")]
fn before() -> Result<Id> {
    Ok(BEFORE)
}

/// Checks any bytes as a frame, as an envelope, and as the body of an entry with that envelope; answers
/// whether they are one of the first two.
///
/// # Panics
/// Where what is decoded is not what was encoded.
pub fn check(bytes: &[u8]) -> bool {
    let is_frame = check_frame(bytes);
    drop((frame_envelope(bytes, before), frame_len(bytes)));
    let Some(envelope) = unpacked_envelope(bytes) else { return is_frame };
    assert_eq!(packed_envelope(&envelope), bytes, "an envelope has one encoding");
    if envelope.kind != Kind::Lost {
        let follows = Envelope { parent: Some(BEFORE), ..envelope.clone() };
        check_entry(envelope, false, Body::new("any", bytes));
        check_entry(follows, true, Body::new("any", bytes));
    }
    true
}

fn check_frame(bytes: &[u8]) -> bool {
    let Ok(told) = Told::read(bytes, expand) else { return false };
    let (len, follows) = (told.len, told.follows().is_some());
    assert_eq!(frame_len(bytes), Some(len), "the head tells the length");
    let Ok(entry) = told.under(Some(BEFORE)) else { return false };
    assert_eq!(frame_envelope(bytes, before).unwrap(), *entry.envelope());
    let again = frame(&entry, follows, None);
    assert_eq!(unframe(&again, &entry.id(), before, expand).unwrap(), entry);
    if let Content::Whole(whole) = entry.content() {
        let id = entry_id(entry.envelope(), &commitment(&whole.nonce, &whole.body));
        assert_eq!(entry.id(), id, "the id is that of the content");
    }
    true
}

fn check_entry(envelope: Envelope, follows: bool, body: Body) {
    let entry = Entry::new(envelope, Nonce([7; 16]), body);
    let unframe = |bytes: &[u8]| -> Result<Entry> { unframe(bytes, &entry.id(), before, expand) };
    let shorter = entry.body().and_then(|body| compress(&body.bytes, Effort::Full));
    for stored in [frame(&entry, follows, None), frame(&entry, follows, shorter.as_deref())] {
        assert_eq!(unframe(&stored).unwrap(), entry);
        assert_eq!(frame_len(&stored), Some(stored.len()));
        let longer = [&stored[..], b"more"].concat();
        assert!(unframe(&longer).is_err(), "bytes after its end");
        assert!(unframe(&stored[..stored.len() - 1]).is_err(), "cut short");
    }
    // Compressed bytes may say the same in other words.
    let mut flipped = frame(&entry, follows, None);
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    assert!(unframe(&flipped).is_err(), "another content");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_and_any_envelope(
            bytes in prop::collection::vec(any::<u8>(), 0..200), code: u16, at_ms: i64,
            alias in prop::option::of(".{0,20}"), calls in prop::collection::vec(".{0,9}", 0..4),
        ) {
            check(&bytes);
            let kind = Kind::from_code(code % 16);
            let envelope = Envelope { alias, calls, ..Envelope::new(kind, at_ms) };
            prop_assert!(check(&packed_envelope(&envelope)));
            let body = Body::new("text", bytes);
            let entry = Entry::new(envelope, Nonce([1; 16]), body);
            prop_assert!(kind == Kind::Lost || check(&frame(&entry, false, None)));
        }
    }
}
