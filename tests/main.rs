//! Every integration test of Treering, one binary. Each line says what belongs in a module.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "the helpers of tests speak by panicking, as tests do"
)]

/// The command line: what its JSON holds, exit codes, round trips.
mod cli;
/// Power loss and failing disks, simulated.
mod crash;
/// The demo and the README's transcript of it.
mod demo;
/// The ids of the format's document, by a script in another language.
mod golden;
/// Heads under many writers.
mod heads;
/// A process that is killed.
mod kill;
/// Random histories against the plain model.
mod model;
/// Damage to a closed file.
mod rot;
/// Real sessions of other tools through the command line.
mod samples;
/// Rules of the house that no compiler checks.
mod tidy;
