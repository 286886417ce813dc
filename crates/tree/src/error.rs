//! What can go wrong with a tree, grouped by what the caller can do about it. Texts are lower
//! case, carry the limit and the value found, and never the content of an entry.

use std::path::PathBuf;

use crate::id::Id;

/// Result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller can do about an error; rims map it to exit codes, HTTP status and exceptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The thing named does not exist: fix the name.
    NotFound,
    /// The request cannot be right whatever the state: fix the request.
    Invalid,
    /// The state has moved on: read it again and retry.
    Conflict,
    /// Another process owns the store: wait, or ask that process.
    Locked,
    /// Stored bytes are not what was written: stop, run `verify`, then `recover`.
    Corrupt,
    /// The file was written by another version: upgrade.
    Format,
    /// The storage refused: look at disk and permissions, reopen, retry with the same entry.
    Storage,
}

/// An error of the tree or its store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No entry, session, branch or label of that name.
    #[error("{what} {name:?} not found")]
    NotFound {
        /// "entry", "session", "branch", "label", "alias" or "undo".
        what: &'static str,
        /// What was asked for.
        name: String,
    },
    /// More than one thing starts with that prefix.
    #[error("{what} prefix {prefix:?} is ambiguous: {candidates} match; give more characters")]
    Ambiguous {
        /// "entry" or "session".
        what: &'static str,
        /// What was asked for.
        prefix: String,
        /// How many things match (counting stops at 16).
        candidates: usize,
    },
    /// The request breaks a rule of the tree.
    #[error("invalid {what}: {why}")]
    Invalid {
        /// Which part of the request.
        what: &'static str,
        /// The rule and what was found instead.
        why: String,
    },
    /// A named limit is passed.
    #[error("{what} too large: {found} is over the limit of {limit}")]
    TooLarge {
        /// What is limited, with its unit.
        what: &'static str,
        /// The limit.
        limit: u64,
        /// The value found.
        found: u64,
    },
    /// A compare-and-swap lost: the branch is not where the caller expected it.
    #[error(
        "head of {session}/{branch} moved: expected {expected}, found {}; read it again and retry",
        .actual.map_or_else(|| "no entry".to_owned(), |id| id.to_string())
    )]
    HeadMoved {
        /// Session.
        session: String,
        /// Branch.
        branch: String,
        /// What the caller expected.
        expected: String,
        /// Where the branch is.
        actual: Option<Id>,
    },
    /// A memo is not what the caller expected: somebody else wrote it.
    #[error("memo {name:?} of {session} changed; read it again and retry")]
    MemoChanged {
        /// Session.
        session: String,
        /// Memo.
        name: String,
    },
    /// A session or branch of that name is there already.
    #[error("{what} {name:?} exists already")]
    Exists {
        /// "session" or "branch".
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The alias names another entry of the same tree.
    #[error("alias {alias:?} already names entry {existing}, with other content")]
    AliasTaken {
        /// The alias.
        alias: String,
        /// The entry that holds it.
        existing: Id,
    },
    /// A compaction that no longer replaces anything: a newer one covers as much.
    #[error("compaction superseded: its first kept entry does not lie past that of {by}")]
    Superseded {
        /// The compaction on the path.
        by: Id,
    },
    /// The journal does not hold what a stamp says that it held: an older copy of the store was put back.
    #[error("the store is an older one than was stamped: {}", rolled_back(*.stamped, *.found))]
    RolledBack {
        /// Rows of the journal up to the one that was stamped.
        stamped: u64,
        /// Rows of the journal.
        found: u64,
    },
    /// The stamp is of another store, or of one that this one was recovered from.
    #[error("the stamp is of another store, or of the one that this one was recovered from")]
    OtherStore,
    /// Another process has the store open, and the two do not share it.
    #[error("{} is locked{}; close it, share the store in both, or use another one", .path.display(), holder(*.pid))]
    Locked {
        /// The store file.
        path: PathBuf,
        /// The process that holds it, where it could be told.
        pid: Option<u32>,
    },
    /// The store is encrypted and the master key is missing or another one, or it is not encrypted.
    #[error("master key: {why}")]
    Key {
        /// What is wrong with it, and what to do.
        why: &'static str,
    },
    /// Stored bytes are not what was written.
    #[error("corrupt {what}: {detail}; run `verify` to see all damage")]
    Corrupt {
        /// What is damaged: a table, an entry, a head.
        what: &'static str,
        /// How it shows.
        detail: String,
    },
    /// The file is of another format version.
    #[error("store format {found} cannot be read by this version, which reads {supported}")]
    Format {
        /// Version in the file.
        found: u32,
        /// Version this code reads.
        supported: u32,
    },
    /// The storage refused or failed: [`Error::io_kind`] tells a full disk from one that takes no writes. After
    /// a failed commit the outcome of the requests in that group is unknown: retry with the same entries.
    #[error("storage: {detail}")]
    Storage {
        /// What was being done.
        detail: String,
        /// The cause.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl Error {
    /// The group an error belongs to.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } | Self::Ambiguous { .. } => ErrorKind::NotFound,
            Self::Invalid { .. } | Self::TooLarge { .. } | Self::Key { .. } => ErrorKind::Invalid,
            Self::HeadMoved { .. }
            | Self::MemoChanged { .. }
            | Self::Exists { .. }
            | Self::AliasTaken { .. }
            | Self::Superseded { .. }
            | Self::RolledBack { .. }
            | Self::OtherStore => ErrorKind::Conflict,
            Self::Locked { .. } => ErrorKind::Locked,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Format { .. } => ErrorKind::Format,
            Self::Storage { .. } => ErrorKind::Storage,
        }
    }

    /// What the operating system said, where it was the storage: `StorageFull`, `QuotaExceeded`,
    /// `FileTooLarge`, `ReadOnlyFilesystem` and so on.
    pub fn io_kind(&self) -> Option<std::io::ErrorKind> {
        let Self::Storage { source: Some(source), .. } = self else { return None };
        source.downcast_ref::<std::io::Error>().map(std::io::Error::kind)
    }

    /// An entry that is not in the store.
    pub fn no_entry(id: &Id) -> Self {
        Self::NotFound { what: "entry", name: id.to_string() }
    }

    /// A request that breaks a rule.
    pub fn invalid(what: &'static str, why: impl Into<String>) -> Self {
        Self::Invalid { what, why: why.into() }
    }

    /// Damage found in stored bytes.
    pub fn corrupt(what: &'static str, detail: impl Into<String>) -> Self {
        Self::Corrupt { what, detail: detail.into() }
    }
}

fn rolled_back(stamped: u64, found: u64) -> String {
    match stamped.checked_sub(found) {
        Some(missing @ 1..) => format!("the last {missing} of {stamped} journal rows are missing"),
        _ => format!("row {} is another one, written since", stamped.saturating_sub(1)),
    }
}

fn holder(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" by process {pid}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_a_store_is_named_where_that_is_known() {
        let told = |pid| Error::Locked { path: "a.redb".into(), pid }.to_string();
        assert!(told(Some(7)).starts_with("a.redb is locked by process 7; "));
        assert!(told(None).starts_with("a.redb is locked; "));
    }
}
