//! Compression of bodies at rest. Ids are over the uncompressed bytes.

use crate::error::{Error, Result};

/// Bodies below this are stored as they are, in bytes.
const WORTH_TRYING_BYTES: usize = 512;

/// A shorter form of a body, if it is worth an eighth or more.
pub(super) fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() < WORTH_TRYING_BYTES {
        return None;
    }
    let shorter = lz4_flex::block::compress(bytes);
    (shorter.len() < bytes.len() - bytes.len() / 8).then_some(shorter)
}

/// The body again. `len` was checked against the limit before anything is allocated.
pub(super) fn expand(bytes: &[u8], len: usize) -> Result<Vec<u8>> {
    lz4_flex::block::decompress(bytes, len)
        .map_err(|cause| Error::corrupt("entry", format!("body cannot be expanded: {cause}")))
}
