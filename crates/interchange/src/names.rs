//! Names that the store takes, made of names that files and records have: none too long, none with
//! control characters, none twice. The same names give the same ones every time.

use std::collections::{HashMap, HashSet};

use treering_tree::limits::{NAME_BYTES, check_name};

/// The name where the store takes it; else its beginning, and behind it what tells it from others
/// that begin alike.
pub(crate) fn fitting(name: String) -> String {
    if name.is_empty() || check_name("name", &name).is_ok() {
        return name;
    }
    // FNV-1a: stable over versions, which the hash of the standard library is not.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let end = format!("~{hash:016x}");
    let plain = name.chars().map(|c| if c.is_control() { '_' } else { c });
    let mut begin: String = plain.collect();
    let room = usize::try_from(NAME_BYTES).unwrap_or(usize::MAX).saturating_sub(end.len());
    let cut = (0..=room.min(begin.len())).rev().find(|at| begin.is_char_boundary(*at));
    begin.truncate(cut.unwrap_or(0));
    begin + &end
}

/// Names that are given away.
#[derive(Default)]
pub(crate) struct Names {
    taken: HashSet<String>,
    /// The last number behind a name; those before it are all taken.
    numbers: HashMap<String, u64>,
}

impl Names {
    /// Takes the name, or the next with a number behind it.
    pub(crate) fn take(&mut self, name: String) -> String {
        let name = fitting(name);
        if self.taken.insert(name.clone()) {
            return name;
        }
        let number = self.numbers.entry(name.clone()).or_insert(1);
        loop {
            *number += 1;
            let numbered = fitting(format!("{name}.{number}"));
            if self.taken.insert(numbered.clone()) {
                return numbered;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_stay_apart() {
        assert_eq!(fitting("a/b c".into()), "a/b c");
        let long = "\u{e9}".repeat(200);
        let (one, other) = (fitting(long.clone()), fitting(long + "x"));
        assert!(one != other && check_name("name", &one).is_ok() && one.len() > 250, "{one}");
        assert_eq!(fitting("a\u{1b}b".into()), "a_b~e5f8bb1904476fb5");
        let mut names = Names::default();
        let taken: Vec<String> =
            ["a", "a", "a.3", "a", "a"].map(|name| names.take(name.to_owned())).into();
        assert_eq!(taken, ["a", "a.2", "a.3", "a.4", "a.5"]);
    }
}
