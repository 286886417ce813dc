//! Compression of bodies at rest. Ids are over the uncompressed bytes. Alone uses zstd.
//!
//! What is stored is one byte that names the codec, then what the codec made.

use std::cell::RefCell;
use std::sync::LazyLock;

use zstd_safe::{CCtx, CDict, DCtx, DDict, SafeResult};

use crate::error::{Error, Result};

/// zstd, without the four bytes that every frame of it begins with.
const ZSTD: u8 = 1;
/// The same, with [`WORDS`] as its dictionary.
const ZSTD_WORDS: u8 = 2;
const MAGIC: [u8; 4] = zstd_safe::MAGICNUMBER.to_le_bytes();
/// Higher ones gain a hundredth and take twice as long, or more.
const LEVEL: i32 = 1;
/// What records of sessions are made of, the most frequent last: names of fields and what often stands beside
/// them. Part of the format: another byte in it, and nothing that was stored with it can be read.
const WORDS: &[u8] = include_bytes!("shrink/words-1.txt");
/// Longer bodies have said most words themselves, and take longer with a dictionary.
const MOST_WITH_WORDS_BYTES: usize = 16 << 10;
/// Imports and images: what is written takes longer than what makes it shorter.
const LARGE_CHANGE_BYTES: usize = 16 << 10;
/// Bodies below this are stored as they are, in bytes.
const WORTH_TRYING_BYTES: usize = 64;
/// Bytes looked at before anything is compressed.
const SAMPLE_BYTES: usize = 512;
/// Of text and JSON one in ten words or more was there shortly before; of what looks random, none.
const REPEATS_ONE_IN: usize = 64;
/// Text in any script has fewer different bytes in a sample, bytes at random have 220.
const MOST_LETTERS: usize = 160;

static SHRINKING_WORDS: LazyLock<Option<CDict<'static>>> =
    LazyLock::new(|| CDict::try_create(WORDS, LEVEL));
static EXPANDING_WORDS: LazyLock<Option<DDict<'static>>> =
    LazyLock::new(|| DDict::try_create(WORDS));

thread_local! {
    // Making one takes longer than compressing a body.
    static SHRINKING: RefCell<Option<CCtx<'static>>> = RefCell::new(CCtx::try_create());
    static EXPANDING: RefCell<Option<DCtx<'static>>> = RefCell::new(DCtx::try_create());
}

/// How much time a body is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Somebody waits for a small change: only what is likely to get much shorter is compressed.
    Little,
    /// Letters that do not repeat themselves but are few are worth it too, as those of base64.
    Full,
}

impl Effort {
    /// That of a change with so many bytes in its bodies.
    pub(crate) fn for_change(bytes: usize) -> Self {
        if bytes < LARGE_CHANGE_BYTES { Self::Little } else { Self::Full }
    }
}

/// A shorter form of a body, if it is worth an eighth or more.
pub(crate) fn compress(bytes: &[u8], effort: Effort) -> Option<Vec<u8>> {
    let codec = codec_for(bytes, effort)?;
    let most = bytes.len() - bytes.len() / 8;
    let mut shorter = Vec::with_capacity(MAGIC.len() + most);
    SHRINKING.with_borrow_mut(|context| {
        let context = context.as_mut()?;
        let compressed = match codec {
            ZSTD_WORDS => {
                context.compress_using_cdict(&mut shorter, bytes, SHRINKING_WORDS.as_ref()?)
            }
            _ => context.compress(&mut shorter, bytes, LEVEL),
        };
        compressed.ok()
    })?;
    // The last byte of the magic number gives way to the codec's.
    shorter.drain(..MAGIC.len() - 1);
    *shorter.first_mut()? = codec;
    Some(shorter)
}

/// What may make a body shorter. To find out by compressing that nothing does costs a small append a tenth of
/// its time.
fn codec_for(bytes: &[u8], effort: Effort) -> Option<u8> {
    if bytes.len() < WORTH_TRYING_BYTES {
        return None;
    }
    let sample = &bytes[..bytes.len().min(SAMPLE_BYTES)];
    let repeats = repeats_itself(sample);
    if !repeats && (effort == Effort::Little || !has_few_letters(sample)) {
        return None;
    }
    // What is brief has had no time to repeat itself.
    let has_words = repeats || bytes.len() < SAMPLE_BYTES;
    Some(if has_words && bytes.len() <= MOST_WITH_WORDS_BYTES { ZSTD_WORDS } else { ZSTD })
}

/// Whether words of four bytes come again.
fn repeats_itself(sample: &[u8]) -> bool {
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

/// Whether it gets shorter by its letters alone.
fn has_few_letters(sample: &[u8]) -> bool {
    let mut seen = [false; 256];
    for byte in sample {
        seen[usize::from(*byte)] = true;
    }
    let letters = seen.into_iter().filter(|seen| *seen).count();
    letters <= MOST_LETTERS.min(sample.len() / 2)
}

/// What a block of zstd expands to at most, and what it takes at least.
const BLOCK_BYTES: usize = 128 << 10;
const BLOCK_TAKES_BYTES: usize = 4;

/// The body again. What `bytes` cannot expand to, or does not claim to, is refused before anything is
/// allocated.
pub(crate) fn expand(bytes: &[u8], len: usize) -> Result<Vec<u8>> {
    let broken = |why: String| Error::corrupt("entry", why);
    let Some((&codec @ (ZSTD | ZSTD_WORDS), rest)) = bytes.split_first() else {
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
        let words = || EXPANDING_WORDS.as_ref().ok_or("no memory");
        let expanded: SafeResult = match codec {
            ZSTD_WORDS => context.decompress_using_ddict(&mut body, &frame, words()?),
            _ => context.decompress(&mut body, &frame),
        };
        expanded.map_err(zstd_safe::get_error_name)
    });
    expanded.map_err(|why| broken(format!("body cannot be expanded: {why}")))?;
    Ok(body)
}

#[cfg(test)]
mod tests;
