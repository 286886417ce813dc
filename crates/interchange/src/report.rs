//! What an import did and what it had to mend, as data.

use serde::Serialize;

use crate::limits;

/// What was read into one session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SessionReport {
    /// Name of the session.
    pub session: String,
    /// Name of the format.
    pub format: String,
    /// Records of its files, each one entry.
    pub entries: u64,
    /// How many of them were not in the store yet.
    pub added: u64,
    /// Branches of the session that its files call for.
    pub branches: u64,
    /// Entries of the tool's tree that nothing follows.
    pub leaves: u64,
    /// Compaction entries.
    pub compactions: u64,
    /// Records with an id of their own: the nodes of the tool's tree.
    pub nodes: u64,
    /// Records that say that they have no parent.
    pub roots: u64,
    /// Ids that more than one record names as its parent.
    pub forks: u64,
    /// What was mended, in the order it was found.
    pub repairs: Vec<Repair>,
    /// Repairs beyond the limit of the list.
    pub repairs_left_off: u64,
}

impl SessionReport {
    /// How many listed repairs are of `kind`.
    pub fn repairs_of(&self, kind: RepairKind) -> usize {
        self.repairs.iter().filter(|repair| repair.kind == kind).count()
    }

    pub(crate) fn mend(&mut self, kind: RepairKind, file: &str, line: u64, detail: String) {
        if self.repairs.len() < limits::REPAIRS {
            self.repairs.push(Repair { kind, file: file.to_owned(), line, detail });
        } else {
            self.repairs_left_off += 1;
        }
    }
}

/// One thing that was not as its format says, and what was done. The bytes are kept as they were.
pub type Repair = Located<RepairKind>;

/// Something of a file, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Located<K> {
    /// What it is.
    pub kind: K,
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// What was found, and what was done about it.
    pub detail: String,
}

/// What can be wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RepairKind {
    /// The last line stops in the middle.
    TornLine,
    /// A line that is no record.
    DamagedLine,
    /// Two or more records on one line.
    GluedRecords,
    /// A run of NUL bytes.
    NulRun,
    /// A byte order mark.
    ByteOrderMark,
    /// A line over the limit of bytes, or a record over that of levels or values.
    OverlongLine,
    /// Bytes that are not UTF-8.
    InvalidUtf8,
    /// JSON, but not a record of the format.
    NotARecord,
    /// A message without the id that would place it.
    MissingId,
    /// An id that is empty, too long or holds control characters.
    UnusableId,
    /// An id that an earlier record has.
    DuplicateId,
    /// The same, but its tool says that it wrote the record once more: a compaction preserved it.
    PreservedRecord,
    /// A parent that no earlier record of the file has.
    DanglingParent,
    /// A parent that comes only after its child.
    LateParent,
    /// A record that names itself as its parent.
    SelfParent,
    /// Parallel calls recorded as a fork.
    ParallelFork,
    /// A result that comes after the conversation went on.
    LateResult,
    /// A call without a result.
    UnansweredCall,
    /// A result without a call before it.
    OrphanResult,
    /// More open calls than a path may have.
    TooManyCalls,
    /// A compaction moved back so that no call is parted from its result.
    MovedCut,
    /// A compaction that covers nothing its predecessor does not, or whose first kept entry is not
    /// on its path.
    UnusableCompaction,
    /// A record about an entry that is not there.
    DanglingTarget,
    /// The file is shorter than what was imported before.
    ShrunkFile,
    /// The file differs from what was imported before.
    RewrittenFile,
    /// The session's branch has moved on in the store.
    MovedBranch,
    /// More leaves than a session may have branches.
    TooManyBranches,
}

/// How far a load has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the files that are done.
    pub done_bytes: u64,
    /// Bytes of all files.
    pub total_bytes: u64,
}

/// A foreign id as a repair quotes it.
pub(crate) fn quoted(id: &str) -> String {
    let mut chars = id.chars();
    let start: String = chars.by_ref().take(limits::QUOTED_CHARS).collect();
    let more = if chars.next().is_some() { "..." } else { "" };
    format!("{start:?}{more}")
}
