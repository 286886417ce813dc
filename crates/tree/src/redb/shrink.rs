//! Compression of bodies at rest. Ids are over the uncompressed bytes. Alone uses zstd.
//!
//! What is stored is one byte that names the codec, then what the codec made.

use std::cell::RefCell;

use zstd_safe::{CCtx, DCtx};

use crate::error::{Error, Result};

/// zstd, without the four bytes that every frame of it begins with.
const ZSTD: u8 = 1;
const MAGIC: [u8; 4] = zstd_safe::MAGICNUMBER.to_le_bytes();
/// Higher ones gain a hundredth and take twice as long, or more.
const LEVEL: i32 = 1;
/// Bodies below this are stored as they are, in bytes.
const WORTH_TRYING_BYTES: usize = 128;
/// Bytes looked at before anything is compressed.
const SAMPLE_BYTES: usize = 512;
/// Of text and JSON one in ten words or more was there shortly before; of what looks random, none.
const REPEATS_ONE_IN: usize = 64;

thread_local! {
    // Making one takes longer than compressing a body.
    static SHRINKING: RefCell<Option<CCtx<'static>>> = RefCell::new(CCtx::try_create());
    static EXPANDING: RefCell<Option<DCtx<'static>>> = RefCell::new(DCtx::try_create());
}

/// A shorter form of a body, if it is worth an eighth or more.
pub(crate) fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() < WORTH_TRYING_BYTES || !repeats_itself(bytes) {
        return None;
    }
    let most = bytes.len() - bytes.len() / 8;
    let mut shorter = Vec::with_capacity(MAGIC.len() + most);
    SHRINKING
        .with_borrow_mut(|context| context.as_mut()?.compress(&mut shorter, bytes, LEVEL).ok())?;
    // The last byte of the magic number gives way to the codec's.
    shorter.drain(..MAGIC.len() - 1);
    *shorter.first_mut()? = ZSTD;
    Some(shorter)
}

/// Whether words of four bytes come again at its start: what does not repeat itself hardly gets shorter, and
/// finding that out by compressing costs as much as everything else an append does.
fn repeats_itself(bytes: &[u8]) -> bool {
    let sample = &bytes[..bytes.len().min(SAMPLE_BYTES)];
    let mut seen = [0_u32; 256];
    let mut repeats = 0;
    for word in sample.windows(4) {
        let word = word.try_into().map_or(0, u32::from_le_bytes);
        // Multiplicative hashing: the highest bits are the mixed ones.
        let slot = &mut seen[usize::from(word.wrapping_mul(0x9E37_79B1).to_be_bytes()[0])];
        repeats += usize::from(*slot == word);
        *slot = word;
    }
    repeats * REPEATS_ONE_IN >= sample.len()
}

/// What a block of zstd expands to at most, and what it takes at least.
const BLOCK_BYTES: usize = 128 << 10;
const BLOCK_TAKES_BYTES: usize = 4;

/// The body again. What `bytes` cannot expand to, or does not claim to, is refused before anything is
/// allocated.
pub(crate) fn expand(bytes: &[u8], len: usize) -> Result<Vec<u8>> {
    let broken = |why: String| Error::corrupt("entry", why);
    let Some((&ZSTD, rest)) = bytes.split_first() else {
        return Err(broken(format!("body of an unknown codec, {:?}", bytes.first())));
    };
    if len / BLOCK_BYTES * BLOCK_TAKES_BYTES > rest.len() {
        return Err(broken(format!("{} bytes cannot be a body of {len}", bytes.len())));
    }
    let frame = [&MAGIC, rest].concat();
    if zstd_safe::get_frame_content_size(&frame).ok().flatten() != Some(len as u64) {
        return Err(broken(format!("body does not claim to be of {len} bytes")));
    }
    let mut body = Vec::with_capacity(len);
    let expanded = EXPANDING.with_borrow_mut(|context| {
        let context = context.as_mut().ok_or("no memory")?;
        context.decompress(&mut body, &frame).map_err(zstd_safe::get_error_name)
    });
    expanded.map_err(|why| broken(format!("body cannot be expanded: {why}")))?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test speaks by panicking")]

    use proptest::prelude::*;

    use super::*;

    fn told(bytes: &[u8], len: usize) -> String {
        expand(bytes, len).unwrap_err().to_string()
    }

    #[test]
    fn the_most_that_compresses_expands_and_a_lie_is_refused() {
        let body = vec![b'x'; 64 << 20];
        let shorter = compress(&body).unwrap();
        assert_eq!(expand(&shorter, body.len()).unwrap(), body);
        let cut = told(&shorter[..64], body.len());
        assert!(cut.contains("64 bytes cannot be a body of 67108864"), "{cut}");
        let lie = told(&shorter, body.len() - 1);
        assert!(lie.contains("does not claim to be of 67108863 bytes"), "{lie}");
        // The claim in the header is true of the body, but not of what follows.
        let small = compress(&body[..1_000]).unwrap();
        let other = compress(&body[..1_001]).unwrap();
        let header = small.len().min(4);
        let forged = [&small[..header], &other[header..]].concat();
        assert!(told(&forged, 1_000).contains("cannot be expanded"));
        assert!(told(&[0, 1, 2], 3).contains("unknown codec, Some(0)"));
        assert!(told(&[], 3).contains("unknown codec, None"));
    }

    #[test]
    fn text_gets_shorter_and_what_does_not_repeat_itself_is_left_alone() {
        let json = br#"{"role":"tool","parts":[{"type":"tool-result","call":"call-1","text":""},{"type":"tool-result","call":"call-2","text":""}]}"#;
        let json = [&json[..], &json[..]].concat();
        let shorter = compress(&json).unwrap();
        assert!(shorter.len() * 2 < json.len());
        assert_eq!(expand(&shorter, json.len()).unwrap(), json);
        let mut state = 7_u64;
        let letters: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            b'0' + (state & 0x3f) as u8
        })
        .take(100_000)
        .collect();
        for len in [0, 3, WORTH_TRYING_BYTES, 1_000, 100_000] {
            assert_eq!(compress(&letters[..len]), None);
        }
        assert_eq!(compress(&json[..WORTH_TRYING_BYTES - 1]), None);
    }

    proptest! {
        #[test]
        fn what_gets_shorter_expands_again_and_no_bytes_lead_astray(
            part in prop::collection::vec(any::<u8>(), 1..60), times in 1_usize..2_000, any: Vec<u8>, at: usize, len in 0_usize..200_000,
        ) {
            let body = part.repeat(times);
            if let Some(mut shorter) = compress(&body) {
                prop_assert!(shorter.len() <= body.len() - body.len() / 8 + 1);
                prop_assert_eq!(&expand(&shorter, body.len()).unwrap(), &body);
                let at = at % shorter.len();
                shorter[at] ^= 1;
                let _ = expand(&shorter, body.len());
            }
            let _ = expand(&[&[ZSTD][..], &any].concat(), len);
        }
    }
}
