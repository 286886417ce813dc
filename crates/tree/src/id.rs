//! The id of an entry: 32 bytes, written as 64 lower-case hex digits, found again by any unique
//! prefix. An id is never parsed into anything but bytes and never becomes a path.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::encode;
use crate::error::{Error, Result};

/// Content address of an entry (see `docs/format.md`, "Identity").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id([u8; Id::BYTES]);

impl Id {
    /// Length of an id in bytes.
    pub const BYTES: usize = 32;

    /// Wraps raw bytes, as read from a store or computed by the identity encoding.
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// The first 12 hex digits: enough for people, never for programs.
    pub fn short(&self) -> String {
        hex(&self.0[..6])
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({})", self.short())
    }
}

impl FromStr for Id {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let prefix = Prefix::from_str(text)?;
        if prefix.digits() != 2 * Self::BYTES {
            return Err(Error::invalid(
                "id",
                format!("expected 64 hex digits, found {}", prefix.digits()),
            ));
        }
        Ok(prefix.lowest())
    }
}

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            encode::bytes32::deserialize(deserializer).map(Self)
        }
    }
}

/// The leading hex digits of an id, 1 to 64 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    nibbles: [u8; 2 * Id::BYTES],
    digits: usize,
}

impl Prefix {
    /// How many hex digits the prefix has.
    pub fn digits(&self) -> usize {
        self.digits
    }

    /// The smallest id with this prefix.
    pub fn lowest(&self) -> Id {
        self.filled(0)
    }

    /// The greatest id with this prefix.
    pub fn highest(&self) -> Id {
        self.filled(0xf)
    }

    /// Whether `id` starts with this prefix.
    pub fn matches(&self, id: &Id) -> bool {
        (self.lowest()..=self.highest()).contains(id)
    }

    fn filled(&self, rest: u8) -> Id {
        let mut bytes = [0; Id::BYTES];
        for (at, byte) in bytes.iter_mut().enumerate() {
            let nibble = |n: usize| {
                if n < self.digits { self.nibbles[n] } else { rest }
            };
            *byte = nibble(2 * at) << 4 | nibble(2 * at + 1);
        }
        Id(bytes)
    }
}

impl FromStr for Prefix {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let digits = text.len();
        if digits == 0 || digits > 2 * Id::BYTES {
            return Err(Error::invalid(
                "id",
                format!("expected 1 to 64 hex digits, found {digits} characters"),
            ));
        }
        let mut nibbles = [0; 2 * Id::BYTES];
        for (nibble, digit) in nibbles.iter_mut().zip(text.chars()) {
            *nibble = digit
                .to_digit(16)
                .and_then(|value| u8::try_from(value).ok())
                .ok_or_else(|| Error::invalid("id", format!("{digit:?} is not a hex digit")))?;
        }
        Ok(Self { nibbles, digits })
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_bounds_enclose_exactly_the_ids_that_start_with_it() {
        let id: Id = "ab".repeat(32).parse().unwrap();
        for digits in 1..=64 {
            let prefix: Prefix = id.to_string()[..digits].parse().unwrap();
            assert!(prefix.matches(&id));
            assert_eq!(prefix.lowest().to_string()[..digits], id.to_string()[..digits]);
        }
        assert!(!"ac".parse::<Prefix>().unwrap().matches(&id));
    }

    #[test]
    fn what_is_not_an_id_is_refused_with_what_was_found() {
        for (text, reason) in [("", "found 0"), ("xyz", "'x' is not"), ("abcd", "found 4")] {
            let error = text.parse::<Id>().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn as_many_digits_as_an_id_has_are_a_prefix_and_one_more_is_none() {
        for (digits, is_prefix) in [(0, false), (1, true), (63, true), (64, true), (65, false)] {
            assert_eq!("a".repeat(digits).parse::<Prefix>().is_ok(), is_prefix, "{digits} digits");
        }
    }
}
