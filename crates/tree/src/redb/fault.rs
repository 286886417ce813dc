//! The boundary to redb: its eight error types become one opaque storage error, and its panics on
//! damaged pages become `Corrupt`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, Result};

/// What is corrupt where redb itself met damage, beside entries that hash to another id.
pub(super) const STORE_FILE: &str = "store file";

/// Whether redb itself met damage.
pub(super) fn is_damage(error: &Error) -> bool {
    matches!(error, Error::Corrupt { what: STORE_FILE, .. })
}

/// Our own error, or one of redb's, before it leaves this folder.
#[derive(Debug)]
pub(super) enum Fault {
    Ours(Error),
    Redb(redb::Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

macro_rules! from_redb {
    ($($error:ident),*) => {
        $(impl From<redb::$error> for Fault {
            fn from(error: redb::$error) -> Self {
                Self::Redb(error.into())
            }
        })*
    };
}
from_redb!(
    CommitError,
    CompactionError,
    DatabaseError,
    SetDurabilityError,
    StorageError,
    TableError,
    TransactionError
);

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Ours(error) => error,
            Fault::Redb(redb::Error::Corrupted(detail)) => Self::corrupt(STORE_FILE, detail),
            Fault::Redb(redb::Error::Io(cause)) => {
                Self::Storage { detail: cause.to_string(), source: Some(Box::new(cause)) }
            }
            Fault::Redb(cause) => {
                Self::Storage { detail: cause.to_string(), source: Some(Box::new(cause)) }
            }
        }
    }
}

/// Runs a call into redb. Damaged pages make redb panic: that is damage, not a reason to die.
pub(super) fn guarded<T>(call: impl FnOnce() -> Result<T, Fault>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(outcome) => outcome.map_err(Error::from),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(Error::corrupt(STORE_FILE, format!("redb gave up: {}", text.unwrap_or_default())))
        }
    }
}
