//! The one table of settings: name, default, what a value must be. Flags, variables and keys of files
//! all come from it.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser, ValueParser};
use clap::{Arg, ArgMatches, Command};
use treering_policy::Preset;

/// A setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Store,
    Master,
    Redact,
    Color,
    Preset,
    Window,
    Reserve,
    KeepTurns,
    Summarizer,
    BaseUrl,
    Model,
    ModelWindow,
    Timeout,
    FirstByte,
    Tries,
    AtOnce,
    Fallback,
    Extra,
}

/// Which verbs take a setting as a flag: all of them.
pub(crate) const EVERYWHERE: u8 = 0;
/// Those that need the rules of compaction.
pub(crate) const RULES: u8 = 1;
/// Those that need a summarizer.
pub(crate) const SUMMARY: u8 = 2;

/// What a value must be.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    File,
    Text,
    Address,
    Count,
    Time,
    Choice(fn() -> Vec<&'static str>),
    Object,
}

/// What is to be known of a setting.
pub(super) struct Row {
    pub(super) key: Key,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) default: Option<&'static str>,
    group: u8,
    help: &'static str,
}

const fn row(
    key: Key,
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    group: u8,
    help: &'static str,
) -> Row {
    Row { key, name, kind, default, group, help }
}

/// In the order of [`Key`].
#[rustfmt::skip]
pub(super) static ROWS: [Row; 18] = [
    row(Key::Store, "store", Kind::File, None, EVERYWHERE,
        "The store's file [default: store.redb in the platform's data folder]"),
    row(Key::Master, "key_file", Kind::File, None, EVERYWHERE,
        "A file with the master key of an encrypted store: 64 hexadecimal digits, for its owner's eyes only; a new store is then an encrypted one [default: the digits in TREERING_KEY]"),
    row(Key::Redact, "redact", Kind::Choice(|| vec!["off", "known"]), Some("off"), EVERYWHERE,
        "Whether what looks like a key, a token or a password is replaced before it is written; an import is then not given back byte for byte"),
    row(Key::Color, "color", Kind::Choice(|| vec!["auto", "always", "never"]), Some("auto"), EVERYWHERE,
        "Whether to color what is printed"),
    row(Key::Preset, "preset", Kind::Choice(|| Preset::all().map(Preset::name).collect()), Some("nexus"), RULES,
        "The rules of another tool, or the recommended ones"),
    row(Key::Window, "window", Kind::Count, None, RULES,
        "The limit in tokens of the model that is given the context; without it size never triggers"),
    row(Key::Reserve, "reserve", Kind::Count, None, RULES,
        "Tokens held back of the window, whatever the preset says"),
    row(Key::KeepTurns, "keep_turns", Kind::Count, None, RULES,
        "User turns kept verbatim, whatever the preset says"),
    row(Key::Summarizer, "summarizer", Kind::Choice(|| vec!["ledger", "openai", "anthropic", "gemini"]), Some("ledger"), SUMMARY,
        "Who makes the summary: the ledger, which needs no model, or a model above it, by its dialect"),
    row(Key::BaseUrl, "base_url", Kind::Address, None, SUMMARY,
        "URL of the model's server [default: the one of the dialect's own provider]"),
    row(Key::Model, "model", Kind::Text, None, SUMMARY,
        "Name of the model that summarizes, as its server knows it"),
    row(Key::ModelWindow, "model_window", Kind::Count, None, SUMMARY,
        "That model's own limit in tokens [default: what its server says]"),
    row(Key::Timeout, "timeout", Kind::Time, Some("5m"), SUMMARY,
        "How long the model may take in all, such as 90s or 5m"),
    row(Key::FirstByte, "first_byte", Kind::Time, Some("60s"), SUMMARY,
        "How long it may take to begin; a server that loads models on demand needs more"),
    row(Key::Tries, "tries", Kind::Count, None, SUMMARY,
        "Tries of a call that may succeed later [default: 3; 8 while a server says that it is loading]"),
    row(Key::AtOnce, "at_once", Kind::Count, Some("1"), SUMMARY,
        "Calls of the model at once, where there is more than one to make"),
    row(Key::Fallback, "fallback", Kind::Choice(|| vec!["ledger", "none"]), Some("ledger"), SUMMARY,
        "What is the summary where the model fails: the ledger alone, or none, which is an error"),
    row(Key::Extra, "extra", Kind::Object, None, SUMMARY,
        "Fields for every request to the model, as a JSON object"),
];

impl Key {
    pub(super) fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// The setting of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        ROWS.iter().find(|row| row.name == name).map(|row| row.key)
    }

    pub(crate) fn name(self) -> &'static str {
        self.row().name
    }

    /// The variable of the environment that sets it.
    pub(crate) fn variable(self) -> String {
        format!("TREERING_{}", self.name().to_ascii_uppercase())
    }
}

impl Row {
    /// Whether a text is a value; if not, what it should be. Never shows a value that may hold a
    /// secret.
    pub(super) fn check(&self, value: &OsStr) -> Result<(), String> {
        if matches!(self.kind, Kind::File) {
            return if value.is_empty() { Err("expected a file".to_owned()) } else { Ok(()) };
        }
        let Some(text) = value.to_str() else {
            return Err("expected UTF-8".to_owned());
        };
        let expected = |what: &str| Err(format!("expected {what}, found {text:?}"));
        match self.kind {
            Kind::Text if text.trim().is_empty() => expected("a text"),
            Kind::Count if text.parse::<u64>().is_err() => expected("a whole number"),
            Kind::Time if time(text).is_none() => expected("a time such as 500ms, 90s or 5m"),
            Kind::Choice(choices) if !choices().contains(&text) => {
                expected(&format!("one of {}", choices().join(", ")))
            }
            Kind::Address if text.contains(['@', '?', '#']) => {
                Err("expected an address alone: no user, password, query or fragment".to_owned())
            }
            Kind::Address if !text.starts_with("http://") && !text.starts_with("https://") => {
                expected("a URL such as http://127.0.0.1:8080")
            }
            Kind::Object if object(text).is_none() => Err("expected a JSON object".to_owned()),
            _ => Ok(()),
        }
    }

    fn arg(&'static self) -> Arg {
        let help = match self.default {
            Some(default) => format!("{} [default: {default}]", self.help),
            None => self.help.to_owned(),
        };
        let value_name = match self.kind {
            Kind::File => "FILE",
            Kind::Text => "NAME",
            Kind::Address => "URL",
            Kind::Count => "N",
            Kind::Time => "TIME",
            Kind::Choice(_) => "WHICH",
            Kind::Object => "JSON",
        };
        let parser = match self.kind {
            Kind::Choice(choices) => {
                ValueParser::new(PossibleValuesParser::new(choices()).map(OsString::from))
            }
            _ => ValueParser::new(
                OsStringValueParser::new().try_map(|value| self.check(&value).map(|()| value)),
            ),
        };
        Arg::new(self.name)
            .long(self.name.replace('_', "-"))
            .value_name(value_name)
            .help(help)
            .value_parser(parser)
            .global(self.group == EVERYWHERE)
    }
}

/// A time: a whole number and its unit.
pub(super) fn time(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    match &text[digits.len()..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    }
}

/// The fields of a JSON object.
pub(super) fn object(text: &str) -> Option<serde_json::Map<String, serde_json::Value>> {
    serde_json::from_str(text).ok()
}

/// The settings of one group, as flags.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags<const GROUP: u8>(pub(super) Vec<(Key, OsString)>);

impl<const GROUP: u8> Flags<GROUP> {
    fn rows() -> impl Iterator<Item = &'static Row> {
        ROWS.iter().filter(|row| row.group == GROUP)
    }
}

impl<const GROUP: u8> clap::Args for Flags<GROUP> {
    fn augment_args(command: Command) -> Command {
        Self::rows().fold(command, |command, row| command.arg(row.arg()))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const GROUP: u8> clap::FromArgMatches for Flags<GROUP> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let given = |row: &Row| Some((row.key, matches.get_one::<OsString>(row.name)?.clone()));
        self.0.extend(Self::rows().filter_map(given));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_keys_and_its_defaults_are_values() {
        for row in &ROWS {
            assert_eq!(row.key.name(), row.name);
            assert_eq!(Key::named(row.name), Some(row.key));
            if let Some(default) = row.default {
                assert_eq!(row.check(OsStr::new(default)), Ok(()), "{}", row.name);
            }
        }
        assert_eq!(Key::KeepTurns.variable(), "TREERING_KEEP_TURNS");
    }

    #[test]
    fn a_value_that_is_none_is_told_what_it_should_be() {
        let cases = [
            (Key::Window, "12k", "expected a whole number, found \"12k\""),
            (Key::Timeout, "5", "expected a time such as 500ms, 90s or 5m, found \"5\""),
            (Key::Timeout, "99999999999999999999s", "expected a time"),
            (Key::Color, "red", "expected one of auto, always, never, found \"red\""),
            (Key::BaseUrl, "localhost", "expected a URL such as"),
            (Key::Model, " ", "expected a text"),
            (Key::Extra, "[1]", "expected a JSON object"),
            (Key::Store, "", "expected a file"),
        ];
        for (key, value, why) in cases {
            let told = key.row().check(OsStr::new(value)).unwrap_err();
            assert!(told.starts_with(why), "{}: {told}", key.name());
        }
        for url in ["http://me:secret@x", "http://x/?key=secret", "http://x/#secret"] {
            let told = Key::BaseUrl.row().check(OsStr::new(url)).unwrap_err();
            assert!(!told.contains("secret"), "{told}");
        }
    }

    #[test]
    fn a_time_has_its_unit() {
        let times = ["250ms", "90s", "5m", "0s"].map(|text| time(text).unwrap().as_millis());
        assert_eq!(times, [250, 90_000, 300_000, 0]);
        assert_eq!(["s", "-1s", "1h", "1.5s", ""].map(time), [None; 5]);
    }
}
