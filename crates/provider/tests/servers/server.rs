//! The real server, and the front that injects faults: started for the tests where Python and two
//! packages can be had, else skipped with the reason printed. Once they are there, a server that does
//! not start is a failure. Waits are for what must come, not for a time in which it should.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/llm-server");
/// As they were when the tests were written: a newer server must not fail an older change.
const PACKAGES: [&str; 2] = ["xllamacpp==2026.10.11549", "gguf==0.19.0"];

/// A process that answers at a URL. It ends with this value, or with the tests.
pub(crate) struct Server {
    process: Child,
    pub(crate) url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    /// A server of a model with random weights; `None` where it cannot be had.
    pub(crate) fn start(context_tokens: u32, slots: u32, key: Option<&str>) -> Option<Self> {
        let (python, model) = installed()?;
        let mut command = Command::new(python);
        command.arg(Path::new(SCRIPTS).join("serve.py")).arg(model).arg("--watch-stdin");
        command.args(["--ctx", &context_tokens.to_string(), "--slots", &slots.to_string()]);
        command.args(key.map(|key| ["--api-key", key]).iter().flatten());
        Some(ready(command))
    }

    /// The server that tests share which neither stop nor fill it.
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Server>> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(32_768, 4, None)).as_ref()
    }

    /// A front before this server that answers with these faults, one for each request.
    pub(crate) fn behind_faults(&self, faults: &str) -> Self {
        let mut command = Command::new("python3");
        command.arg(Path::new(SCRIPTS).join("swap.py")).args(["--fault", faults]);
        command.args(["--model", &format!("tiny={}", self.address())]);
        ready(command)
    }

    fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// Tokens that a slot has answered so far, 0 while it takes in the prompt; `None` where none is at
    /// work.
    pub(crate) fn slot(&self) -> Option<u64> {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.write_all(b"GET /slots HTTP/1.0\r\n\r\n").unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let (_, body) = reply.split_once("\r\n\r\n").unwrap();
        let slots: Value = serde_json::from_str(body).unwrap();
        let slot = slots.as_array().unwrap().iter().find(|slot| slot["is_processing"] == true)?;
        let next = slot["next_token"].as_array().map_or(&slot["next_token"], |all| &all[0]);
        Some(next["n_decoded"].as_u64().unwrap_or(0))
    }
}

/// Starts a server and waits until it says where it is.
fn ready(mut command: Command) -> Server {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = piped.spawn().unwrap();
    let mut errors = process.stderr.take().unwrap();
    let errors = std::thread::spawn(move || {
        let mut words = Vec::new();
        let _ = errors.read_to_end(&mut words);
        String::from_utf8_lossy(&words).into_owned()
    });
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let Some(url) = line.strip_prefix("READY ") else {
        let _ = process.kill();
        panic!("{command:?} said {line:?}, {:?}: {:?}", process.wait(), errors.join());
    };
    Server { process, url: url.trim().to_owned() }
}

/// Python with the packages, and the model; made once beside the other products of the build.
fn installed() -> Option<&'static (PathBuf, PathBuf)> {
    static INSTALLED: OnceLock<Option<(PathBuf, PathBuf)>> = OnceLock::new();
    let install = || {
        let installed = install();
        if let Err(reason) = &installed {
            // Not by the macro: what a test prints so is kept back while it passes.
            let _ = writeln!(std::io::stderr(), "skipped: no real server, {reason}");
        }
        installed.ok()
    };
    INSTALLED.get_or_init(install).as_ref()
}

/// `Err` says what cannot be had.
fn install() -> Result<(PathBuf, PathBuf), String> {
    if !Path::new(SCRIPTS).is_dir() {
        return Err(format!("no scripts at {SCRIPTS}"));
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("llm-server");
    fs::create_dir_all(&folder).unwrap();
    // One test binary after another.
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let (python, model) = (folder.join("venv/bin/python"), folder.join("tiny.gguf"));
    if !model.is_file() {
        let pip = ["-m", "pip", "install", "--quiet", "--only-binary", ":all:"];
        run(Command::new("python3").args(["-m", "venv"]).arg(folder.join("venv")))?;
        run(Command::new(&python).args(pip).args(PACKAGES))?;
        run(Command::new(&python).args(["-c", "import xllamacpp, gguf"]))?;
        let partial = folder.join("partial.gguf");
        let made =
            run(Command::new(&python).arg(Path::new(SCRIPTS).join("mkgguf.py")).arg(&partial));
        made.unwrap();
        fs::rename(partial, &model).unwrap();
    }
    Ok((python, model))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let last = words.lines().last().unwrap_or_default();
    Err(format!("{command:?}: {}: {last}", output.status))
}
