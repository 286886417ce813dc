//! The tree of an agent session.
//!
//! ```text
//!   root ── user ── assistant ── tool result ── assistant ── user ── ...   <- main, the active branch
//!                        └── user ── assistant                             <- what was rewound, kept
//! ```
//!
//! An [`Entry`] is immutable, addressed by its content, and has one parent. A branch is a name for one
//! entry; [`Store::commit`] appends entries and moves branches in one atomic, durable step. What a
//! model is given at a head, its [`Context`], is a pure function of that head's id.

pub mod context;
mod encode;
mod entry;
mod error;
mod id;
pub mod limits;
mod message;
mod place;
mod session;
mod sources;
mod store;
mod verify;

pub use context::Context;
pub use entry::{Body, Commitment, Content, Draft, Entry, Envelope, Kind, Nonce, Parent};
pub use error::{Error, ErrorKind, Result};
pub use id::{Id, Prefix};
pub use message::{
    LABEL_FORMAT, Label, MESSAGE_FORMAT, Message, Part, Role, SUMMARY_FORMAT, Summary, Usage,
};
pub use place::{Active, Cut, Measure, Number, OpenCall, Place};
pub use session::{Replay, Session};
pub use sources::Sources;
pub use store::{
    Branch, Change, Committed, Expect, HeadMove, JournalRow, MAIN, Move, Presence, Reason, Seek,
    SessionInfo, Stats, Store, Stored, Tail, To,
};
pub use verify::{Problem, Report};
