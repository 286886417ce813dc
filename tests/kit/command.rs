//! The command line as a process: built once, then run as anybody would run it.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// The top of the repository.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The binary, built when it is first asked for: a package is given the binaries of no other one. The
/// profile is that of the tests, so that most of it is compiled already.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--profile", "test", "--bin", "treering"])
            .args(["--message-format", "json-render-diagnostics"])
            .current_dir(ROOT)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(built.status.success(), "the command line does not build");
        let messages = String::from_utf8(built.stdout).unwrap();
        let mut messages =
            messages.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let path = messages.find_map(|message| Some(message["executable"].as_str()?.into()));
        path.expect("cargo names the binary it built")
    })
}

/// All samples of a tool; none where they are not beside the project.
pub fn samples(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(ROOT).join("../shared/samples").join(folder);
    let Ok(entries) = std::fs::read_dir(root) else {
        println!("skipped: no samples of {folder} beside the project");
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// What a run came to.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: Vec<u8>,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// Standard output as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    /// The JSON object on each line of standard output.
    pub fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A store and the command line to run on it.
#[derive(Debug)]
pub struct Cli {
    folder: tempfile::TempDir,
}

impl Cli {
    /// On a store that is not there yet, in a folder of its own.
    #[allow(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A file in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The store's file.
    pub fn store(&self) -> PathBuf {
        self.file("store.redb")
    }

    /// The command, ready to run.
    pub fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(binary());
        command.args(args).env("TREERING_STORE", self.store()).env_remove("RUST_BACKTRACE");
        // No settings but those of the test.
        command.current_dir(self.folder.path()).env("XDG_CONFIG_HOME", self.folder.path());
        command
    }

    /// Runs it to its end, whatever that is.
    pub fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, "")
    }

    /// The same, with something on standard input.
    pub fn run_with(&self, args: &[&str], input: &str) -> Ran {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that does not read its input may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        Ran { code: output.status.code(), out: output.stdout, err }
    }

    /// Runs it with `--json`; answers the objects. It must succeed.
    pub fn json(&self, args: &[&str]) -> Vec<Value> {
        let ran = self.run(&[&["--json"], args].concat());
        assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
        ran.lines()
    }

    /// The same, where there is one object.
    pub fn object(&self, args: &[&str]) -> Value {
        let mut objects = self.json(args);
        assert_eq!(objects.len(), 1, "{args:?}: {objects:?}");
        objects.remove(0)
    }

    /// Appends a text; answers the entry's id.
    pub fn append(&self, session: &str, kind: &str, text: &str) -> String {
        let done = self.object(&["append", session, "--kind", kind, "--text", text]);
        done["id"].as_str().unwrap().to_owned()
    }

    /// Runs it where it must fail; answers the error of `--json` beside the exit code.
    pub fn failure(&self, args: &[&str]) -> (i32, Value) {
        let ran = self.run(&[&["--json"], args].concat());
        let error: Value = serde_json::from_str(ran.err.trim_end())
            .unwrap_or_else(|_| panic!("{args:?}: no error object: {ran:?}"));
        (ran.code.expect("no signal"), error["error"].clone())
    }
}

/// The keys of an object, in order.
pub fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// The text under a key.
pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no text {key:?} in {value}"))
}

/// The texts under one key of many objects.
pub fn texts<'a>(values: &'a [Value], key: &str) -> Vec<&'a str> {
    values.iter().map(|value| text(value, key)).collect()
}
