//! `scrub`: the check of every entry, a few at a time, while the store is in use. How far it has come is
//! kept in the store, so that passes go on over restarts; what it finds is told and changes nothing.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::cache::{Caches, Limits};
use super::check::{self, Around};
use super::fault::is_damage;
use super::queue::Weight;
use super::rows::Scrubbed;
use super::snapshot::Snapshot;
use super::writer::Request;
use super::{RedbStore, gone};
use crate::error::{Error, Result};
use crate::place::Number;
use crate::verify::Problem;

/// Entries in one step of a pass at most: what its thread is held for, some tens of milliseconds.
const STEP: u32 = 1_000;

/// What one step of the scrub found, or those of a pass so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct ScrubReport {
    /// Entries read from the disk and checked.
    pub checked: u64,
    /// Number of the entry the next step begins with; 0 after the end of a pass.
    pub next: Number,
    /// Entries in the store.
    pub entries: u64,
    /// Every contradiction met; of a pass the first 10,000.
    pub problems: Vec<Problem>,
    /// Age of the oldest entry that was not read back since, in milliseconds: at most the time since the
    /// newest whole pass began, or since the store was made where there was none yet.
    pub oldest_unverified_ms: u64,
}

impl RedbStore {
    /// Checks the next `entries` entries as `verify` does, from the disk and not from memory, and notes
    /// how far it came. Call it now and then, with pauses of your choice: each call costs its share and
    /// no more.
    ///
    /// # Errors
    /// `Storage`; damage is a problem in the report.
    pub async fn scrub(&self, entries: usize) -> Result<ScrubReport> {
        let now = self.shared.options.sources.now_ms();
        let open = self.shared.readable()?;
        let (report, scrubbed) = open.guarded(|| {
            let snapshot = Snapshot::take(&open, Arc::new(Caches::new(Limits::default())))?;
            let before = snapshot.tables.scrubbed()?.unwrap_or_default();
            Ok(step(&snapshot, before, entries as u64, (open.identity.created_ms, now)))
        })?;
        drop(open);
        let (answer, answered) = oneshot::channel();
        let request = Request::Scrubbed(scrubbed, answer);
        self.put(Weight { entries: 0, bytes: 0 }, request)?;
        match answered.await.map_err(|_| gone())? {
            // Nothing is written over damage, and what was found is worth more than how far it came.
            Err(error) if !is_damage(&error) => Err(error),
            _ => Ok(report),
        }
    }

    /// The rest of the present pass, `entries_per_second` at most, while the store is in use.
    pub fn scrub_pass(&self, entries_per_second: NonZeroU32) -> ScrubPass<'_> {
        ScrubPass { store: self, entries_per_second, found: ScrubReport::default(), most: None }
    }
}

/// A pass of the scrub that is under way: small steps, and how long to wait between them. Whoever stops
/// stepping stops it; the next pass goes on there.
///
/// ```
/// # async fn watch(store: &treering_tree::RedbStore) -> treering_tree::Result<()> {
/// let mut pass = store.scrub_pass(1_000.try_into().expect("not 0"));
/// while let Some(pause) = pass.step().await? {
///     tokio::time::sleep(pause).await;
/// }
/// assert!(pass.found().problems.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ScrubPass<'s> {
    store: &'s RedbStore,
    entries_per_second: NonZeroU32,
    found: ScrubReport,
    /// Entries to check at most, known with the first step.
    most: Option<u64>,
}

impl ScrubPass<'_> {
    /// Checks up to a second's worth of entries, at most 1,000, and answers how long to wait before the next
    /// step; `None` at the end of the pass. Where appends outpace the rate, that is once it checked twice as
    /// many entries as there were when it began.
    ///
    /// # Errors
    /// As [`RedbStore::scrub`].
    pub async fn step(&mut self) -> Result<Option<Duration>> {
        let rate = self.entries_per_second.get();
        let entries = rate.min(STEP);
        if !self.is_over() {
            let step = self.store.scrub(entries as usize).await?;
            self.most.get_or_insert(step.entries.saturating_mul(2));
            self.found.go_on(step);
        }
        Ok((!self.is_over()).then(|| Duration::from_secs(1) * entries / rate))
    }

    /// What its steps found so far.
    pub fn found(&self) -> &ScrubReport {
        &self.found
    }

    fn is_over(&self) -> bool {
        let is_over = |most| self.found.next == 0 || self.found.checked >= most;
        self.most.is_some_and(is_over)
    }
}

impl ScrubReport {
    /// Takes up what the step after it found.
    fn go_on(&mut self, step: Self) {
        let mut problems = std::mem::take(&mut self.problems);
        problems.extend(step.problems);
        problems.truncate(check::PROBLEMS);
        *self = Self { checked: self.checked + step.checked, problems, ..step };
    }
}

fn step(
    snapshot: &Snapshot,
    mut scrubbed: Scrubbed,
    entries: u64,
    (created_ms, now): (i64, i64),
) -> (ScrubReport, Scrubbed) {
    let all = snapshot.counters.entries;
    if scrubbed.next == 0 || scrubbed.next > all {
        (scrubbed.next, scrubbed.began_ms) = (0, now);
    }
    let to = scrubbed.next.saturating_add(entries).min(all);
    let mut problems = Vec::new();
    let mut newest = BTreeMap::new();
    for number in scrubbed.next..to {
        let checked = check::entry(snapshot, number, |place| {
            // Of the first one here of each session, what comes before was checked in an earlier step.
            let previous = newest.get(&place.session).copied();
            let tree = snapshot.tables.session_at(place.session).map(|row| row.tree);
            Around {
                tree: tree.unwrap_or(u64::MAX),
                previous_in_session: previous.map_or(place.previous_in_session, Some),
            }
        });
        match checked {
            Ok(checked) => {
                newest.insert(checked.place.session, number);
                problems.extend(checked.problems);
            }
            Err(fault) => {
                let (what, name) = ("entry".to_owned(), number.to_string());
                problems.push(Problem { what, name, detail: Error::from(fault).to_string() });
                if let Ok(place) = snapshot.tables.place_at(number) {
                    newest.insert(place.session, number);
                }
            }
        }
    }
    let checked = to - scrubbed.next;
    scrubbed.next = to;
    if to >= all {
        scrubbed.next = 0;
        scrubbed.since_ms = Some(scrubbed.began_ms);
    }
    let since = scrubbed.since_ms.unwrap_or(created_ms);
    let oldest_unverified_ms = u64::try_from(now.saturating_sub(since)).unwrap_or(0);
    let next = scrubbed.next;
    let report = ScrubReport { checked, next, entries: all, problems, oldest_unverified_ms };
    (report, scrubbed)
}
