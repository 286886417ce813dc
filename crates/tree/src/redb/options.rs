//! How a store is opened.

use std::sync::Arc;
use std::time::Duration;

use super::cache::Limits;
use super::index;
use super::publish::{Files, SystemFiles};
use super::round::Ends;
use super::sharing::Sharing;
use crate::encrypt::Encrypt;
use crate::redact::Redact;
use crate::sources::Sources;

/// Bytes of the log of a new store, where nobody says otherwise.
const LOG_BYTES: u64 = 4 << 20;
/// Callers from which on groups overlap. For fewer a second sync costs more than that saves.
const MANY_CALLERS: usize = 16;

/// What an acknowledged append survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// Power loss, also after a failed sync: one sync per commit, of a log in front of the tree, and two
    /// more where the log is full. The default.
    #[default]
    Logged,
    /// Power loss, but for what was acknowledged in the last so long; the end of this process. The log is
    /// synced once in that time.
    Grouped(Duration),
    /// As [`Durability::Logged`], without the log: two syncs per commit.
    TwoPhase,
    /// Power loss, but a failed sync may cost the store: as [`Durability::Logged`], and one sync more where the log
    /// is full. Opening after a crash may read the whole file.
    Relaxed,
    /// The end of this process at a checkpoint or close; nothing in between.
    None,
}

impl Durability {
    /// Whether changes go to the log first.
    pub(super) fn is_logged(self) -> bool {
        matches!(self, Self::Logged | Self::Grouped(_) | Self::Relaxed)
    }

    /// What redb comes to where the log does not take a group.
    pub(super) fn saves(self) -> Ends {
        match self {
            Self::Logged | Self::Grouped(_) => Ends::Saved,
            Self::TwoPhase | Self::Relaxed | Self::None => Ends::As(self),
        }
    }

    /// How long what was acknowledged may stay unsynced.
    pub(super) fn lag(self) -> Option<Duration> {
        match self {
            Self::Grouped(lag) => Some(lag),
            _ => None,
        }
    }
}

/// How to open a store.
#[derive(Clone, Debug)]
pub struct Options {
    pub(super) sources: Sources,
    pub(super) durability: Durability,
    pub(super) sharing: Sharing,
    pub(super) idle_checkpoint: Option<Duration>,
    pub(super) cache_bytes: usize,
    pub(super) kept: Limits,
    pub(super) write_ahead: bool,
    pub(super) direct_io: bool,
    pub(super) log_bytes: u64,
    pub(super) encrypt: Option<Arc<dyn Encrypt>>,
    pub(super) merge_after: usize,
    pub(super) overlap_from: usize,
    pub(super) redact: Option<Arc<dyn Redact>>,
    /// Where files get their names; only a test brings others than the system's.
    pub(super) files: Arc<dyn Files>,
}

impl Options {
    /// The defaults: logged commits, a checkpoint after 100 ms without a commit, and 64 MiB each of file pages, of
    /// decoded entries and of contexts in memory.
    pub fn new(sources: Sources) -> Self {
        Self {
            sources,
            durability: Durability::default(),
            sharing: Sharing::default(),
            idle_checkpoint: Some(Duration::from_millis(100)),
            cache_bytes: 64 << 20,
            kept: Limits { entry_bytes: 64 << 20, context_bytes: 64 << 20 },
            write_ahead: cfg!(target_os = "linux"),
            direct_io: cfg!(target_os = "linux"),
            log_bytes: LOG_BYTES,
            encrypt: None,
            merge_after: index::GENERATION_ENTRIES,
            overlap_from: MANY_CALLERS,
            redact: None,
            files: Arc::new(SystemFiles),
        }
    }

    /// What an acknowledged append survives.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Who else may have the store open. Any but [`Sharing::Exclusive`] makes commits two-phase.
    #[must_use]
    pub fn sharing(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }

    /// How long after the last commit a checkpoint is made; `None` leaves it to
    /// [`RedbStore::checkpoint`](super::RedbStore::checkpoint) and to closing.
    #[must_use]
    pub fn idle_checkpoint(mut self, after: Option<Duration>) -> Self {
        self.idle_checkpoint = after;
        self
    }

    /// Bytes of file pages kept in memory: 64 MiB by default. Other pages come from the page cache of the kernel, or from
    /// the disk. While they gather, each append costs memory that is new to the process.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Bytes of entries kept in memory decoded, hashed once.
    #[must_use]
    pub fn entry_cache_bytes(mut self, bytes: u64) -> Self {
        self.kept.entry_bytes = bytes;
        self
    }

    /// Bytes of contexts kept in memory, each with its entries: that of a head is then there at once, and
    /// that of an entry behind it costs the entry. 0 keeps none.
    #[must_use]
    pub fn context_cache_bytes(mut self, bytes: u64) -> Self {
        self.kept.context_bytes = bytes;
        self
    }

    /// What sees every body before it is written, and may replace it. Entries so changed have other ids
    /// than their drafts foretell.
    #[must_use]
    pub fn redact(mut self, hook: Arc<dyn Redact>) -> Self {
        self.redact = Some(hook);
        self
    }

    /// What wraps the keys that bodies are sealed under: a new store is then an encrypted one, and a store
    /// that is can be opened only with the same master key. See [`crate::encrypt`].
    #[must_use]
    pub fn encrypt(mut self, master: Arc<dyn Encrypt>) -> Self {
        self.encrypt = Some(master);
        self
    }

    /// Whether to write zeros ahead of the used part of the file, a quarter of it and at most 16 MiB:
    /// the default on Linux. Say no on btrfs, ZFS and the like.
    #[must_use]
    pub fn write_ahead(mut self, ahead: bool) -> Self {
        self.write_ahead = ahead;
        self
    }

    /// Whether the pages of a large commit (1 MiB or more behind the log) are written past the kernel's page cache: the
    /// default on Linux. Where file system or device refuse it they are written the usual way, as with
    /// [`Durability::TwoPhase`] and [`Durability::None`] and where the store is shared. It takes up to 4 MiB of memory.
    /// A page is read from the disk when it is no longer among [`Options::cache_bytes`], so say no where those are few and
    /// much is read.
    #[must_use]
    pub fn direct_io(mut self, direct: bool) -> Self {
        self.direct_io = direct;
        self
    }

    /// Whether what redb writes is gathered until a sync.
    pub(super) fn gathers(&self) -> bool {
        self.direct_io && self.durability.is_logged() && !self.sharing.is_shared()
    }

    /// Bytes of the log in the file of a store that is created: 4 MiB by default. A change that does not fit
    /// takes two syncs instead of one, as does one that finds it full. A longer log makes that rarer, and
    /// opening after a crash slower: what is in it is done again.
    #[must_use]
    pub fn log_bytes(mut self, bytes: u64) -> Self {
        self.log_bytes = bytes;
        self
    }

    /// From so many callers on, all of whom wait for their appends, one half of them is applied while the other is
    /// made durable: 16 by default. It takes a thread and gains where there is a core for it; `usize::MAX` keeps
    /// all in one group. Only where the log is synced for every group.
    #[must_use]
    pub fn overlap_from(mut self, callers: usize) -> Self {
        self.overlap_from = callers.max(2);
        self
    }

    /// From how many callers on groups do overlap. Halves that are made durable one after the other would be no gain.
    pub(super) fn overlaps_from(&self) -> usize {
        let syncs_each = self.durability.is_logged() && self.durability.lag().is_none();
        if syncs_each { self.overlap_from } else { usize::MAX }
    }

    /// Entries whose index keys gather in memory before they are merged into the file, in slices: 65,536 by
    /// default, and a quarter of them where nobody comes for a moment and when the store is closed. Fewer make
    /// every append dearer; what is not merged, up to twice as many where a process is killed while it appends,
    /// is read back when the store is opened, about half a microsecond each.
    #[must_use]
    pub fn merge_after(mut self, entries: usize) -> Self {
        self.merge_after = entries.max(1);
        self
    }
}
