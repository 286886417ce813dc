//! A change, as far as it can be checked and made ready without a store: done on the caller's thread.

use super::shrink::{self, Effort};
use crate::entry::Draft;
use crate::error::{Error, Result};
use crate::limits;
use crate::store::{Change, MemoWrite, Reason, To};

/// A change that was checked as far as that needs no store, its bodies compressed: done by the caller,
/// so that the one writer has less to do.
pub(super) struct Prepared {
    pub(super) change: Change,
    /// For each draft, its body's shorter form, where that pays.
    pub(super) shorter: Vec<Option<Vec<u8>>>,
    /// Bytes of all bodies.
    pub(super) bytes: usize,
    pub(super) work: Work,
}

/// What applying a change does besides.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Nothing.
    Append,
    /// The entries are tombstones, and the bodies of their targets go.
    Erase,
    /// The entry is a tombstone, and the session's key goes.
    Forget,
}

impl Prepared {
    pub(super) fn new(change: Change) -> Result<Self> {
        let bytes = change.entries.iter().map(|draft| draft.body().bytes.len()).sum();
        limits::within("bodies of one change in bytes", limits::CHANGE_BYTES, bytes)?;
        check(&change)?;
        let effort = Effort::for_change(bytes);
        let shorter = |draft: &Draft| shrink::compress(&draft.body().bytes, effort);
        let shorter = change.entries.iter().map(shorter).collect();
        Ok(Self { change, shorter, bytes, work: Work::Append })
    }

    /// Tombstones, whose targets lose their bodies in the same step.
    pub(super) fn tombstones(change: Change) -> Result<Self> {
        Ok(Self { work: Work::Erase, ..Self::new(change)? })
    }

    /// The tombstone of a session whose key is forgotten in the same step.
    pub(super) fn forgetting(change: Change) -> Result<Self> {
        Ok(Self { work: Work::Forget, ..Self::new(change)? })
    }

    /// What `recover` puts in, which is checked where it is derived.
    pub(super) fn recovered(session: &str, at_ms: i64, shorter: Vec<Option<Vec<u8>>>) -> Self {
        Self {
            change: Change::new(session, Reason::Recover, at_ms),
            shorter,
            bytes: 0,
            work: Work::Append,
        }
    }

    pub(super) fn entries(&self) -> usize {
        self.change.entries.len()
    }

    pub(super) fn session(&self) -> &str {
        &self.change.session
    }
}

fn check(change: &Change) -> Result<()> {
    limits::check_name("session name", &change.session)?;
    limits::within("entries in one change", limits::ENTRIES_PER_CHANGE, change.entries.len())?;
    limits::within("moves in one change", limits::MOVES_PER_CHANGE, change.moves.len())?;
    for draft in &change.entries {
        draft.check()?;
    }
    limits::within("memos in one change", limits::MEMOS_PER_CHANGE, change.memos.len())?;
    for MemoWrite { name, value, .. } in &change.memos {
        limits::check_name("memo name", name)?;
        let bytes = value.as_ref().map_or(0, Vec::len);
        limits::within("memo in bytes", limits::MEMO_BYTES, bytes)?;
    }
    let branches = change.moves.iter().filter_map(|moved| moved.branch.as_ref());
    for branch in branches.chain(&change.activate) {
        limits::check_name("branch name", branch)?;
    }
    let last = change.moves.iter().any(|moved| moved.to == To::Last);
    if last && change.entries.is_empty() {
        return Err(Error::invalid(
            "change",
            "a branch moves to the last entry, but there is none",
        ));
    }
    Ok(())
}
