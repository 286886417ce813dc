//! The seam behind which storage varies: ten or so operations, each shaped so that one call
//! does a whole job. Sugar for people lives in [`Session`](crate::Session).

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::entry::{Body, Draft, Entry, Nonce};
use crate::error::Result;
use crate::id::{Id, Prefix};
use crate::place::{Cut, Measure, Number, Place};
use crate::verify::Report;

/// Name of the branch a session starts with.
pub const MAIN: &str = "main";

/// Where sessions, branches and entries live.
///
/// # Contract
///
/// * **One way in.** [`commit`](Store::commit) is the only operation that changes anything, but for
///   [`erase`](Store::erase), which takes bodies away. Its entries, moves and journal row become
///   visible and durable together or not at all; when it returns `Ok` they survive a crash.
/// * **Compare-and-swap.** Of several changes with the same expectation exactly one succeeds; the
///   others get [`Error::HeadMoved`](crate::Error::HeadMoved) with the actual head and write
///   nothing.
/// * **Retry.** A change whose entries are all in the store already, first appended in the same
///   session, is a retry: it answers with the ids, moves nothing, and ignores its expectations. An
///   entry whose alias is there with the same content (time and nonce aside) counts as that entry.
/// * **Immutability.** An entry that was read once reads the same for ever, until it is erased; an
///   id that does not match its content is never returned.
/// * **Snapshots.** Each read sees one state, at least as new as every commit that returned before
///   the read began. Reads do not wait for writes, but to see what was answered before.
/// * **Cost.** `h` is the length of a path, `n` the number of entries in the store: `measure` and
///   `seek` are O(log n) per answer, `preview` is O(pins * log n), `tail` and `context` are O(kept),
///   `path` is O(log h + slice), `commit` is O(entries of the change * log n). Nothing is O(h) or O(n)
///   but `scan` to its end and `verify`.
/// * **Cancellation.** Dropping the future of a commit that was accepted does not undo it.
#[async_trait]
pub trait Store: Debug + Send + Sync {
    /// Appends entries and moves branches in one atomic, durable step.
    ///
    /// # Errors
    /// `Invalid` for what breaks a rule or a limit, `NotFound` for an unknown parent, target or
    /// session, `Conflict` for a lost swap, a taken alias or a superseded compaction, `Storage` when
    /// the outcome is unknown.
    async fn commit(&self, change: Change) -> Result<Committed>;

    /// Replaces bodies and nonces by their commitments, all or none, and appends a tombstone for each to
    /// the active branch of a session in the same step. Ids, envelopes, ancestry, places and sizes in
    /// tokens stay and verify; from then on nothing reads the bodies, also not from memory. What is
    /// erased already is passed over, so a retry is a no-op. The bytes may stay in free pages until the
    /// store is rewritten. O(n), for the dependants.
    ///
    /// # Errors
    /// `NotFound` for an unknown entry or session, `Invalid` for a tombstone, or an entry that is lost
    /// or damaged, `Storage` when the outcome is unknown.
    async fn erase(&self, erasure: Erasure) -> Result<Erased>;

    /// The session of that name. Errors: `NotFound`.
    async fn session(&self, name: &str) -> Result<SessionInfo>;

    /// Up to `limit` sessions with names after `after`, in order of name.
    async fn sessions(&self, after: Option<&str>, limit: usize) -> Result<Vec<SessionInfo>>;

    /// Up to `limit` branches of a session with names after `after`, in order of name.
    async fn branches(
        &self,
        session: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Branch>>;

    /// The entries of these ids, in their order; `None` for those that are not in the store.
    async fn entries(&self, ids: &[Id]) -> Result<Vec<Option<Stored>>>;

    /// Ids that start with a prefix, in order, at most `limit`.
    async fn with_prefix(&self, prefix: Prefix, limit: usize) -> Result<Vec<Id>>;

    /// The entry that carries an alias in the tree of a session.
    async fn with_alias(&self, session: &str, alias: &str) -> Result<Option<Id>>;

    /// Size of the context at `head`, from what is carried along its path.
    async fn measure(&self, head: Id) -> Result<Measure>;

    /// Ancestors-or-self of `of` by property, one answer for each question.
    async fn seek(&self, of: Id, questions: &[Seek]) -> Result<Vec<Option<Place>>>;

    /// Part of the path to `head`: the entries of depth `depths.start` up to, not including,
    /// `depths.end`, root side first. At most [`limits::PAGE`](crate::limits::PAGE) of them.
    async fn path(&self, head: Id, depths: std::ops::Range<u64>) -> Result<Vec<Stored>>;

    /// The same without entries: places only.
    async fn places(&self, head: Id, depths: std::ops::Range<u64>) -> Result<Vec<Place>>;

    /// What a compaction under `head` that keeps from `first_kept` on (nothing where `None`) would
    /// do to the context. Refused as its commit would be.
    async fn preview(&self, head: Id, first_kept: Option<Id>) -> Result<Cut>;

    /// The memo of that name of a session.
    async fn memo(&self, session: &str, name: &str) -> Result<Memo>;

    /// Everything the context at `head` is made of.
    async fn tail(&self, head: Id) -> Result<Tail>;

    /// What a model is given at `head`: [`Context::of`] its measure and tail. A store may keep what it
    /// made, for a context depends on its head alone, and make that of a child from it in O(1).
    async fn context(&self, head: Id) -> Result<Context> {
        let measure = self.measure(head).await?;
        Ok(Context::of(&measure, self.tail(head).await?))
    }

    /// Up to `limit` entries that were first appended in `session` (all sessions where `None`)
    /// with numbers from `from` on, in append order.
    async fn scan(&self, session: Option<&str>, from: Number, limit: usize) -> Result<Vec<Stored>>;

    /// Up to `limit` journal rows with numbers from `from` on.
    async fn journal(&self, from: u64, limit: usize) -> Result<Vec<JournalRow>>;

    /// Recomputes everything that can be recomputed and reports every contradiction. O(n).
    async fn verify(&self) -> Result<Report>;

    /// Counts and sizes.
    async fn stats(&self) -> Result<Stats>;

    /// The nonce of an imported record: the same for the same identity in this store, and not
    /// guessable outside it.
    fn nonce_for(&self, identity: &[&[u8]]) -> Nonce;

    /// The body that is written in the place of this one where the store redacts it; `None` where it is written
    /// as it is. Who names new entries in later changes asks first, and so knows their ids.
    fn redacts(&self, _body: &Body) -> Option<Body> {
        None
    }
}

/// An entry and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// What is carried along its path.
    pub place: Arc<Place>,
    /// The entry.
    pub entry: Arc<Entry>,
}

/// One atomic step: entries to append, in order, and branches to move after that.
#[derive(Clone, Debug)]
pub struct Change {
    /// Session it belongs to.
    pub session: String,
    /// Whether the session must exist.
    pub presence: Presence,
    /// What to append.
    pub entries: Vec<Draft>,
    /// Which branches to move, each once.
    pub moves: Vec<Move>,
    /// The branch to make active, if another than the one that is.
    pub activate: Option<String>,
    /// Which memos to write.
    pub memos: Vec<MemoWrite>,
    /// Why, for the journal.
    pub reason: Reason,
    /// When, for the journal: milliseconds since 1970 UTC.
    pub at_ms: i64,
}

impl Change {
    /// A change of nothing yet, in a session that may be new.
    pub fn new(session: impl Into<String>, reason: Reason, at_ms: i64) -> Self {
        Self {
            session: session.into(),
            presence: Presence::Any,
            entries: Vec::new(),
            moves: Vec::new(),
            activate: None,
            memos: Vec::new(),
            reason,
            at_ms,
        }
    }
}

/// Which bodies to erase, and what their tombstones say.
#[derive(Clone, PartialEq, Eq)]
pub struct Erasure {
    /// The session whose active branch gets the tombstones.
    pub session: String,
    /// The entries, at most [`limits::ENTRIES_PER_CHANGE`](crate::limits::ENTRIES_PER_CHANGE).
    pub entries: Vec<Id>,
    /// Who erases them.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When, milliseconds since 1970 UTC.
    pub at_ms: i64,
}

impl Debug for Erasure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Erasure({} entries)", self.entries.len())
    }
}

/// What was erased, and what may still tell of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// The entries that lost their bodies now, and not before.
    pub erased: Vec<Id>,
    /// Their tombstones.
    pub tombstones: Vec<Id>,
    /// Number of the journal row; `None` where nothing was left to erase.
    pub journal: Option<u64>,
    /// What depends on any of the entries asked for.
    pub dependants: Dependants,
}

/// What may still tell of erased bodies. Whether it does, only reading it shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Dependants {
    /// Compactions that cover one of the entries, and branch summaries of a path that holds one.
    pub summaries: Vec<Id>,
    /// Records about one of the entries that have a body, such as labels.
    pub labels: Vec<Id>,
    /// Session and branch of every path that holds one.
    pub branches: Vec<(String, String)>,
}

/// A small value beside the tree of a session, under a name: leases, breakers, calibrations. It is
/// no history: nothing refers to it, it is not in the journal, and a write replaces it.
#[derive(Clone, PartialEq, Eq)]
pub struct MemoWrite {
    /// Its name.
    pub name: String,
    /// What it must be for the whole change to go through; `None` expects anything.
    pub expect: Option<Memo>,
    /// What it becomes; `None` takes it away.
    pub value: Memo,
}

/// The value of a memo, at most [`limits::MEMO_BYTES`](crate::limits::MEMO_BYTES); `None` where it is
/// not there.
pub type Memo = Option<Vec<u8>>;

impl Debug for MemoWrite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MemoWrite({}, {} bytes)", self.name, self.value.as_ref().map_or(0, Vec::len))
    }
}

/// Whether a change expects its session to exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Create it if it does not.
    Any,
    /// It must not.
    New,
    /// It must.
    Existing,
}

/// The move of one branch.
#[derive(Clone, Debug)]
pub struct Move {
    /// Its name; `None` for the active branch. A name that is not there makes a new branch.
    pub branch: Option<String>,
    /// Where it must be.
    pub expect: Expect,
    /// Where it goes.
    pub to: To,
}

/// What a compare-and-swap expects of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Anything.
    Any,
    /// Its head is this entry.
    Head(Id),
    /// Its head is this entry, or behind it with no compaction, pin or prompt between them: a
    /// compaction that was made for that head does the same at this one.
    Behind(Id),
    /// It has no entry, or is not there at all.
    Empty,
    /// It is not there at all.
    Absent,
}

/// Where a branch goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// To the last entry of the change.
    Last,
    /// To an entry of the store or of the change.
    Entry(Id),
    /// Before the first entry.
    Nothing,
    /// Nowhere: the name is taken away. Not for the active branch.
    Removed,
}

/// Why heads moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Reason {
    /// Entries were appended.
    Append,
    /// A branch was moved to another entry.
    Rewind,
    /// A branch or session was bound to an entry.
    Fork,
    /// Another branch was made active.
    Switch,
    /// A compaction landed.
    Land,
    /// Foreign entries came in.
    Import,
    /// The change of this journal row was taken back.
    Undo(u64),
    /// What a damaged store held was put into this one.
    Recover,
    /// Bodies were erased.
    Erase,
}

/// What a change did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Ids of the change's entries, in order, whether new or there already.
    pub ids: Vec<Id>,
    /// How many of them are new.
    pub added: usize,
    /// The branch of the first move; where nothing moves, the branch that is active afterwards.
    pub branch: String,
    /// Head of that branch afterwards.
    pub head: Option<Id>,
    /// Number of the journal row; `None` for a retry.
    pub journal: Option<u64>,
}

/// A session as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its name.
    pub name: String,
    /// Its number in the store.
    pub number: u64,
    /// Number of the session whose aliases it shares: its own, or that of the one it forked from.
    pub tree: u64,
    /// Its active branch.
    pub active: String,
    /// Head of the active branch.
    pub head: Option<Id>,
    /// Entries that were first appended in it.
    pub entries: u64,
    /// How many branches it has.
    pub branches: u64,
    /// Number of its newest journal row.
    pub journal: u64,
    /// When it was created, milliseconds since 1970 UTC.
    pub created_ms: i64,
    /// When it changed last, milliseconds since 1970 UTC.
    pub changed_ms: i64,
}

/// A branch as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Its name.
    pub name: String,
    /// The entry it is bound to.
    pub head: Option<Id>,
    /// Whether it is the session's active branch.
    pub active: bool,
}

/// A question about the ancestors-or-self of an entry, answered in O(log n).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// The one at this depth.
    Depth(u64),
    /// The user entry that begins this turn (1 is the first).
    Turn(u64),
    /// The oldest one from which on the path to the entry, inclusive, is at most this many tokens.
    TokensAtMost(u64),
    /// The entry itself if this entry is an ancestor-or-self of it: is-ancestor.
    Entry(Id),
    /// The deepest one that is also an ancestor-or-self of this entry.
    Common(Id),
}

/// What the context at a head is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Tail {
    /// The newest compaction on the path.
    pub compaction: Option<Stored>,
    /// What it lifts, in path order.
    pub lifted: Vec<Stored>,
    /// The path from the first kept entry (the root without a compaction) to the head.
    pub entries: Vec<Stored>,
}

/// One row of the journal: what one change did to the heads of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalRow {
    /// Its number, dense from 0.
    pub number: u64,
    /// Number of the session.
    pub session: u64,
    /// The row before it of the same session.
    pub previous_in_session: Option<u64>,
    /// Why.
    pub reason: Reason,
    /// When, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// Number of the first entry it added.
    pub first_entry: Number,
    /// How many entries it added.
    pub entries: u64,
    /// What moved.
    pub moves: Vec<HeadMove>,
    /// The active branch before and after, where that changed.
    pub activated: Option<(String, String)>,
    /// Hash over this session's rows up to the one before, so that a vanished row shows.
    #[serde(with = "crate::encode::bytes32")]
    pub before: [u8; 32],
}

/// How one branch moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadMove {
    /// Its name.
    pub branch: String,
    /// Whether the branch was there before.
    pub existed: bool,
    /// Whether the branch is there afterwards.
    pub exists: bool,
    /// Where it was.
    pub from: Option<Id>,
    /// Where it is.
    pub to: Option<Id>,
}

/// Counts and sizes of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Entries.
    pub entries: u64,
    /// Sessions.
    pub sessions: u64,
    /// Journal rows.
    pub journal_rows: u64,
    /// Bytes the entries take, as stored.
    pub stored_bytes: u64,
    /// Bytes of the file, 0 in memory.
    pub file_bytes: u64,
    /// Entries whose ids are not in the merged index yet.
    pub unmerged: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_tells_how_much_and_not_what() {
        let (by, reason) = ("secret".to_owned(), "secret".to_owned());
        let entries = vec![Id::from_bytes([1; 32])];
        let erasure = Erasure { session: "s".to_owned(), entries, by, reason, at_ms: 0 };
        assert_eq!(format!("{erasure:?}"), "Erasure(1 entries)");
        let value = Some(b"secret".to_vec());
        let memo = MemoWrite { name: "lease".to_owned(), expect: None, value };
        assert_eq!(format!("{memo:?}"), "MemoWrite(lease, 6 bytes)");
    }
}
