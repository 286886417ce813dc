//! The dialects end to end: against a real server where it can be had, against a fake one where
//! there is none to be had or none would misbehave so.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test binary: it fails loudly and says what it measured"
)]

mod echo;
mod fake;
mod fakes;
mod faults;
#[path = "../../../tree/tests/heard/mod.rs"]
mod heard;
mod job;
mod real;
mod secrecy;
mod server;
