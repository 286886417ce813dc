//! What a run is given of the machine around it: arguments, variables, folders, streams, time and
//! randomness. [`Surroundings::of_process`] alone looks at the process; whoever runs the command line
//! in another way brings their own.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, IsTerminal as _, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anstream::{AutoStream, ColorChoice};
use etcetera::{BaseStrategy, choose_base_strategy};
use treering_tree::Sources;

/// Columns where nobody says how many there are.
const DEFAULT_WIDTH: usize = 100;

/// Where what is said goes to.
pub type Sink = Arc<Mutex<dyn Write + Send>>;

/// What gives the value of a variable, where it is set.
pub type Variable = Arc<dyn Fn(&str) -> Option<OsString> + Send + Sync>;

/// Everything a run sees.
pub struct Surroundings {
    /// The name of the program, and what was typed behind it.
    pub args: Vec<OsString>,
    /// Where settings come from.
    pub environment: Environment,
    /// Time and randomness.
    pub sources: Sources,
    /// Standard input.
    pub input: Box<dyn Read + Send>,
    /// Standard output.
    pub out: Sink,
    /// Standard error.
    pub err: Sink,
    /// What is known of whoever reads.
    pub terminal: Terminal,
}

/// Variables and folders.
#[derive(Clone)]
pub struct Environment {
    /// Variables.
    pub variable: Variable,
    /// Where relative paths begin; empty for the folder that the process stands in.
    pub folder: PathBuf,
    /// The user's folders, or why there are none.
    pub user: Result<UserFolders, String>,
}

/// The folders of a user, as the platform has them.
#[derive(Clone, Debug)]
pub struct UserFolders {
    /// For settings.
    pub config: PathBuf,
    /// For data.
    pub data: PathBuf,
}

/// Who reads standard output and standard error.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// Whether standard output shows colours.
    pub color: bool,
    /// Whether standard error does.
    pub err_color: bool,
    /// Whether standard error is a terminal, where lines can be drawn anew.
    pub err: bool,
    /// Columns of standard output.
    pub width: usize,
}

impl Terminal {
    /// Nobody: a pipe or a file.
    pub const NONE: Self =
        Self { color: false, err_color: false, err: false, width: DEFAULT_WIDTH };
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> Self {
        let (out, err) = (io::stdout(), io::stderr());
        let size = terminal_size::terminal_size_of(&out);
        let terminal = Terminal {
            color: AutoStream::choice(&out) != ColorChoice::Never,
            err_color: AutoStream::choice(&err) != ColorChoice::Never,
            err: err.is_terminal(),
            width: size.map_or(DEFAULT_WIDTH, |(width, _)| usize::from(width.0)),
        };
        Self {
            args: std::env::args_os().collect(),
            environment: Environment::of_process(),
            sources: Sources::system(),
            input: Box::new(io::stdin()),
            // Nothing is stripped: what is not for colours has none.
            out: Arc::new(Mutex::new(AutoStream::new(out, ColorChoice::Always))),
            err: Arc::new(Mutex::new(AutoStream::new(err, ColorChoice::Always))),
            terminal,
        }
    }
}

impl Environment {
    #[expect(clippy::disallowed_methods, reason = "the command line is a rim")]
    fn of_process() -> Self {
        let user = choose_base_strategy()
            .map(|its| UserFolders { config: its.config_dir(), data: its.data_dir() })
            .map_err(|error| error.to_string());
        Self { variable: Arc::new(|name| std::env::var_os(name)), folder: PathBuf::new(), user }
    }

    /// The value of a variable.
    pub(crate) fn variable(&self, name: &str) -> Option<OsString> {
        (self.variable)(name)
    }

    /// A path as somebody named it who stands in the folder.
    pub(crate) fn at(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// The whole path of the folder, where the system tells it.
    pub(crate) fn here(&self) -> Option<PathBuf> {
        std::path::absolute(self.at(Path::new("."))).ok()
    }
}

/// Says something to a sink. Where nobody listens any more, there is nothing left to do about it.
pub(crate) fn say(sink: &Sink, text: &str) {
    let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = sink.write_all(text.as_bytes()).and_then(|()| sink.flush());
}

/// A sink to be written to like any other.
pub(crate) struct Tap(pub(crate) Sink);

impl Write for Tap {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Surroundings({} arguments)", self.args.len())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment({})", self.folder.display())
    }
}
