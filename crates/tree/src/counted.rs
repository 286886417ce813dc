//! Sizes in tokens, and whose counts they are: counts of two counters are never added.

use serde::{Deserialize, Serialize};

use crate::encode::short_hash;

/// Whose count a size is: a short hash of the counter's id. The default is nobody's: a size that was
/// given without a counter is taken at its word, beside any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Counter(u32);

impl Counter {
    /// No counter was named.
    pub const UNNAMED: Self = Self(0);

    /// The counter of this id.
    ///
    /// ```
    /// use treering_tree::Counter;
    ///
    /// assert_eq!(Counter::named("o200k/1"), Counter::named("o200k/1"));
    /// assert_ne!(Counter::named("o200k/1"), Counter::named("cl100k/1"));
    /// ```
    pub fn named(id: &str) -> Self {
        let hash = short_hash("treering/counter/1", &[id.as_bytes()]);
        // The remainder fits; 0 is nobody's.
        Self(u32::try_from(hash % u64::from(u32::MAX)).unwrap_or(0) + 1)
    }

    /// Whether sizes of both may be added.
    pub fn agrees_with(self, other: Self) -> bool {
        self == other || self == Self::UNNAMED || other == Self::UNNAMED
    }
}

/// A size in tokens, with its counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// The size.
    pub tokens: u32,
    /// Whose count it is.
    pub counter: Counter,
}

impl From<u32> for Counted {
    /// A size of no named counter.
    fn from(tokens: u32) -> Self {
        Self { tokens, counter: Counter::UNNAMED }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_hold_counters_by_these_numbers() {
        let numbers = ["o200k/1", "cl100k/1", ""].map(|id| Counter::named(id).0);
        assert_eq!(numbers, [2_968_863_554, 1_461_105_978, 2_838_135_206]);
    }

    #[test]
    fn counts_of_two_named_counters_are_never_added() {
        let [a, b] = ["a", "b"].map(Counter::named);
        for (one, other, agree) in [
            (a, a, true),
            (a, b, false),
            (a, Counter::UNNAMED, true),
            (Counter::UNNAMED, b, true),
            (Counter::UNNAMED, Counter::UNNAMED, true),
        ] {
            assert_eq!(one.agrees_with(other), agree, "{one:?}, {other:?}");
        }
    }
}
