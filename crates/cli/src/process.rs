//! The command line as a process of its own.

use std::io;
use std::process::ExitCode;

use crate::failure::Failure;
use crate::surroundings::Surroundings;

/// "File size limit exceeded", the same number on Linux, macOS and the BSDs.
#[cfg(unix)]
const SIGXFSZ: i32 = 25;

/// Runs what this process was called with.
pub fn process() -> ExitCode {
    hush_redb();
    let surroundings = Surroundings::of_process();
    let err = surroundings.err.clone();
    let ran = runtime().and_then(|runtime| {
        runtime.block_on(async {
            survive_file_size_limit()?;
            Ok(crate::run(surroundings).await)
        })
    });
    ExitCode::from(ran.unwrap_or_else(|error| crate::told(&Failure::from(error), false, &err)))
}

/// redb panics over damaged pages. The engine takes that as damage, which is told as every other error is.
fn hush_redb() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.location().is_some_and(|at| at.file().contains("redb-")) {
            usual(info);
        }
    }));
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// A file at its size limit is to be an error of the write, which the engine knows how to take, and
/// not the end of the process. What is handled once stays so.
fn survive_file_size_limit() -> io::Result<()> {
    #[cfg(unix)]
    drop(tokio::signal::unix::signal(tokio::signal::unix::SignalKind::from_raw(SIGXFSZ))?);
    Ok(())
}
