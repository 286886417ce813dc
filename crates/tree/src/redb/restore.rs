//! The second half of `recover`: puts entries whose ids are known into a new store, deriving their places
//! as an append does. It has no opinion on where they come from.

use std::path::Path;
use std::sync::Arc;

use super::apply::Applier;
use super::fault::{Fault, guarded};
use super::file::Place as Where;
use super::index::Merging;
use super::open::Resumed;
use super::overlay::{New, Overlay};
use super::prepare::Prepared;
use super::round::{Beside, Ends, Round};
use super::rows::{Counters, SessionRow};
use super::salvage::Salvage;
use super::sessions::Sessions;
use super::shrink::{self, Effort};
use super::tables::WriteTables;
use super::{Durability, Open, Options, Sharing};
use crate::counted::Counted;
use crate::derive::{self, Facts};
use crate::entry::{Content, Entry, Kind};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::place::Number;
use crate::store::{HeadMove, MAIN};

/// Entries, and bytes of their bodies, in one transaction.
const GROUP_ENTRIES: usize = 1_024;
const GROUP_BYTES: usize = 8 << 20;
/// Session of what has none.
pub(super) const RECOVERED: &str = "recovered";

/// An entry to put back, and its size in tokens.
pub(super) struct Item {
    pub(super) entry: Entry,
    pub(super) size: Counted,
}

/// An entry that is whole and has no place in the new store: a stand-in takes its own.
pub(super) struct Refused {
    pub(super) id: Id,
    pub(super) why: String,
}

/// A store that is being filled.
pub(super) struct Restorer {
    open: Open,
    counters: Counters,
    merging: Merging,
    at_ms: i64,
    names: Vec<String>,
    /// Sessions that are still to be written.
    created: Vec<SessionRow>,
    /// The session of what has none, once there is something.
    unknown: Option<usize>,
    waiting: Vec<(usize, Item)>,
    waiting_bytes: usize,
    refused: Vec<Refused>,
}

impl Restorer {
    /// A new store at `path`, with the secret of an older one, so that what is imported again is found, and
    /// with its keys.
    pub(super) fn create(path: &Path, options: &Options, older: &Salvage) -> Result<Self> {
        if options.encrypt.is_none() && older.master.is_none() && !older.keys.is_empty() {
            return Err(Error::Key {
                why: "the wrapped secret is lost: give the key to make a new one",
            });
        }
        let at_ms = options.sources.now_ms();
        let options = &options.clone().sharing(Sharing::Exclusive);
        let (open, Resumed { counters, merging, .. }) =
            Open::new(&Where::File(path.to_owned()), options)?;
        guarded(|| {
            let txn = open.database()?.begin_write()?;
            let mut tables = WriteTables::open(&txn)?;
            if let Some(older) = &older.identity {
                let mut identity = open.identity.clone();
                (identity.secret, identity.created_ms) = (older.secret, older.created_ms);
                tables.put_identity(&identity)?;
            }
            if let Some(master) = &older.master {
                tables.put_master(master)?;
            }
            for (number, wrapped) in &older.keys {
                tables.put_key(*number, wrapped)?;
            }
            drop(tables);
            Ok(txn.commit()?)
        })?;
        Ok(Self {
            open,
            counters,
            merging,
            at_ms,
            names: Vec::new(),
            created: Vec::new(),
            unknown: None,
            waiting: Vec::new(),
            waiting_bytes: 0,
            refused: Vec::new(),
        })
    }

    pub(super) fn name(&self, session: usize) -> &str {
        self.names.get(session).map_or(RECOVERED, String::as_str)
    }

    /// Makes the next session; `tree` is the number of the session whose aliases it shares.
    pub(super) fn session(
        &mut self,
        name: &str,
        active: &str,
        tree: Option<usize>,
        older: Option<&SessionRow>,
    ) -> usize {
        let number = self.names.len();
        self.names.push(name.to_owned());
        let created_ms = older.map_or(self.at_ms, |row| row.created_ms);
        let tree = tree.unwrap_or(number) as u64;
        let row = SessionRow {
            key: older.and_then(|row| row.key),
            ..SessionRow::new(number as u64, name, tree, active, created_ms)
        };
        self.created.push(row);
        number
    }

    /// The session itself, or the one of what has none.
    pub(super) fn known(&mut self, session: Option<usize>) -> usize {
        if let Some(known) = session.or(self.unknown) {
            return known;
        }
        let unknown = self.session(RECOVERED, MAIN, None, None);
        self.unknown = Some(unknown);
        unknown
    }

    /// Puts an entry back, once a group is full; answers its session.
    pub(super) fn put(&mut self, session: Option<usize>, item: Item) -> Result<usize> {
        let session = self.known(session);
        self.waiting_bytes += match item.entry.content() {
            Content::Whole(whole) => whole.body.bytes.len(),
            Content::Sealed(sealed) => sealed.bytes.len(),
            Content::Erased { .. } | Content::Lost => 0,
        };
        self.waiting.push((session, item));
        if self.waiting.len() >= GROUP_ENTRIES || self.waiting_bytes >= GROUP_BYTES {
            self.flush()?;
        }
        Ok(session)
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) -> Result<()> {
        let (created, waiting) =
            (std::mem::take(&mut self.created), std::mem::take(&mut self.waiting));
        self.waiting_bytes = 0;
        let names = self.names.clone();
        let at_ms = self.at_ms;
        let mut refused = Vec::new();
        self.transaction(false, |applier| {
            for row in created {
                let prepared = Prepared::recovered(&row.name, row.created_ms, Vec::new());
                applier.write(&prepared, Arc::new(row), true, &[], Vec::new(), None)?;
            }
            for run in waiting.chunk_by(|one, other| one.0 == other.0) {
                let name = run.first().and_then(|(session, _)| names.get(*session));
                if let Some(name) = name {
                    put_run(applier, name, at_ms, run, &mut refused)?;
                }
            }
            Ok(())
        })?;
        self.refused.extend(refused);
        Ok(())
    }

    /// Binds branches of a session.
    pub(super) fn bind(&mut self, session: usize, branches: &[(String, Option<Id>)]) -> Result<()> {
        let name = self.name(session).to_owned();
        let prepared = Prepared::recovered(&name, self.at_ms, Vec::new());
        self.transaction(false, |applier| {
            let missing = || Error::NotFound { what: "session", name: name.clone() };
            let row = applier.sessions.named(&applier.tables, &name)?.ok_or_else(missing)?;
            let mut moves = Vec::with_capacity(branches.len());
            for (branch, head) in branches {
                let place = head.map(|id| applier.overlay().find(&id)).transpose()?.flatten();
                let (branch, to) = (branch.clone(), place.as_ref().map(|place| place.id));
                let moved = HeadMove { branch, existed: false, exists: true, from: None, to };
                moves.push((moved, place.map(|place| place.number)));
            }
            applier.write(&prepared, row, false, &[], moves, None)?;
            Ok(())
        })
    }

    /// Makes all of it durable; answers what could not be put back as it was.
    pub(super) fn finish(mut self) -> Result<Vec<Refused>> {
        self.flush()?;
        self.transaction(true, |applier| {
            applier.wrote = true;
            Ok(())
        })?;
        Ok(self.refused)
    }

    fn transaction(
        &mut self,
        is_last: bool,
        work: impl FnOnce(&mut Applier<'_, '_>) -> Result<(), Fault>,
    ) -> Result<()> {
        let counters = self.counters.clone();
        let (open, merging) = (&self.open, &mut self.merging);
        let (caches, mut sessions) = (open.caches(), Sessions::default());
        let applied = guarded(|| {
            let mut round = Round::begin(open, None)?;
            let mut applied = round.with(|tables| {
                let mut applier = Applier {
                    tables,
                    counters,
                    index: &open.index,
                    caches: &caches,
                    keyring: &open.keyring,
                    merging,
                    sessions: &mut sessions,
                    row: Vec::new(),
                    appended: Vec::new(),
                    erased: false,
                    wrote: false,
                };
                work(&mut applier)?;
                applier.finish(Vec::new())
            })?;
            let ends = if is_last { Ends::Saved } else { Ends::As(Durability::TwoPhase) };
            let (counters, sessions) = (&mut applied.counters, &mut sessions);
            let beside = Beside { index: &open.index, merging, counters, sessions };
            round.end(beside, ends)?;
            Ok(applied)
        })?;
        self.counters = applied.counters;
        self.open.committed(false);
        Ok(())
    }
}

/// Puts back entries of one session, one after another.
fn put_run(
    applier: &mut Applier<'_, '_>,
    name: &str,
    at_ms: i64,
    run: &[(usize, Item)],
    refused: &mut Vec<Refused>,
) -> Result<(), Fault> {
    let missing = || Error::NotFound { what: "session", name: name.to_owned() };
    let row = applier.sessions.named(&applier.tables, name)?.ok_or_else(missing)?;
    let overlay = applier.overlay();
    let mut previous_in_session = row.last_entry;
    let mut shorter = Vec::with_capacity(run.len());
    for (draft, (_, item)) in run.iter().enumerate() {
        shorter
            .push(item.entry.body().and_then(|body| shrink::compress(&body.bytes, Effort::Full)));
        let derived = derive(&overlay, &row, previous_in_session, &item.entry, item.size);
        let (entry, place) = match derived {
            Ok(place) => (item.entry.clone(), place),
            Err(error) => {
                let (id, parent) = (item.entry.id(), item.entry.envelope().parent);
                refused.push(Refused { id, why: error.to_string() });
                let entry = Entry::lost(id, parent);
                let place =
                    derive(&overlay, &row, previous_in_session, &entry, Counted::default())?;
                (entry, place)
            }
        };
        previous_in_session = Some(place.number);
        overlay.add(New { draft, entry: Arc::new(entry), place: Arc::new(place) });
    }
    let new = overlay.new.into_inner();
    let prepared = Prepared::recovered(name, at_ms, shorter);
    applier.write(&prepared, row, false, &new, Vec::new(), None)?;
    Ok(())
}

fn derive(
    overlay: &Overlay<'_, '_>,
    session: &SessionRow,
    previous_in_session: Option<Number>,
    entry: &Entry,
    size: Counted,
) -> Result<crate::place::Place> {
    let envelope = entry.envelope();
    let find = |id: Id| overlay.find(&id)?.ok_or_else(|| Error::no_entry(&id));
    let target = envelope.target.filter(|_| derive::needs_target(envelope.kind));
    let parent = envelope.parent.map(find).transpose()?;
    let facts = Facts {
        number: overlay.entries + overlay.new.borrow().len() as u64,
        id: entry.id(),
        session: session.number,
        previous_in_session,
        tree: session.tree,
        envelope,
        size: if envelope.kind == Kind::Lost { Counted::default() } else { size },
        target: target.map(find).transpose()?,
    };
    derive::place(overlay, parent.as_ref(), &facts)
}
