//! Foreign ids in as few bytes as they take.

/// A foreign id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// A UUID as most tools write it.
    Uuid(u128),
    /// Anything else.
    Text(Box<str>),
}

impl Key {
    pub(crate) fn of(id: &str) -> Self {
        let digits =
            id.bytes().enumerate().try_fold(0_u128, |value, (at, byte)| match (at, byte) {
                (8 | 13 | 18 | 23, b'-') => Some(value),
                (8 | 13 | 18 | 23, _) => None,
                (_, b'0'..=b'9') => Some(value << 4 | u128::from(byte - b'0')),
                (_, b'a'..=b'f') => Some(value << 4 | u128::from(byte - b'a' + 10)),
                _ => None,
            });
        match digits {
            Some(value) if id.len() == 36 => Self::Uuid(value),
            _ => Self::Text(id.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Key;

    #[test]
    fn only_what_is_spelled_like_a_uuid_is_one() {
        let uuid = "9a9eadc8-c1f1-493e-a0f1-884aa996b05b";
        assert_eq!(Key::of(uuid), Key::Uuid(0x9a9e_adc8_c1f1_493e_a0f1_884a_a996_b05b));
        for text in [&uuid.to_uppercase(), &uuid[1..], "", "9a9eadc8xc1f1-493e-a0f1-884aa996b05b"] {
            assert!(matches!(Key::of(text), Key::Text(_)), "{text}");
        }
    }
}
