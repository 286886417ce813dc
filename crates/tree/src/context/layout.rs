//! How the entries of a tail are laid out as the items of a context, and how that goes on with the
//! entries behind it. What is laid out stays: only the group of an open call, at the end, is laid again.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Form, Item, Source};
use crate::entry::{Entry, Kind};
use crate::id::Id;
use crate::store::{Stored, Tail};

/// The items of a context, and what it takes to go on.
pub(crate) struct Layout {
    items: Arc<Vec<Item>>,
    /// How many of them stay, whatever comes.
    settled: usize,
    /// Entries behind those: from the oldest on that makes a call which is open.
    pending: Vec<Stored>,
    rules: Rules,
}

impl Layout {
    pub(crate) fn of(tail: Tail) -> Self {
        let Tail { compaction, lifted, entries } = tail;
        let mut items = Vec::with_capacity(lifted.len() + entries.len() + 1);
        let lifting = Rules { of: Part::Lifted, masks: HashMap::new() };
        lay(&shown(lifted), &lifting, &mut items);
        let landed_at = compaction.as_ref().map_or(0, |stored| stored.place.depth);
        let masks = compaction.as_ref().map(|stored| masks(&stored.entry)).unwrap_or_default();
        items.extend(compaction.map(|stored| Item {
            stored,
            source: Source::Summary,
            form: Form::Verbatim,
            callers: Vec::new(),
        }));
        let rules = Rules { of: Part::Path { landed_at }, masks };
        let (settled, items) = (items.len(), Arc::new(items));
        let mut layout = Self { items, settled, pending: Vec::new(), rules };
        layout.extend(entries);
        layout
    }

    /// Goes on with the entries right behind those it was made of. O(those and the open group), but for a
    /// copy of the items where somebody else still holds them.
    pub(crate) fn extend(&mut self, later: Vec<Stored>) {
        let mut later = shown(later);
        if later.is_empty() {
            return;
        }
        self.pending.append(&mut later);
        let items = Arc::make_mut(&mut self.items);
        items.truncate(self.settled);
        let settled = lay(&self.pending, &self.rules, items);
        self.settled = settled.items;
        self.pending.drain(..settled.entries);
    }

    pub(crate) fn items(&self) -> &Arc<Vec<Item>> {
        &self.items
    }
}

/// Those that show, or change how others do.
fn shown(mut run: Vec<Stored>) -> Vec<Stored> {
    run.retain(|Stored { place, .. }| {
        place.kind.has_place_in_context() || place.kind == Kind::Lost
    });
    run
}

/// Tokens that each masked entry saves.
fn masks(compaction: &Entry) -> HashMap<Id, u32> {
    let masks = compaction.envelope().masks.iter();
    masks.map(|mask| (mask.entry, mask.saved_tokens)).collect()
}

/// How a run of entries shows.
struct Rules {
    of: Part,
    /// Tokens that each masked entry saves.
    masks: HashMap<Id, u32>,
}

/// What a run is a part of.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    /// What a compaction lifts: calls without a result are closed at its end.
    Lifted,
    /// The path from the first kept entry on, with the depth of the compaction that kept it.
    Path { landed_at: u64 },
}

impl Rules {
    fn source(&self, stored: &Stored) -> Source {
        match self.of {
            Part::Lifted => Source::Pin,
            Part::Path { landed_at } if stored.place.depth < landed_at => Source::Kept,
            Part::Path { .. } => Source::Later,
        }
    }
}

/// What became of one call.
#[derive(Clone, Copy)]
enum Fate {
    Open,
    Interrupted,
    /// Answered by the entry at this index.
    Answered(usize),
}

/// How much of a run no later entry changes: those before the oldest call that is open at its end, but for
/// what opens and closes between.
struct Settled {
    entries: usize,
    /// Items up to there, with those that were there before.
    items: usize,
}

/// Lays out a run of path entries, results next to their calls.
fn lay(run: &[Stored], rules: &Rules, items: &mut Vec<Item>) -> Settled {
    let pairing = Pairing::of(run, rules.of == Part::Lifted);
    let mut laid = vec![false; run.len()];
    let mut settled = Settled { entries: pairing.settled, items: items.len() };
    for index in 0..run.len() {
        if index == settled.entries {
            settled.items = items.len();
        }
        if std::mem::replace(&mut laid[index], true) || run[index].place.kind == Kind::Lost {
            continue;
        }
        if pairing.lay_group(index, run, rules, &mut laid, items) == Ends::Open {
            return settled;
        }
    }
    if settled.entries == run.len() {
        settled.items = items.len();
    }
    settled
}

/// Whether a layout goes on behind a group of calls.
#[derive(PartialEq)]
enum Ends {
    Closed,
    Open,
}

/// Which result answers which call in a run of entries.
struct Pairing {
    /// For each entry, what became of each of its calls.
    fates: Vec<Vec<Fate>>,
    /// For each result, the indexes of the entries whose calls it answers.
    answered: Vec<Vec<usize>>,
    /// For each entry, whether it is a result that answers no call that was open.
    late: Vec<bool>,
    /// How many entries come before the newest one before which no call was open.
    settled: usize,
}

impl Pairing {
    fn of(run: &[Stored], closes: bool) -> Self {
        let calls = |stored: &Stored| vec![Fate::Open; stored.entry.envelope().calls.len()];
        let mut pairing = Self {
            fates: run.iter().map(calls).collect(),
            answered: vec![Vec::new(); run.len()],
            late: vec![false; run.len()],
            settled: run.len(),
        };
        let mut open: Vec<(usize, usize)> = Vec::new();
        let mut settled = 0;
        for (index, stored) in run.iter().enumerate() {
            let envelope = stored.entry.envelope();
            // A run of lifted entries may lack the user entry that closed the calls of a turn.
            let turned = index > 0 && run[index - 1].place.turn != stored.place.turn;
            if turned || stored.place.kind == Kind::Lost {
                pairing.interrupt(&mut open);
            }
            if open.is_empty() {
                settled = index;
            }
            for answer in &envelope.answers {
                let called = |&(caller, nth): &(usize, usize)| {
                    run[caller].entry.envelope().calls[nth] == *answer
                };
                if let Some(found) = open.iter().rposition(called) {
                    let (caller, nth) = open.remove(found);
                    pairing.fates[caller][nth] = Fate::Answered(index);
                    pairing.answered[index].push(caller);
                }
            }
            pairing.late[index] =
                stored.place.kind == Kind::ToolResult && pairing.answered[index].is_empty();
            pairing.answered[index].sort_unstable();
            pairing.answered[index].dedup();
            open.extend((0..envelope.calls.len()).map(|nth| (index, nth)));
        }
        if closes {
            pairing.interrupt(&mut open);
        }
        if !open.is_empty() {
            pairing.settled = settled;
        }
        pairing
    }

    fn interrupt(&mut self, open: &mut Vec<(usize, usize)>) {
        for (caller, nth) in open.drain(..) {
            self.fates[caller][nth] = Fate::Interrupted;
        }
    }

    /// Lays out the entry at `first` with the results of its calls, and with everybody else's calls that
    /// they answer. Ends at a call that is open.
    fn lay_group(
        &self,
        first: usize,
        run: &[Stored],
        rules: &Rules,
        laid: &mut [bool],
        items: &mut Vec<Item>,
    ) -> Ends {
        items.push(self.item(first, None, run, rules));
        // Assistants whose results are still to be laid; more join when one result answers several.
        let mut callers = vec![first];
        let mut at = 0;
        while at < callers.len() {
            let caller = callers[at];
            let calls = &run[caller].entry.envelope().calls;
            for (call, fate) in calls.iter().zip(&self.fates[caller]) {
                match *fate {
                    Fate::Open => return Ends::Open,
                    Fate::Interrupted => items.push(self.item(caller, Some(call), run, rules)),
                    Fate::Answered(by) if laid[by] => {}
                    Fate::Answered(by) => {
                        for &other in &self.answered[by] {
                            if !std::mem::replace(&mut laid[other], true) {
                                items.push(self.item(other, None, run, rules));
                                callers.push(other);
                            }
                        }
                        laid[by] = true;
                        items.push(self.item(by, None, run, rules));
                    }
                }
            }
            at += 1;
        }
        Ends::Closed
    }

    /// The entry at `index`, or what closes one of its calls.
    fn item(&self, index: usize, closes: Option<&String>, run: &[Stored], rules: &Rules) -> Item {
        let stored = run[index].clone();
        let form = match (closes, rules.masks.get(&stored.place.id)) {
            (Some(call), _) => Form::Interrupted { call: call.clone() },
            (None, _) if self.late[index] => Form::LateResult,
            (None, Some(saved_tokens)) => Form::Masked { saved_tokens: *saved_tokens },
            (None, None) => Form::Verbatim,
        };
        let callers = self.answered[index].iter().map(|at| Arc::clone(&run[*at].entry)).collect();
        Item { source: rules.source(&stored), stored, form, callers }
    }
}

#[cfg(test)]
#[cfg(feature = "redb")]
mod tests;
