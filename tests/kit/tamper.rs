//! Changes rows in the file of a store behind the engine's back.

use std::path::Path;

use redb::Database;

/// Bytes before the log; `docs/format.md`, section 3.
const FIRST_PAGE_BYTES: u64 = 4_096;

/// Changes the database in the file of a closed store. It begins where the first page says that the log
/// ends.
pub fn tamper(store: &Path, change: impl FnOnce(&Database)) {
    let bytes = std::fs::read(store).unwrap();
    let log_bytes = u64::from_le_bytes(bytes[12..20].try_into().unwrap());
    let (before, database) = bytes.split_at(usize::try_from(FIRST_PAGE_BYTES + log_bytes).unwrap());
    let copy = store.with_extension("copy");
    std::fs::write(&copy, database).unwrap();
    change(&Database::open(&copy).unwrap());
    std::fs::write(store, [before, &std::fs::read(&copy).unwrap()].concat()).unwrap();
}
