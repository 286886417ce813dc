//! What is true of any command: arguments, settings, variables and standard input, over a small store in a
//! folder of its own, inside this process. The property test and the fuzz target call the same function.
//!
//! Nothing here leaves the machine or the folder: slashes and parents become harmless letters, no key of a
//! provider is set, and nothing is followed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use treering_cli::{Environment, Surroundings, Terminal, UserFolders, run};
use treering_tree::{Options, RedbStore, Sources, Store};

use super::hostile::ensure;

/// The store that is there from the beginning, and a session of another tool beside it.
const STORE: &str = "store.redb";
const FOREIGN: &str = "one.jsonl";
/// What parts arguments, settings, variables and standard input of a case.
const PART: &[u8] = b"\n---\n";
/// What a store's session came to by, command by command.
const HISTORY: [&[&str]; 14] = [
    &["append", "work", "--kind", "system-prompt", "--text", "Be brief.", "--alias", "a0"],
    &["append", "work", "--kind", "user", "--text", "What is here?", "--alias", "a1"],
    &["append", "work", "--kind", "assistant", "--text", "I look.", "--calls", "c1=ls"],
    &["append", "work", "--kind", "tool-result", "--text", "a.rs b.rs", "--answers", "c1"],
    &["append", "work", "--kind", "assistant", "--text", "Two files.", "--alias", "a4"],
    &["label", "work", "a4", "here"],
    &["append", "work", "--kind", "user", "--text", "Which is larger?", "--alias", "a5"],
    &["pin", "work", "a4"],
    &["compact", "work", "--force", "--keep-turns", "1"],
    &["append", "work", "--kind", "user", "--text", "Go on.", "--alias", "a7"],
    &["fork", "work", "a1", "--branch", "other"],
    &["append", "work", "--kind", "note", "--text", "A dead end.", "--alias", "a8"],
    &["switch", "work", "main"],
    &["erase", "work", "a8", "--reason", "asked to"],
];
const ONE: &str = r#"{"type":"session","version":3,"id":"s","timestamp":"2026-01-01T00:00:00.000Z","cwd":"w"}
{"type":"message","id":"a","parentId":null,"message":{"role":"user","content":"hello"}}
{"type":"message","id":"b","parentId":"gone","message":{"role":"user","content":"torn"}}
"#;
/// Verbs that tell how long something took or how large a file is: another time something else.
const TELL_TIMES: [&str; 3] = ["doctor", "stats", "compact-store"];
/// What prints something else than objects, also with `--json`.
const PRINT_FILES: [&str; 4] = ["export", "completions", "man", "--body"];
/// What help and the version hold.
const HELP: [&str; 2] = ["Usage: treering", "treering 0."];
/// Exit codes by kind, as the design has them.
const CODES: [(&str, u8); 14] = [
    ("failed", 1),
    ("usage", 2),
    ("invalid", 2),
    ("not-found", 3),
    ("conflict", 4),
    ("locked", 5),
    ("corrupt", 6),
    ("format", 7),
    ("storage", 8),
    ("transient", 9),
    ("refused", 9),
    ("overflow", 9),
    ("bad-reply", 9),
    ("cancelled", 9),
];

/// One command and what it finds.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// What is typed behind the program's name.
    pub args: Vec<OsString>,
    /// The project's file of settings; none where it is empty.
    pub settings: Vec<u8>,
    /// Variables of the environment, without what all of their names begin with.
    pub variables: BTreeMap<String, OsString>,
    /// Standard input.
    pub input: Vec<u8>,
}

impl Case {
    /// Any bytes as a case: an argument on each line, and behind `---` settings, variables and standard
    /// input.
    pub fn of(bytes: &[u8]) -> Self {
        let (args, rest) = cut(bytes);
        let (settings, rest) = cut(rest);
        let (variables, input) = cut(rest);
        let args = lines(args).map(|line| os(&harmless(line)));
        let variable = |line: &[u8]| {
            let at = line.iter().position(|byte| *byte == b'=')?;
            let name = std::str::from_utf8(&line[..at]).ok()?;
            let known = !name.ends_with("API_KEY");
            known.then(|| (name.to_owned(), os(&harmless(&line[at + 1..]))))
        };
        Self {
            args: args.filter(|arg| !is_endless(arg)).collect(),
            settings: harmless(settings),
            variables: lines(variables).filter_map(variable).collect(),
            input: input.to_vec(),
        }
    }

    fn has(&self, words: &[&str]) -> bool {
        self.args.iter().any(|arg| words.iter().any(|word| arg == word))
    }

    fn with_json(&self) -> Self {
        let args = std::iter::once("--json".into()).chain(self.args.iter().cloned()).collect();
        Self { args, ..self.clone() }
    }
}

/// The first part, and what comes behind it.
fn cut(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.windows(PART.len()).position(|window| window == PART) {
        Some(at) => (&bytes[..at], &bytes[at + PART.len()..]),
        None => (bytes, &[]),
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// What names nothing outside the folder and no server, and can be an argument at all.
fn harmless(bytes: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
    for at in 0..bytes.len() {
        let parent = bytes[at] == b'.' && bytes.get(at + 1) == Some(&b'.');
        if parent || matches!(bytes[at], b'/' | b'\\') {
            bytes[at] = b'_';
        }
    }
    bytes
}

fn is_endless(arg: &OsString) -> bool {
    arg.to_string_lossy().starts_with("--follow")
}

#[cfg(unix)]
fn os(bytes: &[u8]) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes.to_vec())
}

#[cfg(not(unix))]
fn os(bytes: &[u8]) -> OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ran {
    code: u8,
    out: String,
    err: String,
}

/// A folder with the store in it, inside another one that is to stay as it is.
struct Place {
    outside: TempDir,
}

impl Place {
    fn new(store: Option<&[u8]>) -> Self {
        // In memory where there is such a place: nobody pulls the plug here.
        let memory = Path::new("/dev/shm");
        let outside = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap();
        let place = Self { outside };
        std::fs::create_dir(place.folder()).unwrap();
        std::fs::write(place.folder().join(FOREIGN), ONE).unwrap();
        if let Some(bytes) = store {
            std::fs::write(place.store(), bytes).unwrap();
        }
        place
    }

    fn folder(&self) -> PathBuf {
        self.outside.path().join("here")
    }

    fn store(&self) -> PathBuf {
        self.folder().join(STORE)
    }

    fn run(&self, case: &Case) -> Result<Ran, String> {
        let project = self.folder().join(".treering.toml");
        if !case.settings.is_empty() {
            std::fs::write(project, &case.settings).unwrap();
        }
        let strays: Vec<PathBuf> =
            case.args.iter().flat_map(named).filter(|p| !p.exists()).collect();
        let (out, err) = (Arc::default(), Arc::default());
        let code = runtime().block_on(run(self.surroundings(case, &out, &err)));
        for stray in strays {
            ensure(!stray.exists(), || format!("{} is written elsewhere", stray.display()))?;
        }
        let names = names(self.outside.path());
        ensure(names == ["here"], || format!("written outside the folder: {names:?}"))?;
        let folder = self.folder().display().to_string();
        let told = |sink: Arc<Mutex<Vec<u8>>>| {
            let bytes = std::mem::take(&mut *sink.lock().unwrap());
            String::from_utf8_lossy(&bytes).replace(&folder, "HERE")
        };
        Ok(Ran { code, out: told(out), err: told(err) })
    }

    fn surroundings(
        &self,
        case: &Case,
        out: &Arc<Mutex<Vec<u8>>>,
        err: &Arc<Mutex<Vec<u8>>>,
    ) -> Surroundings {
        let variables = case.variables.clone();
        let store = self.store();
        let variable = move |name: &str| {
            let name = name.strip_prefix("TREERING_")?;
            let store = || (name == "STORE").then(|| store.clone().into());
            variables.get(name).cloned().or_else(store)
        };
        let home = self.folder();
        Surroundings {
            args: std::iter::once("treering".into()).chain(case.args.iter().cloned()).collect(),
            environment: Environment {
                variable: Arc::new(variable),
                folder: self.folder(),
                user: Ok(UserFolders { config: home.join("config"), data: home.join("data") }),
            },
            sources: Sources::fixed(5),
            input: Box::new(Cursor::new(case.input.clone())),
            out: out.clone(),
            err: err.clone(),
            terminal: Terminal::NONE,
        }
    }

    /// What the store holds: everything that a read can tell. `None` where it cannot be opened as it is.
    fn holds(&self) -> Option<String> {
        let open = || RedbStore::open(self.store(), Options::new(Sources::fixed(6)));
        // What goes on in the background lets the store go a moment after the command has ended.
        let opened = (0..1_000_000).map(|_| open()).find(|opened| {
            std::thread::yield_now();
            !matches!(opened, Err(treering_tree::Error::Locked { .. }))
        });
        let store = opened?.ok()?;
        runtime().block_on(async {
            let entries = store.scan(None, 0, 1_000).await.ok()?;
            let entries: Vec<_> = entries
                .iter()
                .map(|stored| (stored.place.id, stored.entry.body().is_some()))
                .collect();
            let mut heads = Vec::new();
            for session in store.sessions(None, 100).await.ok()? {
                heads.push((store.branches(&session.name, None, 100).await.ok()?, session));
            }
            Some(format!("{entries:?} {heads:?} {}", store.stats().await.ok()?.journal_rows))
        })
    }

    /// The files but the store, with what is in them.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let (mut files, mut folders) = (BTreeMap::new(), vec![self.folder()]);
        while let Some(folder) = folders.pop() {
            for name in names(&folder) {
                let path = folder.join(name);
                if path.is_dir() {
                    folders.push(path);
                } else if path != self.store() {
                    files.insert(path.clone(), std::fs::read(path).unwrap());
                }
            }
        }
        files
    }
}

/// What an argument may name, seen from where this process stands.
fn named(arg: &OsString) -> Vec<PathBuf> {
    let text = arg.to_string_lossy().into_owned();
    let value = text.split_once('=').map(|(_, value)| value.to_owned());
    let names = [Some(text), value].into_iter().flatten();
    names.filter(|name| !name.is_empty() && !name.starts_with('-')).map(PathBuf::from).collect()
}

fn names(folder: &Path) -> Vec<OsString> {
    let mut names: Vec<OsString> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    })
}

/// The bytes of the small store, and what it holds.
fn image() -> &'static (Vec<u8>, String) {
    static IMAGE: OnceLock<(Vec<u8>, String)> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let place = Place::new(None);
        for args in HISTORY {
            let args = args.iter().map(OsString::from).collect();
            let ran = place.run(&Case { args, ..Case::default() }).unwrap();
            assert_eq!(ran.code, 0, "{ran:?}");
        }
        // Twice, as each opening leaves the file as the next one finds it.
        let (_, holds) = (place.holds(), place.holds().unwrap());
        (std::fs::read(place.store()).unwrap(), holds)
    })
}

/// Any command ends with one of the exit codes and says why; says and does the same in the same place, with
/// `--json` too, and then in JSON; says the same again where it changed nothing; leaves the store alone where
/// it refuses what was typed, and everything outside its folder always.
///
/// # Errors
/// What does not hold.
pub fn holds(case: &Case) -> Result<(), String> {
    let (image, before) = image();
    let place = Place::new(Some(image));
    let ran = place.run(case)?;
    ended(&ran)?;
    let refused = ran.err.contains("try '--help'");
    let untouched = || std::fs::read(place.store()).is_ok_and(|bytes| bytes == *image);
    ensure(!refused || untouched(), || "a refused command touched the store".to_owned())?;
    let after = place.holds();

    let other = Place::new(Some(image));
    let again = other.run(case)?;
    let the_same = if case.has(&TELL_TIMES) { again.code == ran.code } else { again == ran };
    ensure(the_same, || format!("{ran:?}, and elsewhere {again:?}"))?;
    ensure(other.holds() == after, || "the same command left another store".to_owned())?;

    let quiet = after.as_ref() == Some(before) && other.files().len() == Place::beginning(case);
    if ran.code == 0 && quiet && !case.has(&TELL_TIMES) && !case.has(&["scrub"]) {
        let again = other.run(case)?;
        ensure(again == ran, || format!("{ran:?}, and the next time {again:?}"))?;
    }
    if case.has(&["--json"]) { Ok(()) } else { as_json(case, &ran, before) }
}

impl Place {
    /// How many files there are at the beginning beside the store.
    fn beginning(case: &Case) -> usize {
        1 + usize::from(!case.settings.is_empty())
    }
}

/// An exit code, and words where it is not 0.
fn ended(ran: &Ran) -> Result<(), String> {
    ensure(ran.code <= 9, || format!("no exit code: {ran:?}"))?;
    ensure(ran.code == 0 || !ran.err.is_empty(), || format!("it does not say why: {ran:?}"))?;
    ensure(!ran.err.contains("panicked"), || format!("it panicked: {ran:?}"))
}

/// The same command in JSON.
fn as_json(case: &Case, plain: &Ran, before: &str) -> Result<(), String> {
    let place = Place::new(Some(&image().0));
    let ran = place.run(&case.with_json())?;
    let json = |text: &str| serde_json::from_str::<Value>(text).ok();
    if !case.has(&PRINT_FILES) {
        let is_json = ran.out.lines().all(|line| json(line).is_some());
        let is_help = HELP.iter().any(|help| ran.out.contains(help));
        ensure(is_json || is_help, || format!("not JSON: {ran:?}"))?;
    }
    ensure(ran.code == plain.code, || format!("{plain:?}, in JSON {ran:?}"))?;
    if ran.code == 0 || case.args.is_empty() {
        return Ok(());
    }
    let error = ran.err.lines().last().and_then(json).unwrap_or_default();
    let kind = error["error"]["kind"].as_str().unwrap_or_default();
    let code = CODES.iter().find(|(known, _)| *known == kind).map(|(_, code)| *code);
    ensure(code == Some(ran.code), || format!("{kind:?} is not {}: {ran:?}", ran.code))?;
    let holds = || place.holds().is_some_and(|holds| holds == before);
    ensure(kind != "usage" || holds(), || "a usage error changed the store".to_owned())
}
