//! Settings, and the one order among those who make them:
//!
//! ```text
//!   flag > environment (TREERING_*) > project file > user file > default
//! ```
//!
//! The project file is the nearest `.treering.toml`, here or in a folder above; the user's is
//! `treering/config.toml` in the platform's folder for configuration. Keys of providers are in the
//! environment alone, and nothing here holds one.

mod file;
mod keys;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use self::file::Line;
pub(crate) use self::keys::{EVERYWHERE, Flags, Key, RULES, SUMMARY};
use self::keys::{Kind, ROWS};
use crate::failure::{Failure, Group, Result};
use crate::surroundings::Environment;

const PROJECT_FILE: &str = ".treering.toml";
const USER_FILE: &str = "treering/config.toml";

/// Who made a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Flag,
    Environment(String),
    Project(PathBuf, usize),
    User(PathBuf, usize),
    Default,
}

impl Source {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Environment(_) => "environment",
            Self::Project(..) => "project file",
            Self::User(..) => "user file",
            Self::Default => "default",
        }
    }

    /// Which variable, or which line of which file.
    pub(crate) fn place(&self) -> Option<String> {
        match self {
            Self::Flag | Self::Default => None,
            Self::Environment(variable) => Some(variable.clone()),
            Self::Project(path, line) | Self::User(path, line) => {
                Some(format!("{}:{line}", path.display()))
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place() {
            Some(place) => write!(f, "{} {place}", self.name()),
            None => f.write_str(self.name()),
        }
    }
}

#[derive(Clone)]
struct Setting {
    key: Key,
    value: OsString,
    source: Source,
}

/// All settings that anybody made, the first one of each key counts.
#[derive(Default)]
pub(crate) struct Config(Vec<Setting>);

impl Config {
    /// What the environment and the files say.
    pub(crate) fn load(environment: &Environment) -> Result<Self> {
        let project = environment.here().as_deref().map_or(Ok(None), nearest)?;
        let user = match &environment.user {
            Ok(folders) => with_path(folders.config.join(USER_FILE))?,
            Err(_) => None,
        };
        Self::of(|name| environment.variable(name), project, user)
    }

    /// The order below the flags.
    fn of(
        variable: impl Fn(&str) -> Option<OsString>,
        project: Option<(PathBuf, Vec<Line>)>,
        user: Option<(PathBuf, Vec<Line>)>,
    ) -> Result<Self> {
        let mut config = Self::default();
        for row in &ROWS {
            let name = row.key.variable();
            // Set to nothing is not set.
            let Some(value) = variable(&name).filter(|value| !value.is_empty()) else { continue };
            let wrong = |why| Failure::new(Group::Invalid, format!("{name}: {why}"));
            row.check(&value).map_err(wrong)?;
            config.0.push(Setting { key: row.key, value, source: Source::Environment(name) });
        }
        if let Some((path, lines)) = project {
            for line in lines {
                trusted(&path, &line)?;
                config.add(line, |at| Source::Project(path.clone(), at));
            }
        }
        if let Some((path, lines)) = user {
            for line in lines {
                config.add(line, |at| Source::User(path.clone(), at));
            }
        }
        Ok(config)
    }

    fn add(&mut self, line: Line, source: impl Fn(usize) -> Source) {
        let Line { key, value, at } = line;
        self.0.push(Setting { key, value, source: source(at) });
    }

    /// Puts flags over everything else.
    #[must_use]
    pub(crate) fn under<const GROUP: u8>(&self, flags: &Flags<GROUP>) -> Self {
        let flags = flags.0.iter().map(|(key, value)| Setting {
            key: *key,
            value: value.clone(),
            source: Source::Flag,
        });
        Self(flags.chain(self.0.iter().cloned()).collect())
    }

    /// The value that counts, and who made it.
    fn found(&self, key: Key) -> (Option<&OsStr>, Source) {
        match self.0.iter().find(|setting| setting.key == key) {
            Some(setting) => (Some(&setting.value), setting.source.clone()),
            None => (key.row().default.map(OsStr::new), Source::Default),
        }
    }

    pub(crate) fn text(&self, key: Key) -> Option<&str> {
        self.found(key).0.and_then(OsStr::to_str)
    }

    pub(crate) fn path(&self, key: Key) -> Option<&Path> {
        self.found(key).0.map(Path::new)
    }

    pub(crate) fn count(&self, key: Key) -> Option<u64> {
        self.text(key)?.parse().ok()
    }

    #[cfg(any(feature = "models", test))]
    pub(crate) fn time(&self, key: Key) -> Option<std::time::Duration> {
        keys::time(self.text(key)?)
    }

    #[cfg(any(feature = "models", test))]
    pub(crate) fn object(&self, key: Key) -> serde_json::Map<String, serde_json::Value> {
        self.text(key).and_then(keys::object).unwrap_or_default()
    }

    /// Every setting, its value as people may see it, and who made it.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Key, Option<String>, Source)> {
        ROWS.iter().map(|row| {
            let (value, source) = self.found(row.key);
            let shown = match row.kind {
                // Fields of the caller's own may be secret; their names are not.
                Kind::Object => {
                    let object = value.and_then(OsStr::to_str).and_then(keys::object);
                    object.map(|object| object.keys().cloned().collect::<Vec<_>>().join(", "))
                }
                _ => value.map(|value| value.to_string_lossy().into_owned()),
            };
            (row.key, shown, source)
        })
    }
}

/// A project file comes with a folder that somebody else may have written: it says nothing about where
/// sessions and keys are sent, but to this machine itself, and lets through nothing that its user holds back.
fn trusted(path: &Path, line: &Line) -> Result<()> {
    let local = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
    let text = line.value.to_str().unwrap_or_default();
    let is_local = local.iter().any(|host| {
        text.strip_prefix(host).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
    });
    let why = match line.key {
        Key::BaseUrl if !is_local => {
            "base_url: a project file may only name a server on this machine"
        }
        Key::Redact if text == "off" => "redact: a project file may not turn it off",
        _ => return Ok(()),
    };
    let message = format!("{}:{}: {why}", path.display(), line.at);
    Err(Failure::new(Group::Invalid, message)
        .hint("put it into your own file, the environment or a flag; `treering config` names them"))
}

/// The nearest project file.
fn nearest(folder: &Path) -> Result<Option<(PathBuf, Vec<Line>)>> {
    for folder in folder.ancestors() {
        if let Some(found) = with_path(folder.join(PROJECT_FILE))? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn with_path(path: PathBuf) -> Result<Option<(PathBuf, Vec<Line>)>> {
    Ok(file::read(&path)?.map(|lines| (path, lines)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Given {
        #[command(flatten)]
        rules: Flags<RULES>,
        #[command(flatten)]
        summary: Flags<SUMMARY>,
    }

    fn lines(text: &str, name: &str) -> (PathBuf, Vec<Line>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        (PathBuf::from(name), file::read(&path).unwrap().unwrap())
    }

    fn variables(name: &str) -> Option<OsString> {
        let set = ["TREERING_WINDOW", "TREERING_MODEL", "TREERING_RESERVE"];
        let value = |name| if name == "TREERING_MODEL" { "from-environment" } else { "2" };
        set.contains(&name).then(|| value(name).into())
    }

    #[test]
    fn the_order_is_flag_environment_project_user_default() {
        let project = lines("model = \"project\"\nwindow = 3\nkeep_turns = 3\n", "project");
        let user =
            lines("tries = 4\nmodel = \"user\"\nwindow = 4\nkeep_turns = 4\nreserve = 4\n", "user");
        let config = Config::of(variables, Some(project), Some(user)).unwrap();
        let flags = Given::try_parse_from(["treering", "--window", "1", "--model=m"]).unwrap();
        let config = config.under(&flags.rules).under(&flags.summary);
        let found = |key| {
            let (_, value, source) = config.all().find(|(known, ..)| *known == key).unwrap();
            (value.unwrap_or_default(), source.to_string())
        };
        let is = |value: &str, source: &str| (value.to_owned(), source.to_owned());
        assert_eq!(found(Key::Window), is("1", "flag"));
        assert_eq!(found(Key::Model), is("m", "flag"));
        assert_eq!(found(Key::Reserve), is("2", "environment TREERING_RESERVE"));
        assert_eq!(found(Key::KeepTurns), is("3", "project file project:3"));
        assert_eq!(found(Key::Tries), is("4", "user file user:1"));
        assert_eq!(found(Key::Preset), is("nexus", "default"));
        assert_eq!(found(Key::BaseUrl), is("", "default"));
        assert_eq!(config.count(Key::Tries), Some(4));
        assert_eq!(config.time(Key::Timeout), Some(Duration::from_secs(300)));
    }

    #[test]
    fn a_variable_set_to_nothing_is_not_set_and_one_set_wrong_is_named() {
        let of = |value: &'static str| {
            Config::of(|name| (name == "TREERING_WINDOW").then(|| value.into()), None, None)
        };
        assert_eq!(of("").unwrap().count(Key::Window), None);
        let told = format!("{:?}", of("big").err().unwrap());
        assert!(told.contains("TREERING_WINDOW: expected a whole number"), "{told}");
    }

    #[test]
    fn a_project_file_sends_nothing_away() {
        let of = |url: &str| {
            let text = format!("model = \"x\"\nbase_url = \"{url}\"\n");
            Config::of(|_| None, Some(lines(&text, "project")), None)
        };
        for url in ["http://127.0.0.1:8080", "http://localhost/v1", "http://[::1]"] {
            assert_eq!(of(url).unwrap().text(Key::BaseUrl), Some(url));
        }
        for url in ["https://example.com", "http://127.0.0.1.example.com", "http://localhosts"] {
            let told = format!("{:?}", of(url).err().unwrap());
            assert!(told.contains("project:2: base_url: a project file may only"), "{told}");
        }
        let user = lines("base_url = \"https://example.com\"\nredact = \"off\"\n", "user");
        assert!(Config::of(|_| None, None, Some(user)).is_ok());
        let redacts = |to: &str| {
            Config::of(|_| None, Some(lines(&format!("redact = {to:?}"), "project")), None)
        };
        assert_eq!(redacts("known").unwrap().text(Key::Redact), Some("known"));
        assert!(format!("{:?}", redacts("off").err().unwrap()).contains("may not turn it off"));
    }

    #[test]
    fn fields_of_requests_are_shown_by_name_alone() {
        let user = lines("[extra]\ntoken = \"sk-secret\"\ntop_k = 1\n", "user");
        let config = Config::of(|_| None, None, Some(user)).unwrap();
        let (_, shown, _) = config.all().find(|(key, ..)| *key == Key::Extra).unwrap();
        assert_eq!(shown.as_deref(), Some("token, top_k"));
        assert_eq!(config.object(Key::Extra)["token"], "sk-secret");
    }
}
