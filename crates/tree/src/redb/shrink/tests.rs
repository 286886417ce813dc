//! Which bodies get shorter and by which codec, that they expand again, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test speaks by panicking")]

use proptest::prelude::*;

use super::*;
use crate::encode;
use crate::id::Id;

fn full(body: &[u8]) -> Option<Vec<u8>> {
    compress(body, Effort::Full)
}

fn told(bytes: &[u8], len: usize) -> String {
    expand(bytes, len).unwrap_err().to_string()
}

/// Letters at random, of so many.
fn letters(of: u8) -> Vec<u8> {
    let mut state = 7_u64;
    let letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3] % of
    };
    std::iter::repeat_with(letter).take(100_000).collect()
}

#[test]
fn words_are_part_of_the_format() {
    let hash = "ae733f916ae28ddf8b3c7d73330d45495f5b3cdc5a3f9e52f833f97576d522d1";
    let found = Id::from_bytes(encode::hash(&[WORDS]));
    assert_eq!(found.to_string(), hash, "what they made could not be read");
}

#[test]
fn the_most_that_compresses_expands_and_a_lie_is_refused() {
    let body = vec![b'x'; 64 << 20];
    let shorter = full(&body).unwrap();
    assert_eq!(expand(&shorter, body.len()).unwrap(), body);
    let cut = told(&shorter[..64], body.len());
    assert!(cut.contains("64 bytes cannot be a body of 67108864"), "{cut}");
    let lie = told(&shorter, body.len() - 1);
    assert!(lie.contains("does not claim to be of 67108863 bytes"), "{lie}");
    // The claim in the header is true of the body, but not of what follows.
    let small = full(&body[..1_000]).unwrap();
    let other = full(&body[..1_001]).unwrap();
    let header = small.len().min(4);
    let forged = [&small[..header], &other[header..]].concat();
    assert!(told(&forged, 1_000).contains("cannot be expanded"));
    assert!(told(&[0, 1, 2], 3).contains("unknown codec, Some(0)"));
    assert!(told(&[], 3).contains("unknown codec, None"));
}

#[test]
fn a_record_is_known_by_its_words_and_a_long_one_by_its_own() {
    let record = br#"{"role":"tool","parts":[{"type":"tool-result","call":"call-1","text":"42 files","error":false}]}"#;
    let shorter = full(record).unwrap();
    assert!(shorter.len() * 2 < record.len(), "{}", shorter.len());
    assert_eq!(shorter[0], ZSTD_WORDS);
    assert_eq!(expand(&shorter, record.len()).unwrap(), record);
    // The same bytes mean something else without the words.
    let plain = [&[ZSTD], &shorter[1..]].concat();
    assert!(told(&plain, record.len()).contains("cannot be expanded"));
    assert_eq!(full(&record[..WORTH_TRYING_BYTES - 1]), None);
    let times = MOST_WITH_WORDS_BYTES / record.len();
    for (times, codec) in [(times, ZSTD_WORDS), (times + 1, ZSTD)] {
        let long = record.repeat(times);
        let shorter = compress(&long, Effort::Little).unwrap();
        assert_eq!(shorter[0], codec, "{times}");
        assert_eq!(expand(&shorter, long.len()).unwrap(), long);
    }
}

#[test]
fn few_letters_are_worth_it_where_there_is_time_and_many_never() {
    let (base64, bytes) = (letters(64), letters(255));
    for len in [1_000, 4_000, 100_000] {
        let shorter = full(&base64[..len]).unwrap();
        assert_eq!(shorter[0], ZSTD);
        assert!(shorter.len() * 10 < len * 8, "{} of {len}", shorter.len());
        assert_eq!(expand(&shorter, len).unwrap(), base64[..len]);
    }
    for len in [0, 3, WORTH_TRYING_BYTES, 300, 1_000, 100_000] {
        assert_eq!(compress(&base64[..len], Effort::Little), None, "{len}");
        assert_eq!(full(&bytes[..len]), None, "{len}");
    }
    // The hurried look for what repeats itself all the same.
    assert!(compress(&base64[..100].repeat(3), Effort::Little).is_some());
}

proptest! {
    #[test]
    fn what_gets_shorter_expands_again_and_no_bytes_lead_astray(
        part in prop::collection::vec(any::<u8>(), 1..60), times in 1_usize..2_000, any: Vec<u8>, at: usize, len in 0_usize..200_000,
        codec in prop_oneof![Just(ZSTD), Just(ZSTD_WORDS)],
    ) {
        let body = part.repeat(times);
        if let Some(mut shorter) = full(&body) {
            prop_assert!(shorter.len() <= body.len() - body.len() / 8 + 1);
            prop_assert_eq!(&expand(&shorter, body.len()).unwrap(), &body);
            let at = at % shorter.len();
            shorter[at] ^= 1;
            let _ = expand(&shorter, body.len());
        }
        let _ = expand(&[&[codec][..], &any].concat(), len);
    }

    #[test]
    fn text_from_the_words_themselves_expands_again(at in 0..WORDS.len(), len in 64_usize..4_000) {
        let body = &WORDS[at..(at + len).min(WORDS.len())];
        if let Some(shorter) = full(body) {
            prop_assert_eq!(&expand(&shorter, body.len()).unwrap(), body);
        }
    }
}
