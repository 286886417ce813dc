//! Damage to files that are made of text: what crashes, editors, merges and attackers leave behind. A
//! seed alone repeats it. It knows lines, quoted strings and numbers, and no format.

use std::ops::Range;

use super::rng::Rng;

/// Damages done to one file, at most.
const DAMAGES: usize = 8;
/// Bytes that one damage moves, removes or inserts at most.
const RANGE_BYTES: usize = 600;
/// Bytes beyond which a file is not made longer.
const GROWN_BYTES: usize = 24 << 10;
/// Levels of nesting: around the limits of parsers, and far beyond.
const DEPTHS: [usize; 7] = [3, 63, 126, 127, 128, 129, 6_000];

/// What no writer means to write.
const JUNK: [&[u8]; 22] = [
    b"\0",
    b"\0\0\0\0\0\0\0\0",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b" \t ",
    b"{",
    b"}",
    b"]",
    b"[",
    b"\"",
    b"\\",
    b",",
    b"{\"type\":\"user\"}",
    b"{}{}",
    b"{\"a\":1}\n{\"a\":",
    b"\xff\xfe",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\\ud83d",
    b"\\u0000\\udc00\\ud83d\\ude00",
];

/// What stands where a value stood.
const VALUES: [&str; 25] = [
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    "0",
    "-1",
    "1e999999",
    "-1e999999",
    "1e-999999",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "4294967296",
    "123456789012345678901234567890123456789012345678901234567890",
    "0.1000000000000000055511151231257827",
    "1.7976931348623157e308",
    "\"\\ud800\"",
    "\"\\u0000\\u001b[2J\\u202e\"",
    "\"../../etc/passwd\"",
    "[[],{},null,\"x\"]",
    "{\"type\":\"tool_result\",\"tool_use_id\":\"c\",\"content\":[{\"type\":\"tool_result\"}]}",
    "\"9999-12-31T23:59:60Z\"",
    "\"-99999999-01-01T00:00:00Z\"",
];

/// The bytes with a few damages; `other` is the file that pieces may come from.
pub fn mutated(bytes: &[u8], other: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    // Few damages leave most of a file standing, many reach deep: both are met.
    let most = 1 + rng.below(DAMAGES);
    let damages = 1 + rng.below(most);
    for _ in 0..damages {
        if bytes.is_empty() {
            break;
        }
        damage(&mut bytes, other, rng);
    }
    bytes
}

fn damage(bytes: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    let at = rng.below(bytes.len());
    match rng.below(20) {
        0 => bytes[at] ^= 1 << rng.below(8),
        1 => drop(bytes.drain(somewhere(bytes, rng))),
        2 => bytes.truncate(at),
        3 => {
            let piece = bytes[somewhere(bytes, rng)].to_vec();
            insert(bytes, at, &piece);
        }
        4 => insert(bytes, at, &other[somewhere(other, rng)]),
        5 => splice_tail(bytes, at, other, rng),
        6..=9 => move_lines(bytes, other, rng),
        10 => insert(bytes, at, JUNK[rng.below(JUNK.len())]),
        11 => insert(bytes, at, &vec![0; rng.below(5_000)]),
        12 => nest(bytes, rng),
        13 => endings(bytes, rng),
        14 => replace(bytes, &strings(bytes), rng, |_, rng| long_text(rng)),
        15 => replace(bytes, &values(bytes), rng, |_, rng| rng.pick(&VALUES).as_bytes().to_vec()),
        16 => replace(bytes, &numbers(bytes), rng, |_, rng| rng.pick(&VALUES).as_bytes().to_vec()),
        // Names that mean something elsewhere: cycles, copies, late parents, orphans.
        _ => {
            let all = strings(bytes);
            if let Some(from) = all.get(rng.below(all.len())).cloned() {
                let text = bytes[from].to_vec();
                replace(bytes, &all, rng, |_, _| text);
            }
        }
    }
}

fn somewhere(bytes: &[u8], rng: &mut Rng) -> Range<usize> {
    let begin = rng.below(bytes.len());
    begin..bytes.len().min(begin + 1 + rng.below(RANGE_BYTES))
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    if bytes.len() + piece.len() <= GROWN_BYTES {
        bytes.splice(at..at, piece.iter().copied());
    }
}

/// What is behind a place gives way to the end of another file.
fn splice_tail(bytes: &mut Vec<u8>, at: usize, other: &[u8], rng: &mut Rng) {
    bytes.truncate(at);
    bytes.extend_from_slice(&other[rng.below(other.len())..]);
    bytes.truncate(GROWN_BYTES);
}

fn move_lines(bytes: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    let lines = |bytes: &[u8]| -> Vec<Vec<u8>> {
        bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    };
    let mut all = lines(bytes);
    let (one, two) = (rng.below(all.len()), rng.below(all.len()));
    match rng.below(7) {
        0 => all.swap(one, two),
        1 => all.insert(two, all[one].clone()),
        2 => drop(all.remove(one)),
        3 => all[one.min(two)..=one.max(two)].reverse(),
        4 => {
            let times = 1 + rng.below(GROWN_BYTES / (1 + all[one].len())).min(300);
            let again = vec![all[one].clone(); times];
            all.splice(two..two, again);
        }
        // A line loses its end, so that two are glued.
        5 => drop(all[one].pop()),
        _ => {
            let others = lines(other);
            all.insert(two, others[rng.below(others.len())].clone());
        }
    }
    *bytes = all.concat();
    bytes.truncate(GROWN_BYTES);
}

/// Brackets, at a place or around a value, closed or not.
fn nest(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let depth = *rng.pick(&DEPTHS);
    let (open, close) = *rng.pick(&[("[", "]"), ("{\"a\":", "}"), ("{\"content\":[", "]}")]);
    if rng.chance(70) {
        replace(bytes, &values(bytes), rng, |value, _| {
            [open.repeat(depth).as_bytes(), value, close.repeat(depth).as_bytes()].concat()
        });
    } else {
        let at = rng.below(bytes.len());
        insert(bytes, at, open.repeat(depth).as_bytes());
    }
}

fn endings(bytes: &mut Vec<u8>, rng: &mut Rng) {
    match rng.below(4) {
        0 => insert(bytes, 0, b"\xef\xbb\xbf"),
        1 => *bytes = String::from_utf8_lossy(bytes).replace('\n', "\r\n").into_bytes(),
        2 => *bytes = bytes.iter().map(|byte| if *byte == b'\n' { b'\r' } else { *byte }).collect(),
        _ => *bytes = bytes.iter().copied().filter(|byte| *byte != b'\n').collect(),
    }
}

fn long_text(rng: &mut Rng) -> Vec<u8> {
    let unit = *rng.pick(&["x", "\\u0000", "\u{1f600}", " ", "\\\\", "~2"]);
    let times = *rng.pick(&[0, 1, 255, 256, 257, 4_000]);
    format!("\"{}\"", unit.repeat(times)).into_bytes()
}

fn replace(
    bytes: &mut Vec<u8>,
    places: &[Range<usize>],
    rng: &mut Rng,
    with: impl FnOnce(&[u8], &mut Rng) -> Vec<u8>,
) {
    if places.is_empty() {
        return;
    }
    let place = places[rng.below(places.len())].clone();
    let new = with(&bytes[place.clone()], rng);
    if bytes.len() + new.len() <= GROWN_BYTES {
        bytes.splice(place, new);
    }
}

/// Quoted strings, as far as they can be told apart.
fn strings(bytes: &[u8]) -> Vec<Range<usize>> {
    let (mut found, mut begin, mut escaped) = (Vec::new(), None, false);
    for (at, byte) in bytes.iter().enumerate() {
        match (begin, byte) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), b'\\') => escaped = true,
            (Some(from), b'"') => {
                found.push(from..at + 1);
                begin = None;
            }
            (None, b'"') => begin = Some(at),
            _ => {}
        }
    }
    found
}

/// What stands behind a colon or a bracket and ends before a comma or a bracket.
fn values(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut all = numbers(bytes);
    all.extend(strings(bytes));
    all.sort_by_key(|range| range.start);
    all
}

fn numbers(bytes: &[u8]) -> Vec<Range<usize>> {
    let is_part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let len = bytes[at..].iter().take_while(|byte| is_part(byte)).count();
        let follows = at > 0 && b":[, ".contains(&bytes[at - 1]);
        if len > 0 && follows && bytes[at..at + len].iter().any(u8::is_ascii_digit) {
            found.push(at..at + len);
        }
        at += len.max(1);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_numbers_are_found() {
        let text = br#"{"a\"":-1.5e9,"b":[2,"c"]}"#;
        let texts = |ranges: Vec<Range<usize>>| -> Vec<String> {
            let text = |range: Range<usize>| String::from_utf8(text[range].to_vec()).unwrap();
            ranges.into_iter().map(text).collect()
        };
        assert_eq!(texts(strings(text)), [r#""a\"""#, r#""b""#, r#""c""#]);
        assert_eq!(texts(numbers(text)), ["-1.5e9", "2"]);
        assert_eq!(texts(values(text)).len(), 5);
    }

    #[test]
    fn a_seed_repeats_its_damage_and_others_do_other() {
        let file = b"{\"id\":\"a\",\"n\":1}\n{\"id\":\"b\",\"n\":2}\n".repeat(4);
        let of = |seed| mutated(&file, b"other\n", &mut Rng::new(seed));
        assert_eq!(of(7), of(7));
        let all: std::collections::HashSet<Vec<u8>> = (0..200).map(of).collect();
        assert!(all.len() > 190, "{}", all.len());
    }
}
