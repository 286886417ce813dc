//! Erasing: the bodies of entries give way to their commitments, in the step that appends a tombstone for
//! each. What may still tell of them is listed, never touched.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::apply::Applier;
use super::fault::Fault;
use super::overlay::Overlay;
use super::place_row;
use super::prepare::Prepared;
use super::snapshot::Snapshot;
use crate::derive::Above;
use crate::encode;
use crate::entry::{Content, Draft, Entry, Kind, Nonce};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::limits;
use crate::message::{TOMBSTONE_FORMAT, Tombstone};
use crate::place::{Number, Place};
use crate::store::{Change, Committed, Dependants, Erasure, Expect, Move, Presence, Reason, To};

/// The tombstones of an erasure; `nonce` gives the same one again for a retry.
pub(super) fn tombstones(erasure: &Erasure, nonce: impl Fn(&Id) -> Nonce) -> Result<Change> {
    let Erasure { entries, at_ms, .. } = erasure;
    limits::within("entries in one change", limits::ENTRIES_PER_CHANGE, entries.len())?;
    if entries.is_empty() {
        return Err(Error::invalid("erasure", "no entries"));
    }
    let body = tombstone(erasure).body();
    let draft = |id: &Id| Draft::new(Kind::Record, *at_ms, nonce(id), body.clone()).target(*id);
    Ok(change(erasure, entries.iter().map(draft).collect()))
}

/// The tombstone of a session whose key is forgotten: it has no target.
pub(super) fn forgetting(erasure: &Erasure, nonce: Nonce) -> Change {
    let body = tombstone(erasure).body();
    change(erasure, vec![Draft::new(Kind::Record, erasure.at_ms, nonce, body)])
}

fn tombstone(Erasure { by, reason, at_ms, .. }: &Erasure) -> Tombstone {
    Tombstone { by: by.clone(), at_ms: *at_ms, reason: reason.clone() }
}

fn change(Erasure { session, at_ms, .. }: &Erasure, entries: Vec<Draft>) -> Change {
    Change {
        presence: Presence::Existing,
        entries,
        moves: vec![Move { branch: None, expect: Expect::Any, to: To::Last }],
        ..Change::new(session, Reason::Erase, *at_ms)
    }
}

impl<'t> Applier<'t, '_> {
    /// Appends those of the tombstones whose targets still have a body, and takes the bodies away.
    pub(super) fn erase(&mut self, change: &Change) -> Result<Committed> {
        let mut bodies = BTreeMap::new();
        let mut tombstones = Vec::new();
        for draft in &change.entries {
            let target = draft.envelope().target;
            if let Some((place, entry)) = target.map(|id| self.body_of(&id)).transpose()?.flatten()
                && bodies.insert(place.number, (place, entry)).is_none()
            {
                tombstones.push(draft.clone());
            }
        }
        if bodies.is_empty() {
            return self.nothing_to_erase(&change.session);
        }
        let committed =
            self.apply(&Prepared::new(Change { entries: tombstones, ..change.clone() })?)?;
        for (number, (place, entry)) in &bodies {
            let frame = encode::frame(&entry.without_body(), place.follows(), None);
            self.replace(*number, &frame)?;
        }
        self.erased = true;
        Ok(committed)
    }

    /// Appends the tombstone and takes the session's key away, if it still has one.
    pub(super) fn forget(&mut self, prepared: &Prepared) -> Result<Committed> {
        let session = prepared.session();
        let row = self.sessions.named(&self.tables, session)?;
        if row.is_some_and(|row| row.key.is_none()) {
            return self.nothing_to_erase(session);
        }
        let committed = self.apply(prepared)?;
        if let Some(mut row) = self.sessions.named(&self.tables, session)? {
            self.keyring.forget(&mut self.tables, self.sessions.take(&mut row))?;
            self.sessions.put(row);
        }
        self.erased = true;
        Ok(committed)
    }

    /// Place and entry, where there is a body to erase.
    fn body_of(&self, id: &Id) -> Result<Option<(Arc<Place>, Entry)>> {
        let place = self.overlay().find(id)?.ok_or_else(|| Error::no_entry(id))?;
        // Without the body there is no telling its commitment.
        let unreadable = |fault| Error::invalid("erasure", Error::from(fault).to_string());
        let entry = self.tables.entry_at(place.number, id).map_err(unreadable)?;
        let entry = self.keyring.opened(&self.tables, entry)?;
        match entry.content() {
            Content::Erased { .. } | Content::Sealed(_) => Ok(None),
            Content::Lost => Err(Error::invalid("erasure", format!("{id} is lost already"))),
            Content::Whole(whole) if whole.body.format == TOMBSTONE_FORMAT => {
                Err(Error::invalid("erasure", format!("{id} is a tombstone, which stays")))
            }
            Content::Whole(_) => Ok(Some((place, entry))),
        }
    }

    fn nothing_to_erase(&mut self, session: &str) -> Result<Committed> {
        let missing = || Error::NotFound { what: "session", name: session.to_owned() };
        let row = self.sessions.named(&self.tables, session)?.ok_or_else(missing)?;
        let head = self.overlay().id_of(row.head)?;
        Ok(Committed { ids: Vec::new(), added: 0, branch: row.active.clone(), head, journal: None })
    }

    fn replace(&mut self, number: Number, frame: &[u8]) -> Result<(), Fault> {
        let before = self.tables.frame_at(number)?.bytes().len() as u64;
        self.tables.replace_entry(number, frame)?;
        self.counters.stored_bytes = self.counters.stored_bytes - before + frame.len() as u64;
        Ok(())
    }

    /// The store as this group has left it so far.
    pub(super) fn overlay(&self) -> Overlay<'_, 't> {
        Overlay {
            tables: &self.tables,
            index: self.index,
            caches: self.caches,
            keyring: self.keyring,
            sessions: self.sessions,
            entries: self.counters.entries,
            new: RefCell::default(),
            new_ids: RefCell::default(),
            new_aliases: RefCell::default(),
        }
    }
}

/// What may still tell of these entries. One pass over the places from the first of them on, and over the
/// envelopes of the records among them, and a byte of memory for each.
pub(super) fn dependants(snapshot: &Snapshot, ids: &[Id]) -> Result<Dependants, Fault> {
    let mut found = Dependants::default();
    let sorted: BTreeSet<Id> = ids.iter().copied().collect();
    let mut holds = Holds { first: Number::MAX, flags: Vec::new() };
    let mut numbers = Vec::with_capacity(ids.len());
    for id in ids {
        numbers.extend(snapshot.find(id)?.map(|place| place.number));
    }
    numbers.sort_unstable();
    holds.first = numbers.first().copied().unwrap_or(Number::MAX);
    snapshot.tables.places.visit(holds.first, |number, bytes| {
        let place = place_row::unpack(number, bytes)?;
        let is_one = numbers.binary_search(&place.number).is_ok();
        let below = place.parent.is_some_and(|parent| holds.get(parent));
        holds.flags.push(is_one || below);
        let may = place.cut.is_some() || place.kind == Kind::BranchSummary;
        if may && may_tell(snapshot, &place, &holds)? {
            found.summaries.push(place.id);
        }
        if place.kind == Kind::Record && is_about(snapshot, &place, &sorted)? {
            found.labels.push(place.id);
        }
        Ok(true)
    })?;
    for session in 0..snapshot.counters.sessions {
        let row = snapshot.tables.session_at(session)?;
        for (branch, head) in snapshot.tables.branches(&row, "", usize::MAX)? {
            if head.is_some_and(|head| holds.get(head)) {
                found.branches.push((row.name.clone(), branch));
            }
        }
    }
    Ok(found)
}

/// Whether a summary covers, or speaks of a path that holds, one of the entries.
fn may_tell(snapshot: &Snapshot, place: &Place, holds: &Holds) -> Result<bool, Fault> {
    if let Some(cut) = &place.cut {
        let first_kept = if cut.first_kept == place.number { None } else { Some(cut.first_kept) };
        let first_kept = first_kept.map(|number| snapshot.tables.place_at(number)).transpose()?;
        let above = first_kept.map_or(place.parent, |first| first.parent);
        return Ok(above.is_some_and(|number| holds.get(number)));
    }
    let of = snapshot.envelope(place.number)?.target.map(|id| snapshot.find(&id)).transpose()?;
    Ok(of.flatten().is_some_and(|of| holds.get(of.number)))
}

/// Whether a record says something about one of the entries. A tombstone does, and is to stay.
fn is_about(snapshot: &Snapshot, place: &Place, ids: &BTreeSet<Id>) -> Result<bool, Fault> {
    let target = snapshot.envelope(place.number)?.target;
    if !target.is_some_and(|target| ids.contains(&target)) {
        return Ok(false);
    }
    let stored = snapshot.entry(&place.id)?;
    let format = stored.as_ref().and_then(|it| it.entry.body()).map(|body| body.format.as_str());
    Ok(format.is_some_and(|format| format != TOMBSTONE_FORMAT))
}

/// For each entry from `first` on, whether its path holds one of those asked for.
struct Holds {
    first: Number,
    flags: Vec<bool>,
}

impl Holds {
    fn get(&self, number: Number) -> bool {
        let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.flags.get(at)).copied().unwrap_or(false)
    }
}
