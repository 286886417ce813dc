//! Compaction: the older part of a context becomes a summary, behind everything that is appended
//! meanwhile, or nothing happens.
//!
//! ```text
//!   measure --> plan --> summarize (nothing is locked, appends go on) --> land
//!    O(1)       pure     minutes, perhaps                                 one compare-and-swap append
//! ```
//!
//! What is written is one entry at the present head; nothing is rewritten, moved or removed. A summary
//! that cannot land leaves no trace. What it never does: cover what it did not summarize, part a
//! tool call from its result, take an outcome for an error.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use treering_compactor::{Compactor, RunOptions, counted};
//! use treering_policy::Policy;
//! use treering_provider::{ByteClasses, Scripted};
//! use treering_tree::{Expect, Kind, Message, Options, RedbStore, Role, Session, Sources};
//!
//! let sources = Sources::fixed(1);
//! let store = Arc::new(RedbStore::in_memory(Options::new(sources.clone()))?);
//! let session = Session::new(store, "work", sources);
//! let counter = Arc::new(ByteClasses::default());
//! for turn in 0..10 {
//!     let text = format!("step {turn}: {}", "look at the parser ".repeat(21));
//!     let draft = session.draft(Kind::User, Message::text(Role::User, text).body());
//!     session.append(counted(&*counter, draft), Expect::Any).await?;
//! }
//! let summarizer = Arc::new(Scripted::new([Ok("The parser was looked at.".to_owned())]));
//! let compactor = Compactor::new(counter, summarizer);
//! let policy = Policy { window: 1_000, reserve: Some(200), ..Policy::default() };
//! let done = compactor.run(&session, &policy, &RunOptions::default()).await?;
//! assert_eq!(done.summarized_count, 4);
//! assert!(done.tokens_after < done.tokens_before);
//! # Ok(()) }
//! ```

mod count;
mod coverage;
mod error;
mod event;
mod flight;
mod gather;
mod gauge;
#[cfg(test)]
mod kit;
mod land;
mod lease;
mod leave;
mod look;
mod recall;
mod recount;
mod remembered;
mod run;
mod watch;
mod work;

pub use count::{counted, draft_tokens};
pub use coverage::{Coverage, coverage};
pub use error::{Error, ErrorKind, Result};
pub use event::{Event, Events, Happened};
pub use flight::{Handle, OnDrop, Progress};
pub use lease::Lease;
pub use leave::BranchSummary;
pub use recall::{RecallTool, recall};
pub use run::{CompactionResult, Compactor, RunOptions};
pub use treering_policy::SkipReason;
pub use watch::{Fit, Look, Status, Watch};

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
