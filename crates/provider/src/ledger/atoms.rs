//! The names in a text: paths, URLs, identifiers, error codes, numbers, flags. One pass over the
//! bytes; a run of name characters is looked at once, by the classes of what is in it.

/// What a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Atom {
    /// A path, or a file's name.
    Path,
    /// A URL.
    Url,
    /// An error's code or type.
    Error,
    /// A number, version, date or hash.
    Number,
    /// A command line flag.
    Flag,
    /// An identifier.
    Name,
}

/// Names shorter than this are words.
const NAME_MIN_BYTES: usize = 5;
/// Names longer than this are data.
const ATOM_MAX_BYTES: usize = 160;
/// Endings that make a word a file's name.
const EXTENSIONS: &[&str] = &[
    "c", "cc", "cfg", "conf", "cpp", "cs", "css", "csv", "dart", "env", "ex", "exs", "go",
    "gradle", "h", "hpp", "hs", "html", "ini", "ipynb", "java", "jpg", "jpeg", "js", "json",
    "jsonl", "jsx", "kt", "lock", "log", "lua", "md", "mdx", "mjs", "ml", "pdf", "php", "pl",
    "png", "proto", "ps1", "py", "rb", "rs", "rst", "scala", "sh", "sql", "svelte", "svg", "swift",
    "tf", "toml", "ts", "tsx", "txt", "vue", "xml", "yaml", "yml", "zig",
];

const UPPER: u8 = 1;
const LOWER: u8 = 2;
const DIGIT: u8 = 4;
const UNDERSCORE: u8 = 8;
const SLASH: u8 = 16;
const DOT: u8 = 32;
/// `-`, `+`, `@`, `~`, `#`: part of a path or flag, not of an identifier.
const JOINT: u8 = 64;
const NON_ASCII: u8 = 128;

static BITS: [u8; 256] = {
    let mut bits = [0; 256];
    let mut at = 0;
    while at < 256 {
        #[allow(clippy::cast_possible_truncation, reason = "at is below 256")]
        let byte = at as u8;
        bits[at] = match byte {
            b'A'..=b'Z' => UPPER,
            b'a'..=b'z' => LOWER,
            b'0'..=b'9' => DIGIT,
            b'_' => UNDERSCORE,
            b'/' => SLASH,
            b'.' => DOT,
            b'-' | b'+' | b'@' | b'~' | b'#' => JOINT,
            0x80.. => NON_ASCII,
            _ => 0,
        };
        at += 1;
    }
    bits
};

/// Calls `found` for each name in `text`, in order.
pub(super) fn atoms<'t>(text: &'t str, mut found: impl FnMut(Atom, &'t str)) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let mut bits = BITS[usize::from(bytes[at])];
        if bits == 0 {
            at += 1;
            continue;
        }
        let start = at;
        at += 1;
        while at < bytes.len() {
            let next = BITS[usize::from(bytes[at])];
            if next == 0 {
                break;
            }
            bits |= next;
            at += 1;
        }
        if bytes[at..].starts_with(b"://") && matches!(&bytes[start..at], b"http" | b"https") {
            at = url_end(bytes, at);
            emit(Atom::Url, trim(&text[start..at]), &mut found);
        } else if bits & NON_ASCII == 0 {
            run(&text[start..at], bits, &mut found);
        } else {
            // Letters of other scripts join, everything else outside ASCII parts.
            let parts = |c: char| !c.is_ascii() && !c.is_alphanumeric();
            for piece in text[start..at].split(parts) {
                run(piece, bits_of(piece), &mut found);
            }
        }
    }
}

fn url_end(bytes: &[u8], from: usize) -> usize {
    let ends = |byte: &u8| {
        byte.is_ascii_whitespace()
            || matches!(byte, b'"' | b'\'' | b'<' | b'>' | b')' | b']' | b'`' | b'\\')
            || *byte >= 0x80
    };
    let rest = &bytes[from..];
    from + rest.iter().position(ends).unwrap_or(rest.len())
}

fn bits_of(text: &str) -> u8 {
    text.bytes().fold(0, |bits, byte| bits | BITS[usize::from(byte)])
}

fn trim(text: &str) -> &str {
    text.trim_end_matches(['.', ',', ':', ';', '-', '/', '+', '#', '~', '@'])
}

fn emit<'t>(kind: Atom, text: &'t str, found: &mut impl FnMut(Atom, &'t str)) {
    if text.len() <= ATOM_MAX_BYTES {
        found(kind, text);
    }
}

/// One run of name characters.
fn run<'t>(text: &'t str, bits: u8, found: &mut impl FnMut(Atom, &'t str)) {
    if bits & !(UPPER | LOWER) == 0 && (bits != UPPER | LOWER) {
        return error_word(text, found);
    }
    let text = trim(text);
    if text.len() < 3 {
        return;
    }
    if let Some(flag) = text.strip_prefix("--") {
        if flag.len() > 1 && flag.as_bytes()[0].is_ascii_lowercase() {
            emit(Atom::Flag, text, found);
        }
        return;
    }
    if bits & SLASH != 0 {
        return path(text, bits, found);
    }
    if bits & DOT != 0 {
        let ending = text.rsplit_once('.');
        if ending.is_some_and(|(stem, ending)| !stem.is_empty() && EXTENSIONS.contains(&ending)) {
            return emit(Atom::Path, text, found);
        }
        if is_version(text) {
            return emit(Atom::Number, text, found);
        }
    }
    if is_date(text) || is_issue(text) {
        return emit(Atom::Number, text, found);
    }
    if bits & (DOT | JOINT) == 0 {
        return word(text, bits, found);
    }
    for piece in text.split(['.', '-', '+', '@', '~', '#']) {
        word(piece, bits_of(piece), found);
    }
}

/// A word of letters of one case: an error's code, or nothing.
fn error_word<'t>(text: &'t str, found: &mut impl FnMut(Atom, &'t str)) {
    let code = text.len() >= NAME_MIN_BYTES
        && text.starts_with('E')
        && text.bytes().all(|byte| byte.is_ascii_uppercase());
    if code {
        emit(Atom::Error, text, found);
    }
}

fn path<'t>(text: &'t str, bits: u8, found: &mut impl FnMut(Atom, &'t str)) {
    let named = bits & (UPPER | LOWER) != 0 && text.len() >= 4 && !text.starts_with("//");
    let inside =
        text.trim_start_matches(['.', '~', '/']).split('/').filter(|part| !part.is_empty()).count();
    if named && (inside > 1 || text.starts_with(['/', '~', '.']) && inside == 1) {
        emit(Atom::Path, text, found);
    }
}

fn word<'t>(text: &'t str, bits: u8, found: &mut impl FnMut(Atom, &'t str)) {
    let bytes = text.as_bytes();
    if bytes.is_empty() || bits & NON_ASCII != 0 {
        return;
    }
    if bits == DIGIT {
        if (3..=12).contains(&bytes.len()) {
            emit(Atom::Number, text, found);
        }
    } else if is_hash(bytes, bits) {
        emit(Atom::Number, text, found);
    } else if is_error(text, bits) {
        emit(Atom::Error, text, found);
    } else if bytes.len() >= NAME_MIN_BYTES && is_identifier(bytes, bits) {
        emit(Atom::Name, text, found);
    }
}

fn is_identifier(bytes: &[u8], bits: u8) -> bool {
    if !bytes[0].is_ascii_alphabetic() && bytes[0] != b'_' {
        return false;
    }
    if bits & UNDERSCORE != 0 {
        return bits & (UPPER | LOWER) != 0;
    }
    let pairs = || bytes.windows(2);
    match bits & (UPPER | LOWER | DIGIT) {
        // A hump: lower case or a digit, then upper case.
        found if found & (UPPER | LOWER) == UPPER | LOWER => {
            pairs().any(|pair| !pair[0].is_ascii_uppercase() && pair[1].is_ascii_uppercase())
                || bytes[1].is_ascii_uppercase()
        }
        found if found == UPPER | DIGIT => bytes[1].is_ascii_uppercase(),
        _ => false,
    }
}

fn is_error(text: &str, bits: u8) -> bool {
    let digits = |rest: &str| {
        (4..=5).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_digit())
    };
    if bits == UPPER | DIGIT {
        return text.strip_prefix('E').is_some_and(digits)
            || text.strip_prefix("TS").is_some_and(digits);
    }
    let typed = text.ends_with("Error") || text.ends_with("Exception");
    typed && text.len() > 5 && text.as_bytes()[0].is_ascii_uppercase()
        || bits == UPPER && text.len() >= NAME_MIN_BYTES && text.starts_with('E')
}

fn is_hash(bytes: &[u8], bits: u8) -> bool {
    bits == LOWER | DIGIT
        && (7..=40).contains(&bytes.len())
        && bytes.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte))
}

fn is_version(text: &str) -> bool {
    let numbers = text.strip_prefix('v').unwrap_or(text);
    let mut parts = 0;
    for part in numbers.split('.') {
        parts += 1;
        let end = part.find(['-', '+']).unwrap_or(part.len());
        if end == 0 || !part[..end].bytes().all(|byte| byte.is_ascii_digit()) {
            return false;
        }
        if end < part.len() {
            break;
        }
    }
    parts >= 3
}

fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 10
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

fn is_issue(text: &str) -> bool {
    text.strip_prefix('#')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::Atom::{Error, Flag, Name, Number, Path, Url};
    use super::*;

    fn all(text: &str) -> Vec<(Atom, &str)> {
        let mut out = Vec::new();
        atoms(text, |kind, atom| out.push((kind, atom)));
        out
    }

    #[test]
    fn names_are_found_and_words_are_not() {
        let text = "We run ./scripts/build.sh --no-cache in src/theme/theme.ts, then parseLine() \
             and MAX_LEN fail with TypeError E0308 ENOENT (see https://a.b/c?d=1) at v1.2.3, #42, \
             2025-11-21, 8080 and deadbeef01.";
        let expected = vec![
            (Path, "./scripts/build.sh"),
            (Flag, "--no-cache"),
            (Path, "src/theme/theme.ts"),
            (Name, "parseLine"),
            (Name, "MAX_LEN"),
            (Error, "TypeError"),
            (Error, "E0308"),
            (Error, "ENOENT"),
            (Url, "https://a.b/c?d=1"),
            (Number, "v1.2.3"),
            (Number, "#42"),
            (Number, "2025-11-21"),
            (Number, "8080"),
            (Number, "deadbeef01"),
        ];
        assert_eq!(all(text), expected);
    }

    #[test]
    fn letters_of_other_scripts_join_and_drawings_part() {
        assert_eq!(
            all("\u{2502}docs/\u{dc}bersicht.md\u{2502}"),
            [(Path, "docs/\u{dc}bersicht.md")]
        );
    }

    #[test]
    fn members_are_named_apart_from_their_object() {
        assert_eq!(all("this.state.setTheme(x)"), [(Name, "setTheme")]);
    }
}
