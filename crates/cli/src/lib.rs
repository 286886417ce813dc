//! The treering command line: parses, calls the engine, prints. It has no logic of its own, and sees of the
//! machine what [`Surroundings`] show it.
//!
//! ```text
//!   Surroundings --> args --> app --> verbs --> the engine
//!                      config --^       |
//!                                       +--> output --> Surroundings
//! ```
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use treering_cli::{Surroundings, run};
//!
//! # #[tokio::main]
//! # async fn main() {
//! let said = Arc::new(Mutex::new(Vec::new()));
//! let args = ["treering", "--json", "policy", "--window", "200000"].map(Into::into).to_vec();
//! let code = run(Surroundings { args, out: said.clone(), ..Surroundings::of_process() }).await;
//! assert_eq!(code, 0);
//! let said = String::from_utf8_lossy(&said.lock().unwrap()).into_owned();
//! assert!(said.contains("\"threshold\":160000"), "{said}");
//! # }
//! ```

mod app;
mod args;
mod config;
mod defaults;
mod demo;
mod failure;
mod fold;
#[cfg(feature = "models")]
mod model;
mod open;
mod output;
mod process;
mod read;
mod resolve;
mod summarizer;
mod surroundings;
mod verbs;

use clap::Parser;

use crate::app::App;
use crate::args::Args;
use crate::failure::{Failure, Result};
use crate::output::text::escape;
pub use crate::process::process;
use crate::surroundings::say;
pub use crate::surroundings::{Environment, Sink, Surroundings, Terminal, UserFolders, Variable};

/// Runs one command to its end and answers its exit code: 0 ok, 1 a check failed or anything else, 2 usage, 3
/// not found, 4 conflict, 5 locked, 6 corrupt, 7 format, 8 storage, 9 provider. Needs a runtime of Tokio with
/// time and I/O. What `import --follow` does ends with an interrupt of the process alone.
pub async fn run(surroundings: Surroundings) -> u8 {
    // Errors of the parser itself are to be told as JSON too.
    let as_json = surroundings.args.iter().any(|arg| arg == "--json");
    let args = match Args::try_parse_from(&surroundings.args) {
        Ok(args) => args,
        Err(error) if as_json && error.use_stderr() => {
            return told(&Failure::usage(&error), true, &surroundings.err);
        }
        Err(error) => return shown(&error, &surroundings),
    };
    let err = surroundings.err.clone();
    match carried_out(args, surroundings).await {
        Ok(()) => 0,
        Err(failure) => told(&failure, as_json, &err),
    }
}

async fn carried_out(args: Args, surroundings: Surroundings) -> Result<()> {
    let mut app = App::new(&args, surroundings)?;
    verbs::run(&mut app, args.verb).await?;
    Ok(app.out.flush()?)
}

fn told(failure: &Failure, as_json: bool, err: &Sink) -> u8 {
    if let Some(text) = failure.told(as_json) {
        say(err, &format!("{text}\n"));
    }
    failure.exit_code()
}

/// Help, the version, or what the parser refuses, in its own words. Those repeat what was typed, and have no
/// colours: what was typed might bring its own.
fn shown(error: &clap::Error, surroundings: &Surroundings) -> u8 {
    let text = error.render();
    if error.use_stderr() {
        say(&surroundings.err, &escape(&text.to_string()));
    } else if surroundings.terminal.color {
        say(&surroundings.out, &text.ansi().to_string());
    } else {
        say(&surroundings.out, &text.to_string());
    }
    u8::try_from(error.exit_code()).unwrap_or(1)
}
