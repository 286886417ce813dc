//! What `verify` finds.

use serde::Serialize;

/// What a whole check of a store found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Entries read and rehashed.
    pub entries: u64,
    /// Those whose bodies were erased.
    pub erased: u64,
    /// Those that `recover` knows by their id alone. No contradiction: the loss is on record.
    pub lost: u64,
    /// Sessions checked.
    pub sessions: u64,
    /// Journal rows replayed.
    pub journal_rows: u64,
    /// Every contradiction.
    pub problems: Vec<Problem>,
}

/// One contradiction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What is damaged: "entry", "place", "head", "journal", "session", "index", "counter",
    /// "store file".
    pub what: String,
    /// Its name or number.
    pub name: String,
    /// How it shows.
    pub detail: String,
}
