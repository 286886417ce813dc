//! What a store had come to, in a line to be kept elsewhere: whether a store still holds that, and so goes on
//! from it, tells an older copy of its file from the file.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::id::Id;

const DIGITS: usize = 32;

/// A row of a store's journal, and by its hash all rows of its session up to it. As text it is the number of
/// rows up to it, the store and the hash, with hyphens between them; it tells nothing of what was said.
///
/// ```
/// # fn main() -> treering_tree::Result<()> {
/// # #[cfg(feature = "redb")] {
/// use treering_tree::{Error, Options, RedbStore, Sources, Stamp};
///
/// let store = RedbStore::in_memory(Options::new(Sources::fixed(1)))?;
/// let kept: Stamp = store.stamp(None)?.to_string().parse()?;
/// store.continues(&kept)?;
/// let other = RedbStore::in_memory(Options::new(Sources::fixed(2)))?;
/// assert!(matches!(other.continues(&kept), Err(Error::OtherStore)));
/// # }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Stamp {
    /// The random number of the store.
    pub(crate) store: u128,
    /// Rows of the journal up to the one stamped; 0 where there was none.
    pub(crate) rows: u64,
    /// Hash over the rows of its session up to it; all zero where there was none.
    pub(crate) hash: [u8; 32],
}

impl Stamp {
    /// How many rows the journal had, up to the one that is stamped.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:032x}-{}", self.rows, self.store, Id::from_bytes(self.hash))
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stamp({self})")
    }
}

impl FromStr for Stamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parsed = || {
            let (rows, rest) = text.split_once('-')?;
            let (store, hash) = rest.split_once('-')?;
            let is_hex =
                store.len() == DIGITS && store.bytes().all(|digit| digit.is_ascii_hexdigit());
            let store = is_hex.then(|| u128::from_str_radix(store, 16).ok())??;
            let rows = rows.bytes().all(|digit| digit.is_ascii_digit()).then_some(rows)?;
            let hash = *hash.parse::<Id>().ok()?.as_bytes();
            Some(Self { store, rows: rows.parse().ok()?, hash })
        };
        let why = "expected a number, 32 and 64 hex digits, with hyphens between them";
        parsed().ok_or_else(|| Error::invalid("stamp", why))
    }
}

impl TryFrom<String> for Stamp {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Stamp> for String {
    fn from(stamp: Stamp) -> Self {
        stamp.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back_from_its_text_and_nothing_else_is() {
        let stamp = Stamp { store: 0xab, rows: 7, hash: [0xcd; 32] };
        let text = stamp.to_string();
        assert_eq!(text, format!("7-{}ab-{}", "0".repeat(30), "cd".repeat(32)));
        assert_eq!((text.parse::<Stamp>().unwrap(), stamp.rows()), (stamp, 7));
        assert_eq!(format!("{stamp:?}"), format!("Stamp({text})"));
        let json = serde_json::to_string(&stamp).unwrap();
        assert_eq!(serde_json::from_str::<Stamp>(&json).unwrap(), stamp);
        let (rows, rest) = text.split_once('-').unwrap();
        let wrong = [
            String::new(),
            rows.to_owned(),
            rest.to_owned(),
            format!("-{rest}"),
            format!("+7-{rest}"),
            format!("18446744073709551616-{rest}"),
            text.replace("-0", "-+"),
            text.replacen("-0", "-", 1),
            format!("{text}0"),
            text[..text.len() - 1].to_owned(),
        ];
        for text in wrong {
            let refused = text.parse::<Stamp>().unwrap_err();
            assert!(refused.to_string().starts_with("invalid stamp: expected"), "{text:?}");
        }
    }
}
