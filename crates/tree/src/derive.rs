//! Derives the place of an entry from its parent's place and its own envelope: the one definition of
//! everything that is carried along a path, used when an entry is appended and when it is verified.

use std::sync::Arc;

use crate::ancestry::{self, Places};
use crate::counted::{Counted, Counter};
use crate::encode::short_hash;
use crate::entry::{Envelope, Kind, Mask};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::limits;
use crate::place::{Active, Cut, Number, OpenCall, Place};

/// What a place is derived from, beside the places above it.
pub(crate) trait Above: Places {
    /// The envelope of an entry that must be there.
    fn envelope(&self, number: Number) -> Result<Envelope>;

    /// The number of an entry that must be there.
    fn number_of(&self, id: &Id) -> Result<Number>;
}

/// The facts of a new entry that no parent tells.
pub(crate) struct Facts<'a> {
    pub(crate) number: Number,
    pub(crate) id: Id,
    pub(crate) session: u64,
    pub(crate) previous_in_session: Option<Number>,
    pub(crate) tree: u64,
    pub(crate) envelope: &'a Envelope,
    pub(crate) size: Counted,
    /// The entry its envelope's target names, where it names one that must be there.
    pub(crate) target: Option<Arc<Place>>,
}

/// Short hash under which an alias is found in its tree.
pub(crate) fn alias_hash(tree: u64, alias: &str) -> u64 {
    short_hash("treering/alias/1", &[&tree.to_le_bytes(), alias.as_bytes()])
}

fn call_hash(call: &str) -> u64 {
    short_hash("treering/call/1", &[call.as_bytes()])
}

fn slot_hash(slot: &str) -> u64 {
    short_hash("treering/slot/1", &[slot.as_bytes()])
}

/// Whether the target of an entry of this kind must be in the store.
pub(crate) fn needs_target(kind: Kind) -> bool {
    matches!(kind, Kind::Compaction | Kind::Pin | Kind::Unpin)
}

/// How far the numbers go down one by one from a child of `parent`.
fn run_under(parent: &Place, number: Number) -> u64 {
    if parent.number + 1 == number { parent.run + 1 } else { 0 }
}

/// The place of an entry under `parent`. O(log n), and for a compaction O(pins * log n) more.
///
/// # Errors
/// `Invalid` or `Conflict` where the entry breaks a rule of its path.
pub(crate) fn place(
    above: &impl Above,
    parent: Option<&Arc<Place>>,
    facts: &Facts<'_>,
) -> Result<Place> {
    let envelope = facts.envelope;
    let kind = envelope.kind;
    let counts = kind.has_place_in_context();
    let Counted { tokens, counter } =
        if counts || kind == Kind::Compaction { facts.size } else { Counted::default() };
    let (counter, counted_from) = counted_from(parent, counter);
    let turns_before = parent.map_or(0, |parent| parent.turn);
    let tokens_before = parent.map_or(0, |parent| parent.tokens_through);
    let mut place = Place {
        number: facts.number,
        id: facts.id,
        parent: parent.map(|parent| parent.number),
        session: facts.session,
        previous_in_session: facts.previous_in_session,
        alias: envelope.alias.as_deref().map(|alias| alias_hash(facts.tree, alias)),
        kind,
        depth: parent.map_or(0, |parent| parent.depth + 1),
        run: parent.map_or(0, |parent| run_under(parent, facts.number)),
        jump: parent.map_or(Ok(facts.number), |parent| ancestry::jump_under(above, parent))?,
        turn: turns_before + u64::from(kind == Kind::User),
        tokens,
        tokens_through: tokens_before + if counts { u64::from(tokens) } else { 0 },
        counter,
        counted_from,
        compaction: parent.and_then(|parent| parent.compaction),
        pins: parent.and_then(|parent| parent.pins),
        open: open_after(parent, facts.number, envelope)?,
        cut: None,
    };
    match kind {
        Kind::SystemPrompt => place.pins = Some(place.number),
        Kind::Pin | Kind::Unpin => match on_path(above, parent, facts.target.as_deref()) {
            Ok(_) => place.pins = Some(place.number),
            // What it is about went with the lost part of the path: it does nothing.
            Err(_) if below_lost(above, parent)? => {}
            Err(error) => return Err(error),
        },
        Kind::Compaction => {
            let mut cut = cut(above, parent, place.number, facts.target.as_deref())?;
            cut.covered_tokens += saved(above, parent, &cut, &envelope.masks)?;
            place.cut = Some(cut);
            place.compaction = Some(place.number);
        }
        _ => {}
    }
    Ok(place)
}

/// The newest counter named at or above an entry whose size is this one's, and from which depth on
/// nothing was counted by another.
fn counted_from(parent: Option<&Arc<Place>>, counter: Counter) -> (Counter, u64) {
    match parent {
        None => (counter, 0),
        Some(above) if counter == Counter::UNNAMED => (above.counter, above.counted_from),
        Some(above) if counter.agrees_with(above.counter) => (counter, above.counted_from),
        Some(above) => (counter, above.depth + 1),
    }
}

/// Calls open after an entry: a user entry closes all, as a lost one may have, a result the ones it
/// answers.
fn open_after(
    parent: Option<&Arc<Place>>,
    by: Number,
    envelope: &Envelope,
) -> Result<Vec<OpenCall>> {
    let mut open = match parent {
        Some(parent) if !matches!(envelope.kind, Kind::User | Kind::Lost) => parent.open.clone(),
        _ => Vec::new(),
    };
    for answer in &envelope.answers {
        let call = call_hash(answer);
        if let Some(at) = open.iter().rposition(|known| known.call == call) {
            open.remove(at);
        }
    }
    open.extend(envelope.calls.iter().map(|call| OpenCall { call: call_hash(call), by }));
    limits::within("open tool calls", limits::OPEN_CALLS, open.len())?;
    Ok(open)
}

/// The target, which must be an ancestor of the entry.
fn on_path<'t>(
    above: &impl Places,
    parent: Option<&Arc<Place>>,
    target: Option<&'t Place>,
) -> Result<&'t Place> {
    if let (Some(parent), Some(target)) = (parent, target)
        && ancestry::is_ancestor(above, target, parent)?
    {
        return Ok(target);
    }
    let target = target.map_or_else(|| "none".to_owned(), |target| target.id.to_string());
    Err(Error::invalid("target", format!("{target} is not an ancestor of the entry")))
}

/// Whether the path begins with a lost entry: what came before it is not known any more.
fn below_lost(above: &impl Places, parent: Option<&Arc<Place>>) -> Result<bool> {
    let root = parent.map(|parent| ancestry::at_depth(above, parent, 0)).transpose()?.flatten();
    Ok(root.is_some_and(|root| root.kind == Kind::Lost))
}

/// What a compaction with this number does under `parent`, keeping from `target` on.
///
/// # Errors
/// `Invalid` or `Conflict` where it may not cut there.
pub(crate) fn cut(
    above: &impl Above,
    parent: Option<&Arc<Place>>,
    number: Number,
    target: Option<&Place>,
) -> Result<Cut> {
    let found = target.map(|_| on_path(above, parent, target)).transpose();
    let (first_kept, depth, covered_tokens, covered_turns) = if let (Err(_), Some(parent)) =
        (&found, parent)
        && below_lost(above, Some(parent))?
    {
        // All that is left of the path may have been kept, so all of it is.
        let root = ancestry::at_depth(above, parent, 0)?;
        (root.map_or(number, |root| root.number), 0, 0, 0)
    } else if let Some(first) = found? {
        let before = first.parent.map(|number| above.place(number)).transpose()?;
        if !first.may_be_first_kept(before.as_deref()) {
            return Err(Error::invalid(
                "cut",
                format!("it would part a tool call from its result at {}", first.id),
            ));
        }
        (first.number, first.depth, first.tokens_before(), first.turns_before())
    } else {
        if parent.is_some_and(|parent| !parent.open.is_empty()) {
            return Err(Error::invalid("cut", "nothing is kept while a tool call is open"));
        }
        parent.map_or((number, 0, 0, 0), |parent| {
            (number, parent.depth + 1, parent.tokens_through, parent.turn)
        })
    };
    let superseded = parent.and_then(|parent| parent.compaction).map(|number| above.place(number));
    let older = superseded.transpose()?;
    if let Some((older, cut)) = older.as_ref().and_then(|older| Some((older, older.cut.as_ref()?)))
        && depth <= cut.first_kept_depth
        && !below_lost(above, parent)?
    {
        return Err(Error::Superseded { by: older.id });
    }
    let active = active_at(above, parent, older.as_deref())?;
    limits::within("active pins", limits::ACTIVE_PINS, active.len())?;
    let lifted = parent.map_or(Ok(vec![]), |parent| lifted(above, parent, &active, depth))?;
    let tokens =
        lifted.iter().map(|number| above.place(*number).map(|place| u64::from(place.tokens)));
    let lifted_tokens = tokens.sum::<Result<u64>>()?;
    Ok(Cut {
        first_kept,
        first_kept_depth: depth,
        covered_tokens,
        covered_turns,
        active,
        lifted,
        lifted_tokens,
    })
}

/// Tokens that masks save. Each must be of an entry that is kept, has what can be masked, and is not
/// pinned.
fn saved(
    above: &impl Above,
    parent: Option<&Arc<Place>>,
    cut: &Cut,
    masks: &[Mask],
) -> Result<u64> {
    let mut seen = std::collections::BTreeSet::new();
    let mut saved = 0;
    for mask in masks {
        let refused = |why: &str| Error::invalid("mask", format!("{} {why}", mask.entry));
        let place = match above.number_of(&mask.entry).and_then(|number| above.place(number)) {
            // It went with the lost part of the path.
            Err(_) if below_lost(above, parent)? => continue,
            found => found?,
        };
        let before = place.parent.map(|number| above.place(number)).transpose()?;
        if on_path(above, parent, Some(&place)).is_err() || place.depth < cut.first_kept_depth {
            return Err(refused("is not kept"));
        }
        if !place.may_be_masked(before.as_deref()) {
            return Err(refused("has no tool call or result next to its call"));
        }
        if cut.active.iter().any(|active| active.entry == place.number) {
            return Err(refused("is pinned"));
        }
        if !seen.insert(mask.entry) {
            return Err(refused("is masked twice"));
        }
        saved += u64::from(mask.saved_tokens.min(place.tokens));
    }
    Ok(saved)
}

/// Pins and prompts active after `parent`: those of the compaction before, and what changed since.
fn active_at(
    above: &impl Above,
    parent: Option<&Arc<Place>>,
    older: Option<&Place>,
) -> Result<Vec<Active>> {
    let mut changes = Vec::new();
    let mut next = parent.and_then(|parent| parent.pins);
    while let Some(number) = next {
        let place = above.place(number)?;
        if older.is_some_and(|older| place.depth < older.depth) {
            break;
        }
        next = place.parent.map(|number| above.place(number)).transpose()?.and_then(|up| up.pins);
        changes.push(number);
    }
    let mut active =
        older.and_then(|older| older.cut.as_ref()).map_or(vec![], |cut| cut.active.clone());
    for number in changes.into_iter().rev() {
        let envelope = above.envelope(number)?;
        if let Some(slot) = envelope.slot.as_deref().map(slot_hash) {
            active.retain(|known| known.slot != Some(slot));
            active.push(Active { entry: number, slot: Some(slot) });
        } else if let Some(target) = envelope.target {
            let target = above.number_of(&target)?;
            active.retain(|known| known.slot.is_some() || known.entry != target);
            if envelope.kind == Kind::Pin {
                active.push(Active { entry: target, slot: None });
            }
        }
    }
    active.sort_unstable_by_key(|known| (known.entry, known.slot));
    Ok(active)
}

/// What of `active` is covered and has a place in a context, each with the rest of its call group, in
/// path order. The path ends with `below`.
fn lifted(
    above: &impl Places,
    below: &Arc<Place>,
    active: &[Active],
    first_kept_depth: u64,
) -> Result<Vec<Number>> {
    let mut numbers = std::collections::BTreeSet::new();
    let mut next = Vec::new();
    for Active { entry, .. } in active {
        let place = above.place(*entry)?;
        if place.depth < first_kept_depth && place.kind.has_place_in_context() {
            next.push(place.number);
        }
    }
    // One result may answer the calls of several entries: the group is whatever hangs together.
    while let Some(number) = next.pop() {
        if numbers.insert(number) {
            let place = above.place(number)?;
            next.extend(answered(above, &place)?);
            next.extend(results(above, below, &place)?);
        }
    }
    Ok(numbers.into_iter().collect())
}

/// The entries whose calls a result closes; none for other kinds.
fn answered(above: &impl Places, place: &Place) -> Result<Vec<Number>> {
    let mut closed = match place.parent {
        Some(parent) if place.kind == Kind::ToolResult => above.place(parent)?.open.clone(),
        _ => Vec::new(),
    };
    for open in &place.open {
        if let Some(at) = closed.iter().position(|known| known == open) {
            closed.remove(at);
        }
    }
    Ok(closed.into_iter().map(|open| open.by).collect())
}

/// The results that close calls of `caller` on the path to `below`.
fn results(above: &impl Places, below: &Arc<Place>, caller: &Arc<Place>) -> Result<Vec<Number>> {
    let mut found = Vec::new();
    let mut at = Some(Arc::clone(caller));
    while let Some(place) = at {
        if !place.open.iter().any(|open| open.by == caller.number) {
            break;
        }
        at = ancestry::at_depth(above, below, place.depth + 1)?;
        if let Some(place) = &at
            && answered(above, place)?.contains(&caller.number)
        {
            found.push(place.number);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
