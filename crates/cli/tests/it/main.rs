//! The command line as a process, with a settings file and an environment of its own, and with models:
//! a real server where it can be had.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test binary: it fails loudly and says what it skipped"
)]

/// A store, a home, and the command to run there.
mod place;
/// The real server and its faults.
#[path = "../../../provider/tests/servers/server.rs"]
mod server;

/// Compaction with a model behind a server: what lands, and what must not.
mod models;
/// The order of settings, and what is wrong with them.
mod settings;
