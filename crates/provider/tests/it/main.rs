//! The crate seen from outside, on real sessions where they are at hand.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test binary: it fails loudly and says what it measured"
)]

mod counting;
mod hybrid;
mod ledger;
mod retention;
mod rivals;
mod samples;
mod wrappers;
