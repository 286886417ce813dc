//! The treering command line: parses, calls the engine, prints. It has no logic of its own.

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
mod read;
mod resolve;
mod summarizer;

mod verbs;

use std::process::ExitCode;

use clap::Parser;

use crate::app::App;
use crate::args::Args;
use crate::failure::{Failure, Result};

/// "File size limit exceeded", the same number on Linux, macOS and the BSDs.
#[cfg(unix)]
const SIGXFSZ: i32 = 25;

fn main() -> ExitCode {
    // Errors of the parser itself are to be told as JSON too.
    let as_json = std::env::args_os().any(|arg| arg == "--json");
    match run(as_json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell(as_json);
            failure.exit_code()
        }
    }
}

fn run(as_json: bool) -> Result<()> {
    let args = match Args::try_parse() {
        Err(error) if as_json && error.use_stderr() => return Err(Failure::usage(&error)),
        Err(error) => error.exit(),
        Ok(args) => args,
    };
    let mut app = App::new(&args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        survive_file_size_limit()?;
        verbs::run(&mut app, args.verb).await
    })?;
    Ok(app.out.flush()?)
}

/// A file at its size limit is to be an error of the write, which the engine knows how to take, and
/// not the end of the process. What is handled once stays so.
fn survive_file_size_limit() -> Result<()> {
    #[cfg(unix)]
    drop(tokio::signal::unix::signal(tokio::signal::unix::SignalKind::from_raw(SIGXFSZ))?);
    Ok(())
}
