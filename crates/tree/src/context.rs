//! The context: what a model is given at a head. A pure function of the head's id.
//!
//! Lifted pins and prompts, the summary, the kept tail, everything later. Results stand next to
//! their calls in call order; while a call of the last turn is open the context ends with that group;
//! a later user entry closes what is still open with an "interrupted" result, for good. So between
//! two compactions a later context begins with the earlier one, and no context ever holds a result
//! without its call or a call without its result.

use crate::entry::{Entry, Kind};
use std::collections::HashMap;
use std::sync::Arc;
mod difference;
pub use self::difference::{Change, Difference, Run};
use crate::error::Result;
use crate::id::Id;
use crate::store::{Store, Stored, Tail};

/// What a model is given at a head.
#[derive(Clone, Debug, PartialEq)]
pub struct Context {
    /// The head.
    pub head: Option<Id>,
    /// Size in tokens, as carried along the path.
    pub tokens: u64,
    /// What it is made of, in the order the model sees it.
    pub items: Vec<Item>,
}

/// One item of a context.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The entry it comes from.
    pub stored: Stored,
    /// Which part of the context it belongs to.
    pub source: Source,
    /// How the entry shows.
    pub form: Form,
    /// The entries whose calls a result next to its call answers; none for others.
    pub callers: Vec<Arc<Entry>>,
}

impl Item {
    /// Whether it only closes a call of its entry.
    pub fn is_interruption(&self) -> bool {
        matches!(self.form, Form::Interrupted { .. })
    }

    /// Whether a compaction masks its entry.
    pub fn is_masked(&self) -> bool {
        matches!(self.form, Form::Masked { .. })
    }
}

/// Part of a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Lifted in front of the summary: a pin or an active system prompt that is covered.
    Pin,
    /// The summary of the newest compaction.
    Summary,
    /// From the first kept entry up to the compaction.
    Kept,
    /// After the compaction; everything where there is none.
    Later,
}

/// How an entry shows in a context.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// As it is.
    Verbatim,
    /// Without what its tools were given or printed at length: see [`Message::masked`](crate::Message::masked).
    Masked {
        /// By how much less of the context that takes, in tokens.
        saved_tokens: u32,
    },
    /// Not itself: the "interrupted" result that closes this call of the entry.
    Interrupted {
        /// The call.
        call: String,
    },
    /// As a note that names its calls: a result that came after its calls were closed, or whose
    /// calls are not in the context.
    LateResult,
}

impl Context {
    /// The context of an empty session.
    pub fn empty() -> Self {
        Self { head: None, tokens: 0, items: Vec::new() }
    }

    /// What a model is given at `head`. O(kept).
    ///
    /// # Errors
    /// `NotFound` for an unknown head, `Corrupt`, `Storage`.
    pub async fn at(store: &dyn Store, head: Id) -> Result<Self> {
        let measure = store.measure(head).await?;
        let tail = store.tail(head).await?;
        Ok(Self { head: Some(head), tokens: measure.tokens, items: arrange(tail) })
    }
}

fn arrange(tail: Tail) -> Vec<Item> {
    let Tail { compaction, lifted, entries } = tail;
    let mut items = Vec::with_capacity(lifted.len() + entries.len() + 1);
    let has_place = |run: Vec<Stored>| {
        run.into_iter()
            .filter(|stored| {
                stored.place.kind.has_place_in_context() || stored.place.kind == Kind::Lost
            })
            .collect::<Vec<_>>()
    };
    let none = HashMap::new();
    lay(&has_place(lifted), &none, Unanswered::Interrupted, |_| Source::Pin, &mut items);
    let landed_at = compaction.as_ref().map_or(0, |stored| stored.place.depth);
    let masks = compaction.as_ref().map(|stored| masks(&stored.entry)).unwrap_or_default();
    items.extend(compaction.map(|stored| Item {
        stored,
        source: Source::Summary,
        form: Form::Verbatim,
        callers: Vec::new(),
    }));
    let source = |stored: &Stored| {
        if stored.place.depth < landed_at { Source::Kept } else { Source::Later }
    };
    lay(&has_place(entries), &masks, Unanswered::Open, source, &mut items);
    items
}

/// Tokens that each masked entry saves.
type Masks = HashMap<Id, u32>;

fn masks(compaction: &Entry) -> Masks {
    let masks = compaction.envelope().masks.iter();
    masks.map(|mask| (mask.entry, mask.saved_tokens)).collect()
}

/// What a call without a result is at the end of a run of entries.
#[derive(Clone, Copy, PartialEq)]
enum Unanswered {
    Open,
    Interrupted,
}

/// What became of one call.
#[derive(Clone, Copy)]
enum Fate {
    Open,
    Interrupted,
    /// Answered by the entry at this index.
    Answered(usize),
}

/// Lays out a run of path entries, results next to their calls.
fn lay(
    run: &[Stored],
    masks: &Masks,
    at_end: Unanswered,
    source: impl Fn(&Stored) -> Source,
    items: &mut Vec<Item>,
) {
    let pairing = Pairing::of(run, at_end);
    let mut laid = vec![false; run.len()];
    let mut put = |index: usize, closes: Option<&String>| {
        let stored = run[index].clone();
        let form = match (closes, masks.get(&stored.place.id)) {
            (Some(call), _) => Form::Interrupted { call: call.clone() },
            (None, _) if pairing.late[index] => Form::LateResult,
            (None, Some(saved_tokens)) => Form::Masked { saved_tokens: *saved_tokens },
            (None, None) => Form::Verbatim,
        };
        let callers = pairing.answered[index].iter().map(|at| Arc::clone(&run[*at].entry));
        let (source, callers) = (source(&stored), callers.collect());
        items.push(Item { stored, source, form, callers });
    };
    for index in 0..run.len() {
        if std::mem::replace(&mut laid[index], true) {
            continue;
        }
        if run[index].place.kind == Kind::Lost {
            continue;
        }
        put(index, None);
        // Assistants whose results are still to be laid; more join when one result answers several.
        let mut callers = vec![index];
        let mut at = 0;
        while at < callers.len() {
            let caller = callers[at];
            let calls = &run[caller].entry.envelope().calls;
            for (call, fate) in calls.iter().zip(&pairing.fates[caller]) {
                match *fate {
                    Fate::Open => return,
                    Fate::Interrupted => put(caller, Some(call)),
                    Fate::Answered(by) if laid[by] => {}
                    Fate::Answered(by) => {
                        for &other in &pairing.answered[by] {
                            if !std::mem::replace(&mut laid[other], true) {
                                put(other, None);
                                callers.push(other);
                            }
                        }
                        laid[by] = true;
                        put(by, None);
                    }
                }
            }
            at += 1;
        }
    }
}

/// Which result answers which call in a run of entries.
struct Pairing {
    /// For each entry, what became of each of its calls.
    fates: Vec<Vec<Fate>>,
    /// For each result, the indexes of the entries whose calls it answers.
    answered: Vec<Vec<usize>>,
    /// For each entry, whether it is a result that answers no call that was open.
    late: Vec<bool>,
}

impl Pairing {
    fn of(run: &[Stored], at_end: Unanswered) -> Self {
        let mut pairing = Self {
            fates: run
                .iter()
                .map(|stored| vec![Fate::Open; stored.entry.envelope().calls.len()])
                .collect(),
            answered: vec![Vec::new(); run.len()],
            late: vec![false; run.len()],
        };
        let mut open: Vec<(usize, usize)> = Vec::new();
        for (index, stored) in run.iter().enumerate() {
            let envelope = stored.entry.envelope();
            // A run of lifted entries may lack the user entry that closed the calls of a turn.
            let turned = index > 0 && run[index - 1].place.turn != stored.place.turn;
            if turned || stored.place.kind == Kind::Lost {
                pairing.interrupt(&mut open);
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
        if at_end == Unanswered::Interrupted {
            pairing.interrupt(&mut open);
        }
        pairing
    }

    fn interrupt(&mut self, open: &mut Vec<(usize, usize)>) {
        for (caller, nth) in open.drain(..) {
            self.fates[caller][nth] = Fate::Interrupted;
        }
    }
}
