//! Applies a group of changes inside a write transaction, each for itself: it is decided whole first, then
//! written, so that a refused change leaves nothing.

use super::cache::Caches;
use super::fault::Fault;
use super::index::{Index, Merging};
use super::keyring::Keyring;
use super::prepare::{Prepared, Work};
use super::rows::{COUNTERS_BYTES, Counters};
use super::sessions::Sessions;
use super::tables::{Tails, WriteTables};
use crate::error::{ErrorKind, Result};
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
    /// The row that is being written: memory that comes and goes costs more than what is written to it.
    pub(super) row: Vec<u8>,
    /// What the present change has appended so far.
    pub(super) appended: Vec<Stored>,
    /// Whether bodies were erased.
    pub(super) erased: bool,
    /// Whether anything was written.
    pub(super) wrote: bool,
}

/// What a group of changes came to.
pub(super) struct Applied {
    /// For each change, the entries that are new, too.
    pub(super) answers: Vec<(Result<Committed>, Vec<Stored>)>,
    pub(super) counters: Counters,
    /// Whether bodies were erased.
    pub(super) erased: bool,
    pub(super) wrote: bool,
    /// What to do again after a crash, where it fits in the log.
    pub(super) record: Option<Vec<u8>>,
}

impl Applier<'_, '_> {
    /// Applies a group, each change for itself.
    pub(super) fn apply_all<'c>(
        mut self,
        changes: impl Iterator<Item = &'c Prepared>,
    ) -> Result<(Applied, Tails), Fault> {
        let mut answers = Vec::with_capacity(changes.size_hint().0);
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
                answers.push((answer, std::mem::take(&mut self.appended)));
            }
        }
        self.finish(answers)
    }

    /// Ends the group: does what is its own, and not of all that share the transaction.
    pub(super) fn finish(
        mut self,
        answers: Vec<(Result<Committed>, Vec<Stored>)>,
    ) -> Result<(Applied, Tails), Fault> {
        if self.wrote {
            self.sessions.note(&mut self.tables)?;
            if self.tables.redo.fits(COUNTERS_BYTES) {
                self.counters.logged += 1;
            } else {
                self.counters.pass_log();
            }
            self.tables.note_counters(&self.counters)?;
        }
        let Self { tables, counters, erased, wrote, .. } = self;
        let (redo, tails) = tables.leave();
        let record = redo.into_record();
        Ok((Applied { answers, counters, erased, wrote, record }, tails))
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
