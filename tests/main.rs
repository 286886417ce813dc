//! Every integration test of Treering, one binary. Each line says what belongs in a module.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "the helpers of tests speak by panicking, as tests do"
)]

/// Any arguments, settings and variables.
mod arguments;
/// What was said, in what is told of it.
mod canaries;
/// The command line: what its JSON holds, exit codes, round trips.
mod cli;
/// Tool calls and their results in every context.
mod closure;
/// What a compaction does to what was visible.
mod coverage;
/// Power loss and failing disks, simulated.
mod crash;
/// A disk that takes no more writes.
mod degraded;
/// The demo and the README's transcript of it.
mod demo;
/// What each durability mode promises after a crash.
mod durability;
/// Erasing at the command line, to the last byte; the scan for secrets.
mod erase;
/// The text and the kind of every error.
mod errors;
/// The store's file in a real folder: two processes, what is no store, full disks.
mod files;
/// What existing tools get wrong in compaction.
mod flaws;
/// A store whose queue is full.
mod full;
/// Five compactions in a row.
mod generations;
/// The ids of the format's document, by a script in another language.
mod golden;
/// Heads under many writers.
mod heads;
/// Random histories with compactions in them: coverage, closure and prefix at every step.
mod histories;
/// Mutated files, bombs, and what fuzzers begin with.
mod hostile;
/// Every order of steps around a slow summarizer.
mod interleave;
/// A process that is killed.
mod kill;
/// Random histories against the plain model.
mod model;
/// What is told when heads move: differences, branches that were left, compactions so far.
mod moves;
/// What stays the same at the beginning of a context.
mod prefix;
/// Retention.
mod prune;
/// A file that is made anew, killed.
mod remake;
/// Damage to a closed file.
mod rot;
/// Real sessions of other tools through the command line.
mod samples;
/// Every schedule of the core of group commit.
mod schedules;
/// An encrypted store at the command line.
mod sealed;
/// Several processes on one store.
mod sharing;
/// Rules of the house that no compiler checks.
mod tidy;
/// Sessions into a store and out again at the command line: standard input, growing files, bundles.
mod transfer;
/// The verbs that look after a store, and the doctor, as processes.
mod verbs;
/// What contradicts itself in a store, planted row by row.
mod verify;
/// A compaction among writers.
mod writers;
