//! What is true of any bytes in the place of a stored entry: they are the frame of one entry and of no
//! other, or none at all. For tests and fuzzers; panics with what it expected and found.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a check for tests speaks by panicking")]

use crate::encode::{
    entry_id, envelope_bytes, frame, frame_envelope, frame_len, read_envelope, salvage, unframe,
};
use crate::entry::{Body, Content, Entry, Envelope, Kind, Nonce};
use crate::redb::shrink::{Effort, compress, expand};

/// Checks any bytes as a frame, as an envelope, and as the body of an entry with that envelope; answers
/// whether they are one of the first two.
///
/// # Panics
/// Where what is decoded is not what was encoded.
pub fn check(bytes: &[u8]) -> bool {
    let is_frame = check_frame(bytes);
    drop((frame_envelope(bytes), frame_len(bytes)));
    let Some(envelope) = read_envelope(bytes) else { return is_frame };
    assert_eq!(envelope_bytes(&envelope), bytes, "an envelope has one encoding");
    if envelope.kind != Kind::Lost {
        check_entry(envelope, Body::new("any", bytes));
    }
    true
}

fn check_frame(bytes: &[u8]) -> bool {
    let Ok((entry, read)) = salvage(bytes, expand) else { return false };
    assert_eq!(frame_len(bytes), Some(read), "the head tells the length");
    assert_eq!(frame_envelope(bytes).unwrap(), *entry.envelope());
    let again = frame(&entry, None);
    let (decoded, all) = salvage(&again, expand).unwrap();
    assert_eq!((&decoded, all), (&entry, again.len()));
    if let Content::Whole(whole) = entry.content() {
        let id = entry_id(entry.envelope(), &crate::encode::commitment(&whole.nonce, &whole.body));
        assert_eq!(entry.id(), id, "the id is that of the content");
    }
    true
}

fn check_entry(envelope: Envelope, body: Body) {
    let entry = Entry::new(envelope, Nonce([7; 16]), body);
    let shorter = entry.body().and_then(|body| compress(&body.bytes, Effort::Full));
    for stored in [frame(&entry, None), frame(&entry, shorter.as_deref())] {
        assert_eq!(unframe(&stored, &entry.id(), expand).unwrap(), entry);
        assert_eq!(frame_len(&stored), Some(stored.len()));
        let longer = [&stored[..], b"more"].concat();
        assert!(unframe(&longer, &entry.id(), expand).is_err(), "bytes after its end");
        assert!(unframe(&stored[..stored.len() - 1], &entry.id(), expand).is_err(), "cut short");
    }
    // Compressed bytes may say the same in other words.
    let mut flipped = frame(&entry, None);
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    assert!(unframe(&flipped, &entry.id(), expand).is_err(), "another content");
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
            prop_assert!(check(&envelope_bytes(&envelope)));
            let body = Body::new("text", bytes);
            let entry = Entry::new(envelope, Nonce([1; 16]), body);
            prop_assert!(kind == Kind::Lost || check(&frame(&entry, None)));
        }
    }
}
