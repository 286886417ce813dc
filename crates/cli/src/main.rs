//! The treering command line: parses, calls the engine, prints. It has no logic of its own.

mod app;
mod args;
mod defaults;
mod demo;
mod failure;
mod fold;
mod open;
mod output;
mod read;
mod resolve;

mod verbs;

use std::process::ExitCode;

use clap::Parser;

use crate::app::App;
use crate::args::Args;
use crate::failure::{Failure, Result};

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
    let mut app = App::new(&args);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(verbs::run(&mut app, args.verb))?;
    Ok(app.out.flush()?)
}
