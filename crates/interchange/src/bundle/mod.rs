//! Bundles: a session as JSON lines, on its way from one store to another. Entries stand in the order
//! they were appended, parents before children; every id is recomputed on the way in.
//!
//! ```text
//! {"bundle":{"version":1,"session":"s","active":"main"}}
//! {"entry":{"id":"..","kind":2,"parent":null,"at_ms":0,"nonce":"..","format":"..","text":"..","tokens":3}}
//! {"head":{"branch":"main","id":".."}}
//! {"end":{"entries":1,"heads":1}}
//! ```
//!
//! A branch that is bound to no entry has `"id":null`. An entry whose body was erased has
//! `"erased":COMMITMENT` in the place of nonce, format and body: its id still verifies. Memos
//! and the journal stay behind: they are of a store, not of a history.

mod line;
mod read;
#[cfg(feature = "zstd")]
mod squeeze;
mod write;

use serde::Serialize;

pub use self::read::import_bundle;
pub use self::write::export_bundle;
#[cfg(feature = "zstd")]
pub use self::write::export_bundle_zstd;

/// How to take a bundle in.
#[derive(Clone, Copy, Debug, Default)]
pub struct BundleOptions<'a> {
    /// The session it goes to; `None` for the one it names.
    pub session: Option<&'a str>,
    /// The time the journal gives, milliseconds since 1970 UTC.
    pub at_ms: i64,
}

/// What a bundle held and what was done with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BundleReport {
    /// Name of the session.
    pub session: String,
    /// Entries in it.
    pub entries: u64,
    /// How many of them were not in the store yet; 0 on the way out.
    pub added: u64,
    /// Branches in it.
    pub heads: u64,
    /// Branches that were moved or made.
    pub moved: Vec<String>,
    /// Branches that the store has elsewhere, neither before nor behind: they stay where they are.
    pub diverged: Vec<String>,
}
