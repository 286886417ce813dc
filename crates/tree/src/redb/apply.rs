//! Applies one change inside a write transaction: everything is checked and derived first, then
//! written, so that a refused change leaves nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cache::Caches;
use super::fault::Fault;
use super::index::{Index, Merging};
use super::keyring::{self, Keyring};
use super::overlay::{New, Overlay};
use super::sessions::Sessions;
use super::shrink;
use super::tables::{Counters, SessionRow, WriteTables, memo_key};
use crate::ancestry::{self, Places};
use crate::counted::Counted;
use crate::derive::{self, Above, Facts};
use crate::encode;
use crate::entry::{Draft, Parent};
use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::limits;
use crate::place::{Number, Place};
use crate::store::{
    Change, Committed, Expect, HeadMove, JournalRow, MAIN, MemoWrite, Move, Presence, Reason,
    Stored, To,
};

/// A change that was checked as far as that needs no store, its bodies compressed: done by the caller,
/// so that the one writer has less to do.
pub(super) struct Prepared {
    change: Change,
    /// For each draft, its body's shorter form, where that pays.
    shorter: Vec<Option<Vec<u8>>>,
    /// Bytes of all bodies.
    pub(super) bytes: usize,
    work: Work,
}

/// What applying a change does besides.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
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
        let shorter = |draft: &Draft| shrink::compress(&draft.body().bytes);
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
}

/// What a change does, before it is written.
struct Plan {
    session: SessionRow,
    created: bool,
    new: BTreeMap<Number, New>,
    moves: Vec<(HeadMove, Option<Number>)>,
    activated: Option<(String, String)>,
    committed: Committed,
    retry: bool,
}

impl Plan {
    /// Whether there is anything for the journal.
    fn moves_heads(&self) -> bool {
        !self.new.is_empty() || !self.moves.is_empty() || self.activated.is_some()
    }
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
            self.tables.put_counters(&self.counters)?;
        }
        let Self { counters, appended, erased, wrote, .. } = self;
        Ok(Applied { answers, counters, appended, erased, indexed, wrote })
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

    fn plan(&self, change: &Change, known: Option<SessionRow>) -> Result<Plan> {
        let overlay = self.overlay();
        let (session, created) = self.session(change, known, &overlay)?;
        let heads = self.heads(change, &session)?;
        let base = match heads.first() {
            Some((_, _, head)) => *head,
            None => session.head,
        };
        let derived = self.entries(change, &session, base, &overlay);
        if derived.is_err() {
            // A lost swap says more than what does not fit where the branch is by now.
            expected(change, &heads, &overlay)?;
        }
        let (ids, retry) = derived?;
        let moves = if retry { Vec::new() } else { moves(change, &heads, &ids, &overlay)? };
        if !retry {
            self.check_memos(change, &session, created)?;
        }
        let activated = activation(change, &session, &moves, &self.tables)?;
        let (branch, head) = match (moves.first(), heads.first()) {
            (Some((moved, _)), _) => (moved.branch.clone(), moved.to),
            (None, Some((branch, _, head))) => (branch.clone(), overlay.id_of(*head)?),
            (None, None) => match &activated {
                Some((_, active)) => {
                    let head = self.tables.head(&session, active)?.flatten();
                    (active.clone(), overlay.id_of(head)?)
                }
                None => (session.active.clone(), overlay.id_of(base)?),
            },
        };
        let new = overlay.new.into_inner();
        let committed = Committed { ids, added: new.len(), branch, head, journal: None };
        Ok(Plan { session, created, new, moves, activated, committed, retry })
    }

    /// The session, or the row a new one starts with.
    fn session(
        &self,
        change: &Change,
        known: Option<SessionRow>,
        overlay: &Overlay<'_, '_>,
    ) -> Result<(SessionRow, bool)> {
        match (known, change.presence) {
            (Some(_), Presence::New) => {
                Err(Error::Exists { what: "session", name: change.session.clone() })
            }
            (Some(row), _) => Ok((row, false)),
            (None, Presence::Existing) => {
                Err(Error::NotFound { what: "session", name: change.session.clone() })
            }
            (None, _) => {
                let number = self.counters.sessions;
                // A session bound to an entry that is there shares the aliases of its tree.
                let tree = match change.moves.first() {
                    Some(Move { to: To::Entry(id), .. }) => match overlay.find(id)? {
                        Some(place) => self.tables.session_at(place.session)?.tree,
                        None => number,
                    },
                    _ => number,
                };
                let active = change.moves.first().and_then(|moved| moved.branch.clone());
                let row = SessionRow {
                    number,
                    name: change.session.clone(),
                    tree,
                    active: active.unwrap_or_else(|| MAIN.to_owned()),
                    has_active: false,
                    head: None,
                    branches: 0,
                    entries: 0,
                    first_entry: None,
                    last_entry: None,
                    last_journal: 0,
                    journal_root: [0; 32],
                    created_ms: change.at_ms,
                    changed_ms: change.at_ms,
                    key: None,
                };
                Ok((row, true))
            }
        }
    }

    /// Name, presence and head of each branch that the change moves.
    fn heads(&self, change: &Change, session: &SessionRow) -> Result<Vec<Head>> {
        let head = |moved: &Move| {
            let branch = moved.branch.clone().unwrap_or_else(|| session.active.clone());
            let head = self.tables.head(session, &branch)?;
            Ok((branch, head.is_some(), head.flatten()))
        };
        change.moves.iter().map(head).collect()
    }

    fn check_memos(&self, change: &Change, session: &SessionRow, created: bool) -> Result<()> {
        if created && change.entries.is_empty() && change.moves.is_empty() {
            return Err(Error::NotFound { what: "session", name: change.session.clone() });
        }
        for MemoWrite { name, expect, .. } in &change.memos {
            if let Some(expected) = expect
                && self.tables.memo(session.number, name)? != *expected
            {
                let (session, name) = (session.name.clone(), name.clone());
                return Err(Error::MemoChanged { session, name });
            }
        }
        Ok(())
    }

    fn write_memos(&mut self, memos: &[MemoWrite], session: u64) -> Result<(), Fault> {
        for MemoWrite { name, value, .. } in memos {
            let key = memo_key(session, name);
            match value {
                Some(value) => self.tables.state.insert(key.as_slice(), value.as_slice())?,
                None => self.tables.state.remove(key.as_slice())?,
            };
            self.wrote = true;
        }
        Ok(())
    }

    /// Derives the places of the drafts; tells whether the change is a retry of one that was made.
    fn entries(
        &self,
        change: &Change,
        session: &SessionRow,
        base: Option<Number>,
        overlay: &Overlay<'_, '_>,
    ) -> Result<(Vec<Id>, bool)> {
        let mut above = base.map(|number| overlay.place(number)).transpose()?;
        let mut previous_in_session = session.last_entry;
        let mut ids = Vec::with_capacity(change.entries.len());
        let mut all_there = !change.entries.is_empty();
        for (index, draft) in change.entries.iter().enumerate() {
            if let Parent::Is(parent) = draft.parent {
                let find = |id: Id| overlay.find(&id)?.ok_or_else(|| Error::no_entry(&id));
                above = parent.map(find).transpose()?;
            }
            let place = if let Some(place) = overlay.known(draft, above.as_ref(), session)? {
                all_there &=
                    place.session == session.number && place.number < self.counters.entries;
                place
            } else {
                all_there = false;
                let new = self.derive(
                    (index, draft),
                    above.as_ref(),
                    session,
                    previous_in_session,
                    overlay,
                )?;
                previous_in_session = Some(new.place.number);
                overlay.add(new)
            };
            ids.push(place.id);
            above = Some(place);
        }
        Ok((ids, all_there))
    }

    fn derive(
        &self,
        (index, draft): (usize, &Draft),
        above: Option<&Arc<Place>>,
        session: &SessionRow,
        previous_in_session: Option<Number>,
        overlay: &Overlay<'_, '_>,
    ) -> Result<New> {
        let entry = draft.entry_under(above.map(|place| place.id));
        let target = match entry.envelope().target {
            Some(id) if derive::needs_target(entry.envelope().kind) => {
                Some(overlay.find(&id)?.ok_or_else(|| Error::no_entry(&id))?)
            }
            _ => None,
        };
        let facts = Facts {
            number: self.counters.entries + overlay.new.borrow().len() as u64,
            id: entry.id(),
            session: session.number,
            previous_in_session,
            tree: session.tree,
            envelope: entry.envelope(),
            size: Counted { tokens: draft.tokens, counter: draft.counter },
            target,
        };
        let place = derive::place(overlay, above, &facts)?;
        Ok(New { draft: index, entry: Arc::new(entry), place: Arc::new(place) })
    }

    pub(super) fn write(
        &mut self,
        Prepared { change, shorter, .. }: &Prepared,
        mut session: SessionRow,
        created: bool,
        new: &BTreeMap<Number, New>,
        moves: Vec<(HeadMove, Option<Number>)>,
        activated: Option<(String, String)>,
    ) -> Result<u64> {
        self.wrote = true;
        let first_entry = self.counters.entries;
        let sealing = if new.values().any(|new| keyring::is_sealed(&new.entry)) {
            self.keyring.of_session(&mut self.tables, &mut session)?
        } else {
            None
        };
        for (number, New { draft, entry, place }) in new {
            let shorter = shorter.get(*draft).and_then(Option::as_deref);
            let sealed =
                sealing.as_ref().map(|sealing| sealing.seal(entry, shorter)).transpose()?;
            let frame = match sealed.flatten() {
                Some(sealed) => encode::frame(&sealed, None),
                None => encode::frame(entry, shorter),
            };
            self.counters.stored_bytes += frame.len() as u64;
            let row = encode::pack(&**place)?;
            self.insert(*number, &frame, &row)?;
            self.index.insert(self.merging, place);
            self.appended.push(Stored { place: Place::clone(place), entry: Arc::clone(entry) });
            session.first_entry.get_or_insert(*number);
            session.last_entry = Some(*number);
        }
        self.counters.entries += new.len() as u64;
        session.entries += new.len() as u64;
        for (moved, to) in &moves {
            self.move_head(&mut session, moved, *to)?;
        }
        if let Some((_, active)) = &activated {
            self.activate(&mut session, active)?;
        }
        session.changed_ms = change.at_ms;
        let row = JournalRow {
            number: self.counters.journal_rows,
            session: session.number,
            previous_in_session: (!created).then_some(session.last_journal),
            reason: change.reason,
            at_ms: change.at_ms,
            first_entry,
            entries: new.len() as u64,
            moves: moves.into_iter().map(|(moved, _)| moved).collect(),
            activated,
            before: session.journal_root,
        };
        self.record(session, created, &row)?;
        Ok(row.number)
    }

    fn insert(&mut self, number: Number, frame: &[u8], place: &[u8]) -> Result<(), Fault> {
        self.tables.entries.push(number, frame)?;
        self.tables.places.push(number, place)
    }

    fn move_head(
        &mut self,
        session: &mut SessionRow,
        moved: &HeadMove,
        to: Option<Number>,
    ) -> Result<(), Fault> {
        session.branches += u64::from(moved.exists);
        session.branches -= u64::from(moved.existed);
        if moved.branch == session.active {
            (session.has_active, session.head) = (moved.exists, to);
            return Ok(());
        }
        if moved.exists {
            self.tables.put_head(session.number, &moved.branch, to)
        } else {
            self.tables.remove_head(session.number, &moved.branch)
        }
    }

    /// Gives the branch that was active a row of its own, and takes that of the new one into the
    /// session's.
    fn activate(&mut self, session: &mut SessionRow, active: &str) -> Result<(), Fault> {
        let head = self.tables.head(session, active)?;
        if session.has_active {
            self.tables.put_head(session.number, &session.active, session.head)?;
        }
        self.tables.remove_head(session.number, active)?;
        active.clone_into(&mut session.active);
        (session.has_active, session.head) = (head.is_some(), head.flatten());
        Ok(())
    }

    fn record(
        &mut self,
        mut session: SessionRow,
        created: bool,
        row: &JournalRow,
    ) -> Result<(), Fault> {
        let bytes = encode::pack(row)?;
        self.tables.journal.push(row.number, &bytes)?;
        self.counters.journal_rows += 1;
        session.last_journal = row.number;
        session.journal_root = encode::chained(&session.journal_root, &bytes);
        if created {
            self.tables.names.insert(session.name.as_bytes(), session.number)?;
            self.counters.sessions += 1;
            // Others of this group may fork from it.
            self.tables.put_session(&session)?;
        }
        self.sessions.put(session);
        Ok(())
    }
}

type Head = (String, bool, Option<Number>);

/// Checks the expectations.
fn expected(change: &Change, heads: &[Head], overlay: &Overlay<'_, '_>) -> Result<()> {
    for (wanted, (branch, _, head)) in change.moves.iter().zip(heads) {
        let from = overlay.id_of(*head)?;
        let (as_expected, expected) = match wanted.expect {
            Expect::Any => (true, None),
            Expect::Head(id) => (from == Some(id), Some(id)),
            Expect::Behind(id) => (is_behind(*head, &id, overlay)?, Some(id)),
            Expect::Empty => (from.is_none(), None),
        };
        if !as_expected {
            return Err(Error::HeadMoved {
                session: change.session.clone(),
                branch: branch.clone(),
                expected: expected.map_or_else(|| "no entry".to_owned(), |id| id.to_string()),
                actual: from,
            });
        }
    }
    Ok(())
}

fn is_behind(head: Option<Number>, id: &Id, overlay: &Overlay<'_, '_>) -> Result<bool> {
    let (Some(head), Some(mark)) = (head, overlay.find(id)?) else { return Ok(false) };
    let head = overlay.place(head)?;
    let same = (head.compaction, head.pins) == (mark.compaction, mark.pins);
    Ok(same && ancestry::is_ancestor(overlay, &mark, &head)?)
}

/// Checks the expectations and says where each branch goes.
fn moves(
    change: &Change,
    heads: &[Head],
    ids: &[Id],
    overlay: &Overlay<'_, '_>,
) -> Result<Vec<(HeadMove, Option<Number>)>> {
    expected(change, heads, overlay)?;
    let mut moves: Vec<(HeadMove, Option<Number>)> = Vec::with_capacity(heads.len());
    for (wanted, (branch, existed, head)) in change.moves.iter().zip(heads) {
        if moves.iter().any(|(moved, _)| moved.branch == *branch) {
            return Err(Error::invalid("change", format!("branch {branch:?} moves twice")));
        }
        let from = overlay.id_of(*head)?;
        let to = match wanted.to {
            To::Last => ids.last().copied(),
            To::Entry(id) => Some(id),
            To::Nothing | To::Removed => None,
        };
        let number = to.map(|id| overlay.number_of(&id)).transpose()?;
        let exists = wanted.to != To::Removed;
        let moved = HeadMove { branch: branch.clone(), existed: *existed, exists, from, to };
        moves.push((moved, number));
    }
    Ok(moves)
}

/// The active branch before and after, where it changes. It must be there afterwards.
fn activation(
    change: &Change,
    session: &SessionRow,
    moves: &[(HeadMove, Option<Number>)],
    tables: &WriteTables<'_>,
) -> Result<Option<(String, String)>> {
    let active = change.activate.as_ref().unwrap_or(&session.active);
    let moved = moves.iter().find(|(moved, _)| moved.branch == *active);
    let there = match moved {
        Some((moved, _)) => moved.exists,
        // A session without any branch, such as one of imported entries alone, may stay so.
        None if change.activate.is_none() => true,
        None => tables.head(session, active)?.is_some(),
    };
    if !there {
        return Err(match moved {
            Some(_) => Error::invalid("change", format!("branch {active:?} is active and stays")),
            None => Error::NotFound { what: "branch", name: active.clone() },
        });
    }
    Ok((*active != session.active).then(|| (session.active.clone(), active.clone())))
}
