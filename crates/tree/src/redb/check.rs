//! `verify`: reads everything, recomputes what can be recomputed, reports every contradiction, and goes
//! on after each. Its report is the only thing it makes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fault::Fault;
use super::index::Which;
use super::roll::Reading;
use super::rows::{SessionRow, id_hash};
use super::snapshot::Snapshot;
use super::tables::lengths;
use crate::ancestry::Places;
use crate::counted::Counted;
use crate::derive::{self, Facts};
use crate::encode;
use crate::entry::Content;
use crate::error::{Error, Result};
use crate::id::Id;
use crate::place::{Number, Place};
use crate::store::JournalRow;
use crate::verify::{Problem, Report};

/// Problems listed in full; a store with more is beyond reading them one by one.
pub(super) const PROBLEMS: usize = 10_000;

/// Checks a whole snapshot. O(n) time; memory for the sessions and their branches only.
pub(super) fn verify(snapshot: &Snapshot) -> Result<Report, Fault> {
    let mut check = Check { snapshot, report: Report::default() };
    check.counters()?;
    let sessions = check.sessions()?;
    check.entries(&sessions);
    check.journal(sessions)?;
    Ok(check.report)
}

/// What the check of an entry takes from the rows around it.
pub(super) struct Around {
    /// The tree of its session.
    pub(super) tree: u64,
    /// The entry before it in its session.
    pub(super) previous_in_session: Option<Number>,
}

/// An entry that could be read, and what contradicts it.
pub(super) struct Checked {
    pub(super) place: Place,
    pub(super) content: Content,
    pub(super) problems: Vec<Problem>,
}

/// Checks one entry: its hash, its parent, what is carried along its path, the index that leads to it.
pub(super) fn entry(
    snapshot: &Snapshot,
    number: Number,
    around: impl FnOnce(&Place) -> Around,
) -> Result<Checked, Fault> {
    let place = snapshot.tables.place_at(number)?;
    let entry = snapshot.tables.entry_at(number, &place.id)?;
    let entry = snapshot.keyring.opened(&snapshot.tables, entry)?;
    let mut problems = Vec::new();
    let mut problem = |what: &str, detail: &str| {
        let (what, name, detail) = (what.to_owned(), place.id.to_string(), detail.to_owned());
        problems.push(Problem { what, name, detail });
    };
    let parent = place.parent.map(|number| snapshot.place(number)).transpose()?;
    if parent.as_ref().map(|parent| parent.id) != entry.envelope().parent {
        problem("place", "its parent's number is not that of its parent");
    }
    let find = |id: Id| -> Result<Arc<Place>> {
        let found = snapshot.find(&id).map_err(Error::from)?;
        found.ok_or_else(|| Error::no_entry(&id))
    };
    let target = entry.envelope().target.filter(|_| derive::needs_target(place.kind));
    let Around { tree, previous_in_session } = around(&place);
    let facts = Facts {
        number,
        id: entry.id(),
        session: place.session,
        previous_in_session,
        tree,
        envelope: entry.envelope(),
        size: Counted { tokens: place.tokens, counter: place.counter },
        target: target.map(find).transpose()?,
    };
    if derive::place(snapshot, parent.as_ref(), &facts)? != place {
        problem("place", "what is carried along the path is not what follows");
    }
    let found = if number >= snapshot.counters.indexed {
        let hash = id_hash(&place.id);
        snapshot.view.holds(Which::Ids, hash, number) || snapshot.find(&place.id)?.is_some()
    } else {
        snapshot.find(&place.id)?.map(|found| found.number) == Some(number)
    };
    if !found {
        problem("index", "not found by its id");
    }
    Ok(Checked { content: entry.content().clone(), place, problems })
}

struct Check<'a> {
    snapshot: &'a Snapshot,
    report: Report,
}

/// A session as its row tells it, and as the entries and the journal do.
struct Seen {
    row: SessionRow,
    entries: u64,
    last_entry: Option<Number>,
    last_journal: Option<u64>,
    root: [u8; 32],
    active: Option<String>,
    heads: BTreeMap<String, Option<Id>>,
}

impl Check<'_> {
    #[allow(clippy::needless_pass_by_value, reason = "names are numbers and short strings")]
    fn problem(&mut self, what: &str, name: impl std::fmt::Display, detail: impl Into<String>) {
        if self.report.problems.len() < PROBLEMS {
            let (what, name, detail) = (what.to_owned(), name.to_string(), detail.into());
            self.report.problems.push(Problem { what, name, detail });
        }
    }

    fn counters(&mut self) -> Result<(), Fault> {
        let counters = self.snapshot.counters.clone();
        let expected =
            [counters.entries, counters.entries, counters.journal_rows, counters.sessions];
        for ((table, rows), expected) in lengths(&self.snapshot.tables)?.into_iter().zip(expected) {
            if rows != expected {
                self.problem("counter", table, format!("counted {expected}, found {rows} rows"));
            }
        }
        let merged = self.snapshot.tables.ids.len()?;
        if merged < counters.indexed || merged > counters.entries {
            let detail = format!("{merged} rows, for {} entries merged", counters.indexed);
            self.problem("index", "ids", detail);
        }
        Ok(())
    }

    fn sessions(&mut self) -> Result<BTreeMap<u64, Seen>, Fault> {
        let mut sessions = BTreeMap::new();
        for number in 0..self.snapshot.counters.sessions {
            match self.snapshot.tables.session_at(number) {
                Ok(row) => {
                    if self.snapshot.tables.session_number(&row.name)? != Some(number) {
                        self.problem("session", &row.name, "not found by its name");
                    }
                    let seen = Seen {
                        row,
                        entries: 0,
                        last_entry: None,
                        last_journal: None,
                        root: [0; 32],
                        active: None,
                        heads: BTreeMap::new(),
                    };
                    sessions.insert(number, seen);
                }
                Err(fault) => self.problem("session", number, Error::from(fault).to_string()),
            }
            self.report.sessions += 1;
        }
        Ok(sessions)
    }

    fn entries(&mut self, sessions: &BTreeMap<u64, Seen>) {
        let mut newest: BTreeMap<u64, (u64, Option<Number>)> = BTreeMap::new();
        for number in 0..self.snapshot.counters.entries {
            self.report.entries += 1;
            match self.entry(number, sessions, &newest) {
                Ok(place) => {
                    let (count, last) = newest.entry(place.session).or_default();
                    (*count, *last) = (*count + 1, Some(number));
                }
                Err(fault) => {
                    self.problem("entry", number, Error::from(fault).to_string());
                    // One broken entry is one problem, and not another one at the next of its session.
                    if let Ok(place) = self.snapshot.tables.place_at(number) {
                        let (count, last) = newest.entry(place.session).or_default();
                        (*count, *last) = (*count + 1, Some(number));
                    }
                }
            }
        }
        for (number, seen) in sessions {
            let (count, last) = newest.get(number).copied().unwrap_or_default();
            if (count, last) != (seen.row.entries, seen.row.last_entry) {
                let detail = format!(
                    "its row counts {} entries up to {:?}, found {count} up to {last:?}",
                    seen.row.entries, seen.row.last_entry
                );
                self.problem("session", &seen.row.name, detail);
            }
        }
    }

    fn entry(
        &mut self,
        number: Number,
        sessions: &BTreeMap<u64, Seen>,
        newest: &BTreeMap<u64, (u64, Option<Number>)>,
    ) -> Result<Place, Fault> {
        let around = |place: &Place| Around {
            tree: sessions.get(&place.session).map_or(u64::MAX, |seen| seen.row.tree),
            previous_in_session: newest.get(&place.session).and_then(|(_, last)| *last),
        };
        let checked = entry(self.snapshot, number, around)?;
        match checked.content {
            Content::Erased { .. } => self.report.erased += 1,
            Content::Lost => self.report.lost += 1,
            Content::Whole(_) | Content::Sealed(_) => {}
        }
        for Problem { what, name, detail } in checked.problems {
            self.problem(&what, name, detail);
        }
        Ok(checked.place)
    }

    fn journal(&mut self, mut sessions: BTreeMap<u64, Seen>) -> Result<(), Fault> {
        let mut entries = 0;
        let mut rows = Reading::new(&self.snapshot.tables.journal);
        for number in 0..self.snapshot.counters.journal_rows {
            self.report.journal_rows += 1;
            let bytes = rows.get(number)?;
            let row = match bytes {
                Some(bytes) => encode::unpack::<JournalRow>("journal", bytes),
                None => Err(Error::corrupt("journal", "row is missing")),
            };
            match (row, bytes) {
                (Ok(row), Some(bytes)) => {
                    self.journal_row(&row, bytes, entries, &mut sessions);
                    entries = row.first_entry + row.entries;
                }
                (Err(error), _) => self.problem("journal", number, error.to_string()),
                (Ok(_), None) => {}
            }
        }
        if entries != self.snapshot.counters.entries {
            let detail = format!(
                "it accounts for {entries} entries, there are {}",
                self.snapshot.counters.entries
            );
            self.problem("journal", "end", detail);
        }
        for seen in sessions.into_values() {
            if let Err(fault) = self.heads(&seen) {
                self.problem("head", &seen.row.name, Error::from(fault).to_string());
            }
        }
        Ok(())
    }

    fn journal_row(
        &mut self,
        row: &JournalRow,
        bytes: &[u8],
        entries: u64,
        sessions: &mut BTreeMap<u64, Seen>,
    ) {
        if row.first_entry != entries {
            self.problem(
                "journal",
                row.number,
                format!("begins at entry {}, not {entries}", row.first_entry),
            );
        }
        let Some(seen) = sessions.get_mut(&row.session) else {
            return self.problem(
                "journal",
                row.number,
                format!("of unknown session {}", row.session),
            );
        };
        let follows = row.before == seen.root && row.previous_in_session == seen.last_journal;
        seen.root = encode::chained(&seen.root, bytes);
        seen.last_journal = Some(row.number);
        seen.entries += row.entries;
        seen.last_entry =
            row.entries.checked_sub(1).map(|last| row.first_entry + last).or(seen.last_entry);
        let mut broken = Vec::new();
        for moved in &row.moves {
            let before = seen.heads.get(&moved.branch);
            if before.is_some() != moved.existed || before.copied().flatten() != moved.from {
                broken.push(moved.branch.clone());
            }
            if moved.exists {
                seen.heads.insert(moved.branch.clone(), moved.to);
            } else {
                seen.heads.remove(&moved.branch);
            }
        }
        if let Some((_, active)) = &row.activated {
            seen.active = Some(active.clone());
        }
        if !follows {
            self.problem("journal", row.number, "does not follow the row before it of its session");
        }
        for branch in broken {
            self.problem("journal", row.number, format!("moves branch {branch:?} from elsewhere"));
        }
    }

    /// Heads, counts and roots of a session against its journal.
    fn heads(&mut self, seen: &Seen) -> Result<(), Fault> {
        let name = seen.row.name.clone();
        let mut stored = BTreeMap::new();
        for (branch, head) in self.snapshot.tables.branches(&seen.row, "", usize::MAX)? {
            let head = head.map(|number| self.snapshot.place(number)).transpose()?;
            stored.insert(branch, head.map(|place| place.id));
        }
        if stored != seen.heads {
            self.problem("head", &name, "the branches are not where the journal left them");
        }
        let row = &seen.row;
        let counted = (row.branches, row.journal_root, Some(row.last_journal));
        let found = (stored.len() as u64, seen.root, seen.last_journal);
        let entries = (row.entries, row.last_entry) == (seen.entries, seen.last_entry);
        if counted != found || !entries {
            self.problem("session", &name, "its counts are not those of its journal");
        }
        if seen.active.as_ref().is_some_and(|active| *active != row.active) {
            self.problem("session", &name, "its active branch is not the one of its journal");
        }
        Ok(())
    }
}
