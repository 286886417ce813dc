//! Compactions whose summaries a real server makes, or fails to make.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    reason = "a test binary: it fails loudly, and the provider's tests use more of what both share"
)]

#[path = "../../../provider/tests/servers/job.rs"]
mod job;
mod outcomes;
#[path = "../../../provider/tests/servers/server.rs"]
mod server;
