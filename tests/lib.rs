//! The test kit: what the tests under this folder share.
//!
//! ```text
//!   image                                         a disk's bytes, of which copies are cheap
//!     v
//!   rng --> sim_disk --> campaign --> engines    a script of changes on a disk that dies; the oracle
//!    |        +-- processes                       several processes on that disk, killed alone
//!    +----> world ---------+ |                   random requests that suit a state
//!             +--> model <---+                   what a store should hold, worked out the slow way
//!                    +--> compare                a store against the model
//!                           +--> sequences       random histories of it
//!   profile                                       how much of each kind runs
//!   both                                          handles of one store, in turn
//!   history                                       what many writers saw of one head
//!   generations                                   a session compacted again and again while it goes on
//!   command                                       the command line as a process
//!   tamper                                        rows changed behind the engine's back
//!   arguments                                     the command line in this process, given anything
//!   corpus --> mutate --> barrage --> hostile     damaged files, and what is true of any bytes
//!                           bombs ------+         files made to break readers
//!                             +--> bombing        what one of them costs a process
//!                                     decoders    the same of what is no foreign file
//!   patched                                       a store's file with bytes changed, and all one may do with it
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

#[path = "kit/arguments.rs"]
pub mod arguments;
#[path = "kit/barrage.rs"]
pub mod barrage;
#[path = "kit/bombing.rs"]
pub mod bombing;
#[path = "kit/bombs.rs"]
pub mod bombs;
#[path = "kit/both.rs"]
pub mod both;
#[path = "kit/campaign.rs"]
pub mod campaign;
#[path = "kit/command.rs"]
pub mod command;
#[path = "kit/compare.rs"]
pub mod compare;
#[path = "kit/corpus.rs"]
pub mod corpus;
#[path = "kit/decoders.rs"]
pub mod decoders;
#[path = "kit/engines.rs"]
pub mod engines;
#[path = "kit/generations.rs"]
pub mod generations;
#[path = "kit/history.rs"]
pub mod history;
#[path = "kit/hostile.rs"]
pub mod hostile;
#[path = "kit/image.rs"]
pub mod image;
#[path = "kit/model.rs"]
pub mod model;
#[path = "kit/model_context.rs"]
pub mod model_context;
#[path = "kit/model_erase.rs"]
pub mod model_erase;
#[path = "kit/mutate.rs"]
pub mod mutate;
#[path = "kit/patched.rs"]
pub mod patched;
#[path = "kit/processes.rs"]
pub mod processes;
#[path = "kit/profile.rs"]
pub mod profile;
#[path = "kit/rng.rs"]
pub mod rng;
#[path = "kit/sequences.rs"]
pub mod sequences;
#[path = "kit/sim_disk.rs"]
pub mod sim_disk;
#[path = "kit/tamper.rs"]
pub mod tamper;
#[path = "kit/world.rs"]
pub mod world;
