//! Foreign files through the public interface: in, looked at, out again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed expectation is a failed test, and tables are printed for people"
)]

/// What every test needs: a store, ways in and out, the path of a branch.
mod kit;

/// Sessions on their way from one store to another.
mod bundle;
/// One small Claude Code file per thing that is not as the format says.
mod claude_code;
/// What the tools of the smaller formats show.
mod conversations;
/// Sessions that are rows of a database.
#[cfg(feature = "sqlite")]
mod databases;
/// What makes foreign tools fail, found and mended.
mod doctor;
mod erased;
/// Sessions that are folders of many small files.
mod folders;
/// Files that are followed while they grow.
mod follow;
/// goose's older files.
mod goose;
/// Files that change between two loads.
mod growth;
/// Sessions of more files than one change may move branches for.
mod many_files;
/// Bodies read as messages.
mod messages;
/// Names that the store cannot take as they are, or twice.
mod names;
/// One small pi file per thing that is not as the format says.
mod pi;
/// One small file of the smaller formats per rule.
mod quirks;
/// Contexts and paths rendered for other tools.
mod render;
/// Every sample, against what is written down about it and what its tool would show.
mod samples;
/// What providers publish about their arrays.
mod validators;
