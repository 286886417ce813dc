//! A file of settings: TOML whose keys are known, each with the line it stands on.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize as _;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::keys::{Key, Kind, ROWS};
use crate::failure::{Failure, Group, Result};

/// What is larger is no file of settings.
const FILE_BYTES: u64 = 1 << 20;

/// One setting in a file.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) key: Key,
    pub(super) value: OsString,
    /// The line it stands on, from 1.
    pub(super) at: usize,
}

/// Reads a file; `None` where there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<Line>>> {
    let size = match std::fs::metadata(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        found => found.map_err(|error| unreadable(path, &error))?.len(),
    };
    if size > FILE_BYTES {
        let why = format!("{size} bytes are over the limit of {FILE_BYTES} for settings");
        return Err(Failure::new(Group::Invalid, format!("{}: {why}", path.display())));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    parse(&text, folder).map(Some).map_err(|wrong| {
        let message = format!("{}:{}: {}", path.display(), wrong.line, wrong.why);
        Failure::new(Group::Invalid, message).hint("correct that line, or take it out")
    })
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let group = match error.kind() {
        ErrorKind::InvalidData => Group::Invalid,
        _ => Group::Storage,
    };
    Failure::new(group, format!("settings in {}: {error}", path.display()))
}

/// What is wrong, and where.
#[derive(Debug, PartialEq, Eq)]
struct Wrong {
    line: usize,
    why: String,
}

/// Files that a value names are those beside the file of settings.
fn parse(text: &str, folder: &Path) -> Result<Vec<Line>, Wrong> {
    let line_of = |at: usize| text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
    let table = DeTable::parse(text).map_err(|error| Wrong {
        line: line_of(error.span().map_or(0, |span| span.start)),
        why: format!("no TOML: {}", error.message()),
    })?;
    let mut lines = Vec::new();
    for (name, value) in table.into_inner() {
        let line = line_of(name.span().start);
        let name = name.into_inner();
        let wrong = |why: String| Wrong { line, why: format!("{name}: {why}") };
        let Some(key) = Key::named(&name) else {
            let known = ROWS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
            return Err(Wrong { line, why: format!("unknown key {name:?}; known are {known}") });
        };
        let value = value_of(key, value, folder).map_err(wrong)?;
        key.row().check(&value).map_err(wrong)?;
        lines.push(Line { key, value, at: line });
    }
    lines.sort_by_key(|line| line.at);
    Ok(lines)
}

/// A value as a flag would have it.
fn value_of(
    key: Key,
    value: Spanned<DeValue<'_>>,
    folder: &Path,
) -> std::result::Result<OsString, String> {
    let kind = key.row().kind;
    let found = value.get_ref().type_str();
    match (kind, value.get_ref()) {
        (Kind::Count, DeValue::Integer(number)) => Ok(number.to_string().into()),
        (Kind::Object, DeValue::Table(_)) => {
            let json = serde_json::Value::deserialize(ValueDeserializer::from(value));
            Ok(json.map_err(|error| error.message().to_owned())?.to_string().into())
        }
        (Kind::Count, _) => Err(format!("expected a whole number, found a {found}")),
        (Kind::Object, _) => Err(format!("expected a table, found a {found}")),
        (Kind::File, DeValue::String(path)) if path.starts_with('~') => {
            Err("~ stands for nothing here; write the path in full".to_owned())
        }
        (Kind::File, DeValue::String(path)) => Ok(folder.join(&**path).into_os_string()),
        (_, DeValue::String(text)) => Ok(OsString::from(text.as_ref())),
        _ => Err(format!("expected a string, found a {found}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_is_read_with_its_line() {
        let text = "# mine\nwindow = 200_000\n\nmodel = \"tiny\"\nstore = \"s.redb\"\n\
                    [extra]\ntemperature = 0.5\nstop = [\"a\"]\n";
        let lines = parse(text, Path::new("/home/me")).unwrap();
        let lines: Vec<_> =
            lines.iter().map(|line| (line.key, line.value.to_str().unwrap(), line.at)).collect();
        let expected = [
            (Key::Window, "200000", 2),
            (Key::Model, "tiny", 4),
            (Key::Store, "/home/me/s.redb", 5),
            (Key::Extra, r#"{"stop":["a"],"temperature":0.5}"#, 6),
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_key() {
        let cases = [
            (
                "\nmodle = \"x\"",
                2,
                "unknown key \"modle\"; known are store, key_file, redact, color, preset",
            ),
            ("window = \"9\"", 1, "window: expected a whole number, found a string"),
            ("window = -9", 1, "window: expected a whole number, found \"-9\""),
            ("model = 9", 1, "model: expected a string, found a integer"),
            ("\n\ntimeout = \"9\"", 3, "timeout: expected a time such as 500ms, 90s or 5m"),
            ("extra = \"x\"", 1, "extra: expected a table, found a string"),
            ("store = \"~/s.redb\"", 1, "store: ~ stands for nothing here"),
            ("model = \"a\"\nmodel = \"b\"", 2, "no TOML: duplicate key"),
            ("api_key = \"sk-secret\"", 1, "unknown key \"api_key\""),
        ];
        for (text, line, why) in cases {
            let wrong = parse(text, Path::new("")).unwrap_err();
            assert_eq!(wrong.line, line, "{text}");
            assert!(wrong.why.starts_with(why), "{}", wrong.why);
            assert!(!wrong.why.contains("secret"), "{}", wrong.why);
        }
    }
}
