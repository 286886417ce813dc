//! Every integration test of Treering, one binary. Each line says what belongs in a module.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the helpers of tests speak by panicking, as tests do"
)]

/// Random histories against the plain model.
mod model;
