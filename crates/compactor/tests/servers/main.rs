//! Compactions whose summaries a server makes, or fails to make: a real one, or one that repeats what it hears.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    reason = "a test binary: it fails loudly, and the provider's tests use more of what both share"
)]

#[path = "../../../provider/tests/servers/echo.rs"]
mod echo;
#[path = "../../../provider/tests/servers/fake.rs"]
mod fake;
#[path = "../../../tree/tests/heard/mod.rs"]
mod heard;
#[path = "../../../provider/tests/servers/job.rs"]
mod job;
mod outcomes;
mod secrecy;
#[path = "../../../provider/tests/servers/server.rs"]
mod server;
