//! Foreign ids in as few bytes as they take: in memory there is one for every record of a session.

/// A foreign id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// A UUID as most tools write it.
    Uuid([u8; 16]),
    /// As many bytes as the number says.
    Short(u8, [u8; SHORT_BYTES]),
    /// Anything else.
    Text(Box<str>),
}

/// Bytes that take no more room than what else a key may be.
const SHORT_BYTES: usize = 22;

impl Key {
    pub(crate) fn of(id: &str) -> Self {
        let bytes = id.as_bytes();
        if let Some(uuid) = uuid(bytes) {
            return Self::Uuid(uuid);
        }
        let mut short = [0; SHORT_BYTES];
        match (u8::try_from(bytes.len()), short.get_mut(..bytes.len())) {
            (Ok(len), Some(begin)) => {
                begin.copy_from_slice(bytes);
                Self::Short(len, short)
            }
            _ => Self::Text(id.into()),
        }
    }
}

fn uuid(id: &[u8]) -> Option<[u8; 16]> {
    if id.len() != 36 {
        return None;
    }
    let mut value = 0_u128;
    for (at, byte) in id.iter().enumerate() {
        value = match (at, byte) {
            (8 | 13 | 18 | 23, b'-') => value,
            (8 | 13 | 18 | 23, _) => return None,
            (_, b'0'..=b'9') => value << 4 | u128::from(byte - b'0'),
            (_, b'a'..=b'f') => value << 4 | u128::from(byte - b'a' + 10),
            _ => return None,
        };
    }
    Some(value.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::{Key, SHORT_BYTES};

    #[test]
    fn only_what_is_spelled_like_a_uuid_is_one() {
        let uuid = "9a9eadc8-c1f1-493e-a0f1-884aa996b05b";
        let value = 0x9a9e_adc8_c1f1_493e_a0f1_884a_a996_b05b_u128;
        assert_eq!(Key::of(uuid), Key::Uuid(value.to_be_bytes()));
        for text in [&uuid.to_uppercase(), &uuid[1..], "", "9a9eadc8xc1f1-493e-a0f1-884aa996b05b"] {
            assert!(!matches!(Key::of(text), Key::Uuid(_)), "{text}");
        }
    }

    #[test]
    fn different_ids_are_different_keys_whatever_their_length() {
        let ids: Vec<String> = (0..=SHORT_BYTES + 2).map(|len| "\0".repeat(len)).collect();
        for (at, id) in ids.iter().enumerate() {
            assert_eq!(ids.iter().position(|other| Key::of(other) == Key::of(id)), Some(at));
        }
        assert_eq!(size_of::<Key>(), size_of::<Option<Key>>(), "a key has room to be told apart");
        assert_eq!(size_of::<Key>(), 24);
    }
}
