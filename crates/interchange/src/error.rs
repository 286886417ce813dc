//! What can go wrong between files and entries. Damage inside a file is never an error: it is a
//! [`Repair`](crate::Repair) of the report.

use std::path::{Path, PathBuf};

use treering_tree::{ErrorKind, Id};

/// Result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of reading foreign files or writing them back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing is there, or nothing matches.
    #[error("{} not found; give a file, a folder or a glob", .path.display())]
    NotFound {
        /// What was asked for.
        path: PathBuf,
    },
    /// No format recognizes the file.
    #[error("{}: line 1: expected a session of {expected}, found something else; force one with a format name", .path.display())]
    Unrecognized {
        /// The file.
        path: PathBuf,
        /// The formats that were tried.
        expected: String,
    },
    /// A database of a known tool cannot be read.
    #[error("{}: {why}", .path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do about it where there is something.
        why: String,
    },
    /// No format has that name.
    #[error("unknown format {name:?}; expected one of {known}")]
    UnknownFormat {
        /// What was asked for.
        name: String,
        /// The formats there are.
        known: String,
    },
    /// A session holds nothing that came from a file.
    #[error(
        "session {session:?} did not come from a file, so it has no format of origin to export to"
    )]
    NoOrigin {
        /// The session.
        session: String,
    },
    /// A bundle is not what it says it is.
    #[error("bundle: line {line}: {why}")]
    Bundle {
        /// The line, from 1.
        line: u64,
        /// What was expected and what was found.
        why: String,
    },
    /// An alias of a bundle names another entry of the session's tree.
    #[error(
        "bundle: line {line}: alias {alias:?} names entry {existing} already, with other content; take the bundle in \
         as a session of another name and, where it holds both, a bundle of the session that has that entry before it"
    )]
    AliasTaken {
        /// The line, from 1.
        line: u64,
        /// The alias.
        alias: String,
        /// The entry that holds it.
        existing: Id,
    },
    /// An entry cannot be part of a bundle.
    #[error("entry {entry}: {why}; it cannot be put into a bundle")]
    Unbundled {
        /// The entry.
        entry: String,
        /// Why not.
        why: &'static str,
    },
    /// A named limit is passed.
    #[error("{what}: found {found}, over the limit of {limit}")]
    TooLarge {
        /// What is limited.
        what: &'static str,
        /// The limit.
        limit: u64,
        /// The value found.
        found: u64,
    },
    /// A file or folder could not be read or written.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The store refused.
    #[error("session {session:?}: {source}")]
    Tree {
        /// The session.
        session: String,
        /// The cause.
        source: Box<treering_tree::Error>,
    },
}

impl Error {
    /// The group an error belongs to.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Unrecognized { .. } | Self::Database { .. } => ErrorKind::Format,
            Self::UnknownFormat { .. }
            | Self::NoOrigin { .. }
            | Self::Bundle { .. }
            | Self::Unbundled { .. }
            | Self::TooLarge { .. } => ErrorKind::Invalid,
            Self::AliasTaken { .. } => ErrorKind::Conflict,
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                ErrorKind::NotFound
            }
            Self::Io { .. } => ErrorKind::Storage,
            Self::Tree { source, .. } => source.kind(),
        }
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn tree(session: &str) -> impl FnOnce(treering_tree::Error) -> Self {
        move |source| Self::Tree { session: session.to_owned(), source: Box::new(source) }
    }
}
