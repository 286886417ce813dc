//! A folder with a store and a home of its own, and the command to run there.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_treering");

/// Where a test works.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file in it.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// The command, in an environment that holds nothing else of interest.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        self.settle(command.args(args));
        command
    }

    /// Gives any command this place and its environment.
    pub(crate) fn settle(&self, command: &mut Command) {
        command.current_dir(self.0.path()).env_clear();
        command.env("HOME", self.0.path()).env("XDG_CONFIG_HOME", self.path("settings"));
        command.env("TREERING_STORE", self.path("store.redb"));
        command.stdin(Stdio::null());
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs it with `--json`, which must succeed; answers the objects.
    pub(crate) fn json(&self, args: &[&str]) -> Vec<Value> {
        let output = self.run(&[&["--json"], args].concat());
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {err}");
        let out = String::from_utf8(output.stdout).unwrap();
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The same, where there is one object.
    pub(crate) fn object(&self, args: &[&str]) -> Value {
        let mut objects = self.json(args);
        assert_eq!(objects.len(), 1, "{args:?}: {objects:?}");
        objects.remove(0)
    }

    /// Runs it with `--json`, which must fail; answers exit code and error.
    pub(crate) fn failure(&self, args: &[&str]) -> (i32, Value) {
        failure(&self.run(&[&["--json"], args].concat()))
    }
}

/// Exit code and error of a run with `--json`.
pub(crate) fn failure(output: &Output) -> (i32, Value) {
    let err = String::from_utf8_lossy(&output.stderr);
    let error: Value = serde_json::from_str(err.trim_end())
        .unwrap_or_else(|_| panic!("no error object: {output:?}"));
    (output.status.code().unwrap(), error["error"].clone())
}
