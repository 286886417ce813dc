//! Compression of bodies at rest. Ids are over the uncompressed bytes.

use crate::error::{Error, Result};

/// Bodies below this are stored as they are, in bytes.
const WORTH_TRYING_BYTES: usize = 512;

/// A shorter form of a body, if it is worth an eighth or more.
pub(crate) fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() < WORTH_TRYING_BYTES {
        return None;
    }
    let shorter = lz4_flex::block::compress(bytes);
    (shorter.len() < bytes.len() - bytes.len() / 8).then_some(shorter)
}

/// The most that a byte of LZ4 expands to.
const EXPANDS_TO: usize = 255;

/// The body again. What `bytes` cannot expand to is refused before anything is allocated.
pub(crate) fn expand(bytes: &[u8], len: usize) -> Result<Vec<u8>> {
    if len / EXPANDS_TO > bytes.len() {
        let why = format!("{} bytes cannot be a body of {len}", bytes.len());
        return Err(Error::corrupt("entry", why));
    }
    lz4_flex::block::decompress(bytes, len)
        .map_err(|cause| Error::corrupt("entry", format!("body cannot be expanded: {cause}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test speaks by panicking")]

    use super::*;

    #[test]
    fn the_most_that_compresses_expands_and_a_lie_is_refused() {
        let body = vec![b'x'; 64 << 20];
        let shorter = compress(&body).unwrap();
        assert_eq!(expand(&shorter, body.len()).unwrap(), body);
        let told = expand(&shorter[..64], body.len()).unwrap_err().to_string();
        assert!(told.contains("64 bytes cannot be a body of 67108864"), "{told}");
    }
}
