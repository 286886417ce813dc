//! The dialects end to end: against a real server where it can be had, against a fake one where
//! there is none to be had or none would misbehave so.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test binary: it fails loudly and says what it measured"
)]

mod fake;
mod fakes;
mod faults;
mod job;
mod real;
mod server;
