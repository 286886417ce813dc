//! Encryption at rest. Every body is sealed under a key of its session; that key is stored wrapped by a master
//! key, which is never stored. Who forgets a session's key erases its bodies wherever a copy of the store is.
//!
//! The store keeps keys and decides what is sealed under which nonce and context; an [`Encrypt`] does the rest,
//! and with the feature `encrypt` [`MasterKey`] is one.
//!
//! Not hidden: the shape of the tree, kinds, times, sizes, names of sessions and branches, aliases, tool call
//! ids and memos.

use std::fmt;

use crate::error::Result;

/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 24;

/// A key of a session. Overwritten when it is dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey([u8; 32]);

impl SessionKey {
    /// A key of these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Drop for SessionKey {
    fn drop(&mut self) {
        self.0.fill(0);
        std::hint::black_box(&self.0);
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

/// Wraps keys and seals bodies. All four must authenticate: what was changed, or was sealed under another
/// context, is an error and never other bytes.
pub trait Encrypt: fmt::Debug + Send + Sync {
    /// The key as it may be stored. Called once for each session; may ask a key service, on the store's
    /// writer thread.
    ///
    /// # Errors
    /// Whatever keeps it from answering; the append is then refused.
    fn wrap(&self, key: &SessionKey, nonce: [u8; NONCE_BYTES], context: &[u8]) -> Result<Vec<u8>>;

    /// The key again. Called once for each session and handle.
    ///
    /// # Errors
    /// `Key` where it was wrapped by another master key.
    fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<SessionKey>;

    /// Seals a text. The store never gives a nonce twice for two texts under one key.
    ///
    /// # Errors
    /// `Invalid` where the text is too long for the cipher.
    fn seal(
        &self,
        key: &SessionKey,
        nonce: [u8; NONCE_BYTES],
        context: &[u8],
        text: Vec<u8>,
    ) -> Result<Vec<u8>>;

    /// The text again.
    ///
    /// # Errors
    /// `Corrupt` where any of the arguments is not what it was sealed with.
    fn open(
        &self,
        key: &SessionKey,
        nonce: [u8; NONCE_BYTES],
        context: &[u8],
        sealed: &[u8],
    ) -> Result<Vec<u8>>;
}

#[cfg(feature = "encrypt")]
pub use master::MasterKey;

#[cfg(feature = "encrypt")]
mod master {
    use std::fmt;
    use std::path::Path;

    use chacha20poly1305::aead::AeadInOut;
    use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};

    use super::{Encrypt, NONCE_BYTES, SessionKey};
    use crate::error::{Error, Result};

    /// Hexadecimal digits of a key.
    const HEX_DIGITS: usize = 64;

    /// A master key in memory, and XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha).
    ///
    /// ```
    /// use std::sync::Arc;
    /// use treering_tree::{MasterKey, Options, RedbStore, Sources};
    ///
    /// # fn main() -> treering_tree::Result<()> {
    /// let sources = Sources::system();
    /// let mut bytes = [0; 32];
    /// sources.fill(&mut bytes);
    /// let key = Arc::new(MasterKey::new(bytes));
    /// let store = RedbStore::in_memory(Options::new(sources).encrypt(key))?;
    /// # Ok(())
    /// # }
    /// ```
    #[derive(Clone)]
    pub struct MasterKey(SessionKey);

    impl MasterKey {
        /// A key of these bytes, which must be random.
        pub fn new(bytes: [u8; 32]) -> Self {
            Self(SessionKey::new(bytes))
        }

        /// A key of 64 hexadecimal digits, as an environment variable holds it.
        ///
        /// # Errors
        /// `Key` for anything else.
        pub fn from_hex(text: &str) -> Result<Self> {
            let digits = text.trim().as_bytes();
            let wrong = || Error::Key { why: "it must be 64 hexadecimal digits" };
            if digits.len() != HEX_DIGITS {
                return Err(wrong());
            }
            let mut bytes = [0; 32];
            for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
                for digit in pair {
                    let digit = char::from(*digit).to_digit(16).ok_or_else(wrong)?;
                    *byte = (*byte << 4) | u8::try_from(digit).unwrap_or(0);
                }
            }
            Ok(Self::new(bytes))
        }

        /// A key from a file of 64 hexadecimal digits that nobody but its owner may read.
        ///
        /// # Errors
        /// `Key` for a file that others may read or that holds anything else, `Storage`.
        pub fn from_file(path: &Path) -> Result<Self> {
            let doing = |cause: std::io::Error| Error::Storage {
                detail: format!("reading the key file {}: {cause}", path.display()),
                source: Some(Box::new(cause)),
            };
            let mut file = std::fs::File::open(path).map_err(doing)?;
            #[cfg(unix)]
            {
                use std::os::unix::fs::MetadataExt as _;
                if file.metadata().map_err(doing)?.mode() & 0o077 != 0 {
                    return Err(Error::Key { why: "others may read its file: `chmod 600` it" });
                }
            }
            let mut text = String::new();
            std::io::Read::read_to_string(
                &mut std::io::Read::take(&mut file, 2 * HEX_DIGITS as u64),
                &mut text,
            )
            .map_err(doing)?;
            Self::from_hex(&text)
        }
    }

    impl fmt::Debug for MasterKey {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("MasterKey(..)")
        }
    }

    fn cipher(key: &SessionKey) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&(*key.bytes()).into())
    }

    impl Encrypt for MasterKey {
        fn wrap(
            &self,
            key: &SessionKey,
            nonce: [u8; NONCE_BYTES],
            context: &[u8],
        ) -> Result<Vec<u8>> {
            let sealed = self.seal(&self.0, nonce, context, key.bytes().to_vec())?;
            Ok([&nonce[..], &sealed].concat())
        }

        fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<SessionKey> {
            let other = || Error::Key { why: "it is not the one this store was made with" };
            let (nonce, sealed) = wrapped.split_first_chunk().ok_or_else(other)?;
            let bytes = self.open(&self.0, *nonce, context, sealed).map_err(|_| other())?;
            bytes.try_into().map(SessionKey::new).map_err(|_| other())
        }

        fn seal(
            &self,
            key: &SessionKey,
            nonce: [u8; NONCE_BYTES],
            context: &[u8],
            mut text: Vec<u8>,
        ) -> Result<Vec<u8>> {
            let sealed = cipher(key).encrypt_in_place(&XNonce::from(nonce), context, &mut text);
            sealed.map_err(|_| Error::invalid("body", "too long to be encrypted"))?;
            Ok(text)
        }

        fn open(
            &self,
            key: &SessionKey,
            nonce: [u8; NONCE_BYTES],
            context: &[u8],
            sealed: &[u8],
        ) -> Result<Vec<u8>> {
            let mut text = sealed.to_vec();
            let opened = cipher(key).decrypt_in_place(&XNonce::from(nonce), context, &mut text);
            opened.map_err(|_| Error::corrupt("entry", "its body is not what was encrypted"))?;
            Ok(text)
        }
    }
}

#[cfg(test)]
#[cfg(feature = "encrypt")]
mod tests {
    use super::*;

    /// What a key makes of another, which tells two keys apart.
    fn wrapped(key: &MasterKey) -> Vec<u8> {
        key.wrap(&SessionKey::new([5; 32]), [6; NONCE_BYTES], b"context").unwrap()
    }

    #[test]
    fn the_digits_of_a_key_are_its_bytes() {
        let bytes: [u8; 32] = std::array::from_fn(|at| u8::try_from(at * 8 + 1).unwrap());
        let digits = bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let expected = wrapped(&MasterKey::new(bytes));
        assert_eq!(wrapped(&MasterKey::from_hex(&digits).unwrap()), expected);
        assert_eq!(wrapped(&MasterKey::from_hex(&format!(" {digits}\n")).unwrap()), expected);
        assert_ne!(wrapped(&MasterKey::new([0; 32])), expected);
        for wrong in [&digits[1..], &format!("0{digits}"), &format!("g{}", &digits[1..])] {
            assert!(matches!(MasterKey::from_hex(wrong), Err(crate::Error::Key { .. })), "{wrong}");
        }
    }

    #[test]
    fn a_key_never_shows() {
        assert_eq!(format!("{:?}", SessionKey::new([7; 32])), "SessionKey(..)");
    }
}
