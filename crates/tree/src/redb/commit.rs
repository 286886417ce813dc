//! What the writer commits, and to what: a group to the log, a round to redb, the whole store to a checkpoint.

use std::sync::Arc;
use std::time::Instant;

use super::answer::Answer;
use super::apply::{Applied, Applier};
use super::cache::Caches;
use super::fault::guarded;
use super::file;
use super::group::{Committer, Departed};
use super::log;
use super::open::Open;
use super::prepare::Prepared;
use super::redo::{self, Redo};
use super::round::{Beside, Ends, Round};
use super::rows::Scrubbed;
use super::tables::WriteTables;
use super::writer::Writer;
use crate::error::{Error, Result};

/// More than this is not written twice: redb saves it at once.
const RECORD_BYTES: usize = 1 << 20;

/// A group in the present round, and what is left to do for it.
pub(super) struct Pending {
    open: Arc<Open>,
    /// What the log is to have; redb alone has it, otherwise.
    record: Option<log::Appending>,
    /// What the round comes to with it, where it ends.
    ends: Option<Ends>,
    wrote: bool,
    erased: bool,
}

/// Makes a group durable by the log.
pub(super) struct Logging {
    open: Arc<Open>,
    record: log::Appending,
}

impl Departed for Logging {
    type Failure = Error;

    fn finish(&mut self) -> Result<()> {
        write_log(&self.open, &mut self.record, true)?;
        self.open.sight.answers();
        Ok(())
    }
}

fn write_log(open: &Open, record: &mut log::Appending, syncs: bool) -> Result<()> {
    let mut done = || {
        record.write()?;
        if syncs { record.sync() } else { Ok(()) }
    };
    open.guarded(|| Ok(done().map_err(|cause| file::storage("writing the log", cause))?))
}

impl Committer<Box<Prepared>, Answer> for Writer {
    type Failure = Error;
    type Applied = Pending;
    type Departed = Logging;

    fn apply(&mut self, changes: Vec<Box<Prepared>>) -> Result<(Vec<Answer>, Pending)> {
        let open = self.shared.open()?;
        open.check_writable()?;
        let durability = self.shared.options.durability;
        let caches = open.caches();
        let (applied, round) = self.applied(&open, &caches, &changes)?;
        let Applied { answers, counters, erased, wrote, record } = applied;
        let answers = answers.into_iter().zip(changes);
        let answers = answers.map(|(answer, change)| Answer::new(answer, &caches, change));
        let record = record.filter(|_| wrote).map(|record| {
            self.unread.push(&record);
            self.log.append(record)
        });
        let ends = match &record {
            _ if !wrote => None,
            // Who reads does not wait, as long as there is somebody.
            Some(_) => (open.is_read() || erased).then_some(Ends::Readable),
            None => Some(durability.saves()),
        };
        if wrote {
            self.dirty = true;
            self.counters = counters;
        }
        self.round = (wrote || !self.unread.is_empty()).then_some(round);
        let answers = answers.collect();
        Ok((answers, Pending { open, record, ends, wrote, erased }))
    }

    fn finish(&mut self, group: Pending) -> Result<()> {
        let Pending { open, record, ends, wrote, erased } = group;
        if !wrote {
            return Ok(());
        }
        if let Some(mut record) = record {
            write_log(&open, &mut record, self.syncs())?;
        }
        if let Some(ends) = ends
            && let Some(round) = self.round.take()
        {
            self.end(&open, round, ends)?;
            open.committed(erased);
        } else {
            open.sight.answers();
        }
        let since = self.unsynced.or_else(|| Some(Instant::now()));
        self.unsynced = if self.log.is_synced() { None } else { since };
        Ok(())
    }

    fn depart(&mut self, group: Pending) -> Result<Logging, Pending> {
        // Groups overlap only where each is synced.
        if group.ends.is_some() || self.unread.is_full() || !self.may_fly() {
            return Err(group);
        }
        match group {
            Pending { open, record: Some(record), .. } => Ok(Logging { open, record }),
            group => Err(group),
        }
    }

    /// What nobody waits for, once a group is answered.
    fn tidy(&mut self) {
        if self.round.is_some() && self.unread.is_full() {
            self.publish_or_reopen();
        }
    }

    fn recover(&mut self, failure: Error) -> Box<dyn Fn() -> Answer> {
        tracing::error!(kind = ?failure.kind(), "commit failed");
        let was_tried = self.shared.open().is_ok();
        if was_tried {
            self.reopen(&failure);
        }
        Box::new(move || Answer::failed(told(&failure, was_tried)))
    }
}

/// A failure, for each of those who wait.
fn told(error: &Error, was_tried: bool) -> Error {
    let detail = match error {
        Error::Corrupt { what, detail } => return Error::corrupt(what, detail.as_str()),
        Error::Storage { detail, .. } => detail.clone(),
        other => other.to_string(),
    };
    let retry = "; the outcome is unknown: retry with the same entry";
    let detail = if was_tried { detail + retry } else { detail };
    file::storage_of(detail, error.io_kind())
}

impl Writer {
    /// Applies a group within the present round, and makes a record of it where that fits.
    fn applied(
        &mut self,
        open: &Open,
        caches: &Caches,
        changes: &[Box<Prepared>],
    ) -> Result<(Applied, Round)> {
        let durability = self.shared.options.durability;
        let (known, merging, sessions) = (&self.counters, &mut self.merging, &mut self.sessions);
        let (log, shared) = (&self.log, &self.shared);
        let room = if durability.is_logged() { log.room().min(RECORD_BYTES) } else { 0 };
        let redo = Redo::within(room, log.spare());
        let (round, tails) = (self.round.take(), self.tails.take());
        open.guarded(|| {
            let mut round = Round::resume(round, open, tails)?;
            let applied = round.with(|mut tables| {
                tables.redo = redo;
                let counters = open.take_up(&tables, known, merging, sessions)?;
                Applier {
                    tables,
                    counters,
                    index: &open.index,
                    caches,
                    keyring: &open.keyring,
                    merging,
                    sessions,
                    row: Vec::new(),
                    appended: Vec::new(),
                    erased: false,
                    wrote: false,
                }
                .apply_all(changes.iter().map(|change| &**change))
            })?;
            shared.check_in_place()?;
            Ok((applied, round))
        })
    }

    /// Whether each group is durable before it is answered.
    fn syncs(&self) -> bool {
        self.shared.options.durability.lag().is_none()
    }

    /// Makes what was answered readable; no group may be in flight.
    pub(super) fn publish(&mut self) -> Result<()> {
        let Some(round) = self.round.take() else { return Ok(()) };
        let open = self.shared.open()?;
        self.end(&open, round, Ends::Readable)?;
        open.shows(0);
        Ok(())
    }

    /// Ends a round, with a slice of the index. Who may read is told by the caller.
    fn end(&mut self, open: &Open, round: Round, ends: Ends) -> Result<()> {
        let beside = Beside {
            index: &open.index,
            merging: &mut self.merging,
            counters: &mut self.counters,
            sessions: &mut self.sessions,
        };
        let tails = open.guarded(|| round.end(beside, ends))?;
        self.tails = (!open.sharing.is_shared()).then_some(tails);
        self.unread.clear();
        if ends != Ends::Readable {
            self.log.restart(self.counters.log);
        }
        Ok(())
    }

    /// Saves redb with its allocator's state: reopening after a crash then costs milliseconds instead of
    /// reading the whole file, and the log begins anew. While nobody waits, goes on with a merge that is under way
    /// or worth it. No group may be in flight.
    pub(super) fn save(&mut self, scrubbed: Option<&Scrubbed>) -> Result<()> {
        let open = self.shared.open()?;
        open.check_writable()?;
        loop {
            if !self.shared.queue.has_waiting() {
                self.merging.pauses();
            }
            if open.sharing.is_shared() && !self.merging.is_due() {
                // Every commit of a shared store is a checkpoint.
                self.dirty = false;
                return Ok(());
            }
            let (known, merging, sessions) =
                (&self.counters, &mut self.merging, &mut self.sessions);
            let (round, tails) = (self.round.take(), self.tails.take());
            let (counters, round) = open.guarded(|| {
                let mut round = Round::resume(round, &open, tails)?;
                let counters = round.with(|mut tables| {
                    let counters = open.take_up(&tables, known, merging, sessions)?;
                    if let Some(scrubbed) = scrubbed {
                        tables.put_scrubbed(scrubbed)?;
                    }
                    Ok((counters, tables.leave().1))
                })?;
                Ok((counters, round))
            })?;
            self.counters = counters;
            self.counters.pass_log();
            self.end(&open, round, Ends::Saved)?;
            (self.dirty, self.unsynced) = (false, None);
            open.shows(0);
            if !self.merging.is_due() || self.shared.queue.has_waiting() {
                return Ok(());
            }
        }
    }

    /// Makes what was answered readable where its round failed: does its records again in another one.
    pub(super) fn republish(&mut self) -> Result<()> {
        if self.unread.is_empty() {
            return Ok(());
        }
        let open = self.shared.open()?;
        let unread = &self.unread;
        guarded(|| {
            let mut txn = open.database()?.begin_write()?;
            txn.set_durability(redb::Durability::None)?;
            let mut tables = WriteTables::open(&txn)?;
            let mut counters = tables.counters()?;
            for record in unread.records() {
                redo::redo(record, &mut tables, &mut counters)?;
            }
            tables.put_counters(&counters)?;
            drop(tables);
            Ok(txn.commit()?)
        })?;
        self.unread.clear();
        open.shows(0);
        Ok(())
    }
}
