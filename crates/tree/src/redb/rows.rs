//! What the rows of the tables are found by and hold. What else a row is, frames and places, is told by
//! `encode/frame.rs` and [`place_row`](super::place_row).

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::roll::Tail;
use crate::encode;
use crate::error::{Error, Result};
use crate::id::Id;
use crate::place::Number;

/// Version of all tables and rows; a store of another one is refused.
pub(super) const FORMAT: u32 = 4;

pub(super) const IDENTITY_KEY: &[u8] = b"store";
pub(super) const SCRUB_KEY: &[u8] = b"scrub";
/// The wrapped secret of an encrypted store.
pub(super) const MASTER_KEY: &[u8] = b"master";
/// Begins the keys of sessions' wrapped keys; their number follows, big-endian.
const SESSION_KEYS: &[u8] = b"key";
/// All that changes with an append shares one table, and in a small store one page: the counters under
/// the empty key, then each session's row followed by its branches and memos.
pub(super) const COUNTERS_KEY: &[u8] = b"";

/// Comes after every branch's name: no UTF-8 text begins with it.
const MEMO_MARK: &[u8] = &[0xff];

/// What a store is, written once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Identity {
    /// [`FORMAT`].
    pub(super) format: u32,
    /// Random: tells this store from every other.
    pub(super) epoch: [u8; 16],
    /// Random: the key of imported entries' nonces. All zero where the store is encrypted, and the secret
    /// wrapped in a row of its own.
    #[serde(with = "encode::bytes32")]
    pub(super) secret: [u8; 32],
    /// When it was made, milliseconds since 1970 UTC.
    pub(super) created_ms: i64,
}

/// Counts that change with every commit, so that what vanishes is noticed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counters {
    pub(super) entries: u64,
    pub(super) sessions: u64,
    pub(super) journal_rows: u64,
    pub(super) stored_bytes: u64,
    /// Entries below this number are in the merged index.
    pub(super) indexed: u64,
    /// The generation of the log's records that follow this state.
    pub(super) log: u64,
    /// How many of that generation this state holds already: redb may save itself at any time.
    pub(super) logged: u64,
}

impl Counters {
    /// Once redb itself saves this state, no record of the log has anything to add.
    pub(super) fn pass_log(&mut self) {
        (self.log, self.logged) = (self.log + 1, 0);
    }
}

/// Bytes that counters take at most.
pub(super) const COUNTERS_BYTES: usize = 128;

/// The row of the counters: they, and what no row of its own holds yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) counters: Counters,
    pub(super) places: Tail,
    pub(super) journal: Tail,
}

/// How far the scrub has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Scrubbed {
    /// The entry to go on with.
    pub(super) next: Number,
    /// When the present pass began, milliseconds since 1970 UTC.
    pub(super) began_ms: i64,
    /// When the newest whole pass began: no entry was read last before that.
    pub(super) since_ms: Option<i64>,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SessionRow {
    pub(super) number: u64,
    pub(super) name: String,
    pub(super) tree: u64,
    /// The active branch, which has no row of its own.
    pub(super) active: String,
    /// Whether it is there.
    pub(super) has_active: bool,
    /// Its head.
    pub(super) head: Option<Number>,
    /// How many branches there are, the active one included.
    pub(super) branches: u64,
    pub(super) entries: u64,
    pub(super) first_entry: Option<Number>,
    pub(super) last_entry: Option<Number>,
    pub(super) last_journal: u64,
    /// Hash over all its journal rows.
    #[serde(with = "encode::bytes32")]
    pub(super) journal_root: [u8; 32],
    pub(super) created_ms: i64,
    pub(super) changed_ms: i64,
    /// Number of the key that what it appends is sealed under, in an encrypted store.
    pub(super) key: Option<u64>,
}

impl SessionRow {
    /// A session without any branch, entry or key.
    pub(super) fn new(number: u64, name: &str, tree: u64, active: &str, created_ms: i64) -> Self {
        Self {
            number,
            name: name.to_owned(),
            tree,
            active: active.to_owned(),
            has_active: false,
            head: None,
            branches: 0,
            entries: 0,
            first_entry: None,
            last_entry: None,
            last_journal: 0,
            journal_root: [0; 32],
            created_ms,
            changed_ms: created_ms,
            key: None,
        }
    }
}

pub(super) fn sealing_key(number: u64) -> Vec<u8> {
    [SESSION_KEYS, &number.to_be_bytes()].concat()
}

/// The number in a key of a session's wrapped key, if it is one.
pub(super) fn sealing_number(key: &[u8]) -> Option<u64> {
    let number = key.strip_prefix(SESSION_KEYS)?;
    number.try_into().ok().map(u64::from_be_bytes)
}

/// Where the wrapped key of a number is.
pub(super) trait KeyRows {
    /// Empty where the key was forgotten, `None` where there never was one.
    fn key_row(&self, number: u64) -> Result<Option<Vec<u8>>, Fault>;
}

/// Key of a session's row: its number, big-endian.
pub(super) fn session_key(session: u64) -> [u8; 8] {
    session.to_be_bytes()
}

/// Key of a branch: its session's key, then its name.
pub(super) fn head_key(session: u64, branch: &str) -> Vec<u8> {
    [&session.to_be_bytes(), branch.as_bytes()].concat()
}

/// Key of a memo: its session's key, a byte that begins no branch's name, then its own.
pub(super) fn memo_key(session: u64, name: &str) -> Vec<u8> {
    [&session_key(session), MEMO_MARK, name.as_bytes()].concat()
}

/// A key of an index: short hash, then the lower five bytes of the entry number, which last for a million
/// million entries; big-endian, so that order is order.
pub(super) type IndexKey = [u8; 8 + NUMBER_BYTES];
const NUMBER_BYTES: usize = 5;

pub(super) fn index_key(hash: u64, number: Number) -> IndexKey {
    let mut key = IndexKey::default();
    key[..8].copy_from_slice(&hash.to_be_bytes());
    key[8..].copy_from_slice(&number.to_be_bytes()[8 - NUMBER_BYTES..]);
    key
}

/// The first eight bytes of an id, as the index sorts them.
pub(super) fn id_hash(id: &Id) -> u64 {
    u64::from_be_bytes(encode::mark(id))
}

pub(super) fn number_in(key: &IndexKey) -> Number {
    let mut number = [0; 8];
    number[8 - NUMBER_BYTES..].copy_from_slice(&key[8..]);
    Number::from_be_bytes(number)
}

/// A head as stored: eight bytes, or none where the branch has no entry.
pub(super) fn head_value(head: Option<Number>) -> Vec<u8> {
    head.map(|number| number.to_be_bytes().to_vec()).unwrap_or_default()
}

pub(super) fn read_head(bytes: &[u8]) -> Result<Option<Number>> {
    match <[u8; 8]>::try_from(bytes) {
        Ok(bytes) => Ok(Some(Number::from_be_bytes(bytes))),
        Err(_) if bytes.is_empty() => Ok(None),
        Err(_) => Err(Error::corrupt("head", format!("{} bytes long", bytes.len()))),
    }
}
