//! What can go wrong. Outcomes that a race or the arithmetic decides are no errors but
//! [`SkipReason`](crate::SkipReason)s.

use std::sync::Arc;

/// Result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a compaction. Nothing was written, but where the storage says that it cannot tell.
///
/// Cheap to clone, since everybody who joined a compaction gets it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The tree or its store.
    #[error(transparent)]
    Tree(Arc<treering_tree::Error>),
    /// The summarizer.
    #[error("summarizer {name}: {source}")]
    Summarizer {
        /// Its name.
        name: String,
        /// What it said.
        source: treering_provider::Error,
    },
    /// Everybody who wanted the compaction left it: nothing was written.
    #[error("compaction cancelled: nothing was written")]
    Cancelled,
    /// The task of the compaction died: a panic, or its runtime shut down.
    #[error("the task of the compaction died; whether it landed shows in the session")]
    Aborted,
}

/// What the caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// As the tree's.
    Tree(treering_tree::ErrorKind),
    /// As the provider's.
    Provider(treering_provider::ErrorKind),
    /// The caller gave up, or the runtime did.
    Cancelled,
}

impl Error {
    /// The group an error belongs to.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Tree(error) => ErrorKind::Tree(error.kind()),
            Self::Summarizer { source, .. } => ErrorKind::Provider(source.kind()),
            Self::Cancelled | Self::Aborted => ErrorKind::Cancelled,
        }
    }
}

impl From<treering_tree::Error> for Error {
    fn from(error: treering_tree::Error) -> Self {
        Self::Tree(Arc::new(error))
    }
}
