//! The test kit: what the tests under this folder share.
//!
//! ```text
//!   rng --> sim_disk --> campaign --> engines    a script of changes on a disk that dies; the oracle
//!    +----> world ---------+ |                   random requests that suit a state
//!             +--> model <---+                   what a store should hold, worked out the slow way
//!                    +--> compare                a store against the model
//!   history                                       what many writers saw of one head
//!   generations                                   a session compacted again and again while it goes on
//!   command                                       the command line as a process
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::missing_errors_doc,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a kit for tests speaks by panicking and printing"
)]

#[path = "kit/campaign.rs"]
pub mod campaign;
#[path = "kit/command.rs"]
pub mod command;
#[path = "kit/compare.rs"]
pub mod compare;
#[path = "kit/engines.rs"]
pub mod engines;
#[path = "kit/generations.rs"]
pub mod generations;
#[path = "kit/history.rs"]
pub mod history;
#[path = "kit/model.rs"]
pub mod model;
#[path = "kit/model_context.rs"]
pub mod model_context;
#[path = "kit/model_erase.rs"]
pub mod model_erase;
#[path = "kit/rng.rs"]
pub mod rng;
#[path = "kit/sim_disk.rs"]
pub mod sim_disk;
#[path = "kit/world.rs"]
pub mod world;
