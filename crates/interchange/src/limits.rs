//! Every limit of interchange, named, in one place.

// What is taken in: each has a row in the table of `docs/reliability.md`.

/// Bytes of one line with its end; a longer one is kept in parts of this size.
pub(crate) const LINE_BYTES: usize = 64 << 20;
/// Levels of lists and objects in a record that is read; a deeper one is kept unread. Half of what
/// parsers commonly take, so that what is rendered around a value stays readable too.
pub(crate) const JSON_DEPTH: usize = 64;
/// Members and elements in a record that is read; one with more is kept unread. Each takes some
/// 100 bytes of memory however few it has in the file.
pub(crate) const JSON_VALUES: usize = 250_000;
/// Bytes of one line of a bundle: a body at twice its size, and the envelope around it.
pub(crate) const BUNDLE_LINE_BYTES: u64 = (128 << 20) + (1 << 20);
/// Branches that one bundle may bind.
pub(crate) const BUNDLE_BRANCHES: usize = 100_000;
/// Leaves of one session that get a branch each.
pub(crate) const BRANCHES: usize = 9_000;
/// Tool calls that may be open at one point of an imported path.
pub(crate) const OPEN_CALLS: u32 = 256;
/// Repairs listed for one session; the rest is counted.
pub(crate) const REPAIRS: usize = 10_000;
/// Files one call may load.
pub(crate) const FILES: usize = 1_000_000;
/// Folders inside folders.
pub(crate) const FOLDER_DEPTH: usize = 32;
/// Sessions that may claim the same name.
pub(crate) const NAMESAKES: usize = 100;

// What a database, or a compressed bundle, may cost.

/// Bytes of a database that is read.
#[cfg(feature = "sqlite")]
pub(crate) const DATABASE_BYTES: u64 = 64 << 30;
/// Bytes of one value of a database.
#[cfg(feature = "sqlite")]
pub(crate) const VALUE_BYTES: i32 = 128 << 20;
/// Bytes that the rows of a database may take as JSON, for each byte of it; beside those of one value.
#[cfg(feature = "sqlite")]
pub(crate) const ROW_BYTES_PER_BYTE: u64 = 16;
/// Steps that reading a database may take, for each byte of it; beside as many for a hundred MiB.
#[cfg(feature = "sqlite")]
pub(crate) const STEPS_PER_BYTE: u64 = 64;
/// Times a database is copied while its tool writes to it.
#[cfg(feature = "sqlite")]
pub(crate) const COPIES: u32 = 5;
/// Bytes that a compressed bundle may refer back to.
#[cfg(feature = "zstd")]
pub(crate) const WINDOW_BYTES: u64 = 32 << 20;

// How far is looked: nothing is lost or refused past these.

/// Bytes of a file that decide its format and session.
pub(crate) const HEAD_BYTES: usize = 1 << 20;
/// Lines of a file's head that decide its format and session.
pub(crate) const HEAD_LINES: usize = 200;
/// Places of a damaged line where a record is looked for.
pub(crate) const SPLIT_ATTEMPTS: usize = 32;
/// Entries looked at to find where a late tool result belongs.
pub(crate) const LATE_STEPS: usize = 64;
/// Characters of a foreign id that a repair quotes.
pub(crate) const QUOTED_CHARS: usize = 64;

// How much at once.

/// Bytes read from a file at once.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;
/// Entries in one change of an import.
pub(crate) const BATCH_ENTRIES: usize = 4_000;
/// Bytes of bodies in one change of an import, give or take one line.
pub(crate) const BATCH_BYTES: usize = 8 << 20;
/// Branches that one change of an import moves.
pub(crate) const BATCH_MOVES: usize = 4_000;
/// Changes of an import that the store may have at once: one is written, one waits for that.
pub(crate) const BATCHES_UNDERWAY: usize = 1;
/// Entries that the store has not answered yet: those, one change more, and what gathers for the next.
pub(crate) const UNANSWERED_ENTRIES: usize = (BATCHES_UNDERWAY + 2) * BATCH_ENTRIES;
/// Rows of an index that are allocated at once.
pub(crate) const ROWS_AT_ONCE: usize = 4_096;
/// Stored entries fetched at once.
pub(crate) const PAGE: usize = 128;
/// Bytes of a bundle that are compressed as one frame, give or take one line.
#[cfg(feature = "zstd")]
pub(crate) const FRAME_BYTES: usize = 4 << 20;
/// Bytes between two tellings of progress.
pub(crate) const PROGRESS_BYTES: u64 = 1 << 20;
