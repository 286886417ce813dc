//! A key, kept from every text.

use std::fmt;

/// What a provider knows its customer by. No `Debug`, error or log shows it.
///
/// ```
/// use treering_provider::Key;
///
/// assert_eq!(format!("{:?}", Key::new("sk-123")), "Key(..)");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// A key; white space around it, as files have it, is no part of it.
    pub fn new(key: impl AsRef<str>) -> Self {
        Self(key.as_ref().trim().to_owned())
    }

    /// The key itself, for the header it is sent in.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    /// A provider's words without the key, should they hold it.
    pub(super) fn hide_in(&self, text: &str) -> String {
        if self.0.is_empty() { text.to_owned() } else { text.replace(&self.0, "[key]") }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}
