//! Decides what a change does: finds its session, heads and parents, tells a retry, derives places, checks
//! what is expected. It writes nothing.

use std::collections::HashSet;
use std::sync::Arc;

use super::apply::Applier;
use super::overlay::{New, Overlay};
use super::rows::SessionRow;
use super::tables::WriteTables;
use crate::ancestry::{self, Places};
use crate::counted::Counted;
use crate::derive::{self, Above, Facts};
use crate::entry::{Draft, Entry, Parent};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::place::{Number, Place};
use crate::store::{Change, Committed, Expect, HeadMove, MAIN, MemoWrite, Move, Presence, To};

/// What a change does, before it is written.
pub(super) struct Plan {
    pub(super) session: Arc<SessionRow>,
    pub(super) created: bool,
    pub(super) new: Vec<New>,
    pub(super) moves: Vec<(HeadMove, Option<Number>)>,
    pub(super) activated: Option<(String, String)>,
    pub(super) committed: Committed,
    pub(super) retry: bool,
}

impl Plan {
    /// Whether there is anything for the journal.
    pub(super) fn moves_heads(&self) -> bool {
        !self.new.is_empty() || !self.moves.is_empty() || self.activated.is_some()
    }
}

impl Applier<'_, '_> {
    /// What `change` does, or why it is refused.
    pub(super) fn plan(&self, change: &Change, known: Option<Arc<SessionRow>>) -> Result<Plan> {
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
            (None, Some((branch, _, head))) => ((*branch).to_owned(), overlay.id_of(*head)?),
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
        known: Option<Arc<SessionRow>>,
        overlay: &Overlay<'_, '_>,
    ) -> Result<(Arc<SessionRow>, bool)> {
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
                let active = change.moves.first().and_then(|moved| moved.branch.as_deref());
                let active = active.unwrap_or(MAIN);
                let row = SessionRow::new(number, &change.session, tree, active, change.at_ms);
                Ok((Arc::new(row), true))
            }
        }
    }

    /// Name, presence and head of each branch that the change moves.
    fn heads<'c>(&self, change: &'c Change, session: &'c SessionRow) -> Result<Vec<Head<'c>>> {
        let head = |moved: &'c Move| {
            let branch = moved.branch.as_deref().unwrap_or(&session.active);
            let head = self.tables.head(session, branch)?;
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
            let entry = draft.entry_under(above.as_ref().map(|place| place.id));
            let known = overlay.known(draft, &entry.id(), above.as_ref(), session)?;
            let place = if let Some(place) = known {
                all_there &=
                    place.session == session.number && place.number < self.counters.entries;
                place
            } else {
                all_there = false;
                let new = self.derive(
                    (index, draft, entry),
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
        (index, draft, entry): (usize, &Draft, Entry),
        above: Option<&Arc<Place>>,
        session: &SessionRow,
        previous_in_session: Option<Number>,
        overlay: &Overlay<'_, '_>,
    ) -> Result<New> {
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
}

type Head<'c> = (&'c str, bool, Option<Number>);

/// Checks the expectations.
fn expected(change: &Change, heads: &[Head<'_>], overlay: &Overlay<'_, '_>) -> Result<()> {
    for (wanted, (branch, existed, head)) in change.moves.iter().zip(heads) {
        if wanted.expect == Expect::Absent && *existed {
            return Err(Error::Exists { what: "branch", name: (*branch).to_owned() });
        }
        let from = overlay.id_of(*head)?;
        let (as_expected, expected) = match wanted.expect {
            Expect::Any | Expect::Absent => (true, None),
            Expect::Head(id) => (from == Some(id), Some(id)),
            Expect::Behind(id) => (is_behind(*head, &id, overlay)?, Some(id)),
            Expect::Empty => (from.is_none(), None),
        };
        if !as_expected {
            return Err(Error::HeadMoved {
                session: change.session.clone(),
                branch: (*branch).to_owned(),
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
    heads: &[Head<'_>],
    ids: &[Id],
    overlay: &Overlay<'_, '_>,
) -> Result<Vec<(HeadMove, Option<Number>)>> {
    expected(change, heads, overlay)?;
    let mut moves = Vec::with_capacity(heads.len());
    let mut moved = HashSet::new();
    for (wanted, (branch, existed, head)) in change.moves.iter().zip(heads) {
        if heads.len() > 1 && !moved.insert(branch) {
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
        let head = HeadMove { branch: (*branch).to_owned(), existed: *existed, exists, from, to };
        moves.push((head, number));
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
