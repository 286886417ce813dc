//! Applies a group of changes inside a write transaction, each for itself: it is decided whole first, then
//! written, so that a refused change leaves nothing.

use super::cache::Caches;
use super::fault::Fault;
use super::index::{Index, Merging};
use super::keyring::Keyring;
use super::prepare::{Prepared, Work};
use super::sessions::Sessions;
use super::tables::{COUNTERS_BYTES, Counters, WriteTables};
use crate::error::{ErrorKind, Result};
use crate::place::Number;
use crate::store::{Committed, Stored};

/// The writer's state during one transaction.
pub(super) struct Applier<'t, 'w> {
    pub(super) tables: WriteTables<'t>,
    pub(super) counters: Counters,
    pub(super) index: &'w Index,
    pub(super) caches: &'w Caches,
    pub(super) keyring: &'w Keyring,
    pub(super) merging: &'w mut Merging,
    pub(super) sessions: &'w mut Sessions,
    /// What this group has appended so far.
    pub(super) appended: Vec<Stored>,
    /// Whether bodies were erased.
    pub(super) erased: bool,
    /// Whether anything was written.
    pub(super) wrote: bool,
}

/// What a group of changes came to.
pub(super) struct Applied {
    pub(super) answers: Vec<Result<Committed>>,
    pub(super) counters: Counters,
    /// The entries that are new.
    pub(super) appended: Vec<Stored>,
    /// Whether bodies were erased.
    pub(super) erased: bool,
    /// How far the merged index reaches, where this group completed a merge.
    pub(super) indexed: Option<Number>,
    pub(super) wrote: bool,
    /// What to do again after a crash, where it fits in the log.
    pub(super) record: Option<Vec<u8>>,
}

impl Applier<'_, '_> {
    /// Applies a group, each change for itself; writes the counters if anything changed.
    pub(super) fn apply_all<'c>(
        mut self,
        changes: impl Iterator<Item = &'c Prepared>,
    ) -> Result<Applied, Fault> {
        let mut answers = Vec::new();
        for change in changes {
            let answer = match change.work {
                Work::Append => self.apply(change),
                Work::Erase => self.erase(&change.change),
                Work::Forget => self.forget(change),
            };
            // What is not the change's own fault ends the group.
            if let Err(error) = &answer
                && !matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::Invalid | ErrorKind::Conflict
                )
            {
                answer?;
            } else {
                answers.push(answer);
            }
        }
        self.finish(answers)
    }

    /// Writes what belongs to the whole group.
    pub(super) fn finish(mut self, answers: Vec<Result<Committed>>) -> Result<Applied, Fault> {
        let mut indexed = None;
        if self.wrote {
            self.tables.entries.settle()?;
            let entries = self.counters.entries;
            let appended = self.appended.len();
            indexed = self.index.merge_slice(self.merging, &mut self.tables, entries, appended)?;
            self.counters.indexed = indexed.unwrap_or(self.counters.indexed);
            self.sessions.flush(&mut self.tables)?;
            if self.tables.redo.fits(COUNTERS_BYTES) {
                self.counters.logged += 1;
            } else {
                if self.tables.redo.is_wanted() {
                    // redb saves what many groups brought it.
                    self.tables.entries.repack()?;
                }
                self.counters.pass_log();
            }
            self.tables.put_counters(&self.counters)?;
        }
        let Self { tables, counters, appended, erased, wrote, .. } = self;
        let record = tables.redo.into_record();
        Ok(Applied { answers, counters, appended, erased, indexed, wrote, record })
    }

    /// Applies `change`, or refuses it with nothing written.
    pub(super) fn apply(&mut self, prepared: &Prepared) -> Result<Committed> {
        let known = self.sessions.named(&self.tables, &prepared.change.session)?;
        let mut plan = self.plan(&prepared.change, known)?;
        if plan.retry {
            return Ok(plan.committed);
        }
        self.write_memos(&prepared.change.memos, plan.session.number)?;
        if plan.moves_heads() {
            plan.committed.journal = Some(self.write(
                prepared,
                plan.session,
                plan.created,
                &plan.new,
                plan.moves,
                plan.activated,
            )?);
        }
        Ok(plan.committed)
    }
}
