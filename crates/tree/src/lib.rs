//! The tree of an agent session.
//!
//! ```text
//!   root -- user -- assistant -- tool result -- assistant -- user -- ...   <- main, the active branch
//!                        +-- user -- assistant                             <- what was rewound, kept
//! ```
//!
//! An [`Entry`] is immutable, addressed by its content, and has one parent. A branch is a name for one
//! entry; [`Store::commit`] appends entries and moves branches in one atomic, durable step. What a
//! model is given at a head, its [`Context`], is a pure function of that head's id.
//!
//! ```
//! # #[cfg(feature = "redb")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> treering_tree::Result<()> {
//! use std::sync::Arc;
//! use treering_tree::{Expect, Kind, Message, Options, RedbStore, Role, Session, Sources};
//!
//! let sources = Sources::system();
//! let store = Arc::new(RedbStore::in_memory(Options::new(sources.clone()))?);
//! let session = Session::new(store, "refactoring", sources);
//!
//! let ask = Message::text(Role::User, "Why does the build fail?");
//! let first = session.append(session.draft(Kind::User, ask.body()), Expect::Empty).await?;
//! let answer = Message::text(Role::Assistant, "A test reads the clock.");
//! let draft = session.draft(Kind::Assistant, answer.body()).tokens(7);
//! session.append(draft, Expect::Head(first.ids[0])).await?;
//!
//! assert_eq!(session.context().await?.items.len(), 2);
//! session.rewind(Some(first.ids[0]), Expect::Any).await?; // the answer stays, on no branch
//! session.undo().await?;
//! assert_eq!(session.replay().await?.collect().await?.len(), 2);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "redb"))]
//! # fn main() {}
//! ```

#![cfg_attr(
    not(feature = "redb"),
    allow(dead_code, reason = "the rules of the tree wait for a store that runs them")
)]

mod ancestry;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod context;
mod counted;
mod derive;
mod encode;
pub mod encrypt;
mod entry;
mod error;
#[cfg(all(feature = "conformance", feature = "redb"))]
pub mod frames;
mod id;
pub mod limits;
mod mask;
mod message;
mod place;
pub mod redact;
#[cfg(feature = "redb")]
mod redb;
mod retention;
mod session;
mod sources;
mod stamp;
mod store;
mod verify;

pub use context::Context;
pub use counted::{Counted, Counter};
#[cfg(feature = "encrypt")]
pub use encrypt::MasterKey;
pub use entry::{
    Body, Commitment, Content, Draft, Entry, Envelope, Kind, Mask, Nonce, Parent, Sealed, Whole,
};
pub use error::{Error, ErrorKind, Result};
pub use id::{Id, Prefix};
pub use message::{
    LABEL_FORMAT, Label, MESSAGE_FORMAT, Message, Part, Role, SUMMARY_FORMAT, Summary,
    TOMBSTONE_FORMAT, Tombstone, Usage,
};
pub use place::{Active, Cut, Measure, Number, OpenCall, Place};
#[cfg(feature = "redb")]
pub use redb::{
    BackendError, BackendFactory, Durability, Options, RecoverReport, RecoveredSession, RedbStore,
    RewriteReport, ScrubPass, ScrubReport, Sharing, StorageBackend,
};
pub use retention::{Pruned, Retention, prune};
pub use session::{Replay, Session};
pub use sources::Sources;
pub use stamp::Stamp;
pub use store::{
    Branch, Change, Committed, Dependants, Erased, Erasure, Expect, HeadMove, JournalRow, MAIN,
    Memo, MemoWrite, Move, Presence, Reason, Seek, SessionInfo, Stats, Store, Stored, Tail, To,
};
pub use verify::{Problem, Report};
