//! Landing: one compare-and-swap append at the present head, if the summary still applies there.

use std::collections::BTreeMap;

use treering_policy::{SkipReason, required_gain};
use treering_tree::{
    Change, Cut, Draft, Error, Expect, Id, Kind, Measure, Move, Number, Place, Presence, Reason,
    Seek, Session, To,
};

use crate::error::{Error as LandError, Result};
use crate::flight::{Flight, Progress};
use crate::lease::Held;

/// How often the swap is tried before the branch counts as too busy.
const LANDING_TRIES: u64 = 1_000;

/// A summary on its way into a branch.
pub(crate) struct Landing<'a> {
    pub(crate) session: &'a Session,
    pub(crate) branch: &'a str,
    /// The head that the plan was made at; nothing after it is covered.
    pub(crate) high_water: &'a Measure,
    /// `None` where nothing before the high-water mark is kept.
    pub(crate) first_kept: Option<Id>,
    /// What the plan lifts, and so is not in the summary.
    pub(crate) lifted: &'a BTreeMap<Number, Kind>,
    /// The compaction entry, without its target.
    pub(crate) draft: Draft,
    pub(crate) forced: bool,
    pub(crate) flight: &'a Flight,
    pub(crate) lease: &'a Held,
}

/// A summary that landed.
pub(crate) struct Landed {
    pub(crate) entry: Id,
    /// The head it landed on.
    pub(crate) on: Id,
    pub(crate) tokens_before: u64,
}

impl Landing<'_> {
    /// Tries until it lands or no longer applies.
    pub(crate) async fn land(self) -> Result<Result<Landed, SkipReason>> {
        let mut head = self.high_water.head.id;
        for _ in 0..LANDING_TRIES {
            let (draft, tokens_before) = match self.prepare(head).await? {
                Ok(ready) => ready,
                Err(reason) => return Ok(Err(reason)),
            };
            if !self.flight.reached(Progress::Landing) {
                return Err(LandError::Cancelled);
            }
            match self.session.store().commit(self.change(draft, head)).await {
                Ok(committed) => {
                    let entry = committed.ids.first().copied().unwrap_or(head);
                    return Ok(Ok(Landed { entry, on: head, tokens_before }));
                }
                Err(Error::HeadMoved { actual: Some(actual), .. }) => head = actual,
                Err(Error::HeadMoved { actual: None, .. }) => return Ok(Err(self.stale(None))),
                Err(Error::Superseded { by }) => return Ok(Err(SkipReason::Superseded { by })),
                Err(Error::MemoChanged { .. }) => {
                    return Ok(Err(SkipReason::LeaseLost { fence: self.lease.fence() }));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Err(SkipReason::Contended { tries: LANDING_TRIES }))
    }

    /// The entry for `head` and the size of the context there, if it still applies.
    async fn prepare(&self, head: Id) -> Result<Result<(Draft, u64), SkipReason>> {
        let store = self.session.store();
        let marks =
            [Seek::Entry(self.high_water.head.id), Seek::Depth(self.high_water.head.depth + 1)];
        let mut found =
            store.seek(head, &marks).await?.into_iter().map(|place| place.map(|place| place.id));
        if found.next().flatten().is_none() {
            return Ok(Err(self.stale(Some(head))));
        }
        let next = found.next().flatten();
        let now = store.measure(head).await?;
        let number = |compaction: &Option<Place>| compaction.as_ref().map(|place| place.number);
        if let Some(by) = &now.compaction
            && number(&now.compaction) != number(&self.high_water.compaction)
        {
            return Ok(Err(SkipReason::Superseded { by: by.id }));
        }
        let first_kept = self.first_kept.or(next);
        let cut = match store.preview(head, first_kept).await {
            Ok(cut) => cut,
            Err(Error::Superseded { by }) => return Ok(Err(SkipReason::Superseded { by })),
            Err(error) => return Err(error.into()),
        };
        if let Some(reason) = self.unfit(&cut, &now) {
            return Ok(Err(reason));
        }
        let draft = self.draft.clone();
        Ok(Ok((first_kept.map_or(draft.clone(), |id| draft.target(id)), now.tokens)))
    }

    /// Why this cut is not worth it, or not what was planned.
    fn unfit(&self, cut: &Cut, now: &Measure) -> Option<SkipReason> {
        let is_prompt = |number| self.lifted.get(number) == Some(&Kind::SystemPrompt);
        let gone = self.lifted.keys().filter(|number| !cut.lifted.contains(number));
        // A prompt whose slot has a newer one need not be in the summary.
        let gone = gone.filter(|number| !is_prompt(number)).count();
        let grown = cut.lifted.iter().filter(|number| !self.lifted.contains_key(number)).count();
        if gone + grown > 0 {
            return Some(SkipReason::PinsChanged { entries: (gone + grown) as u64 });
        }
        let before = now.tokens;
        let after = tokens_after(cut, &now.head, self.draft.tokens);
        let required = required_gain(before, self.forced);
        (after.saturating_add(required) > before).then_some(SkipReason::NoProgress {
            before,
            after,
            required,
        })
    }

    fn stale(&self, head: Option<Id>) -> SkipReason {
        SkipReason::Stale { high_water: self.high_water.head.id, head }
    }

    fn change(&self, draft: Draft, head: Id) -> Change {
        let moved =
            Move { branch: Some(self.branch.to_owned()), expect: Expect::Head(head), to: To::Last };
        Change {
            presence: Presence::Existing,
            // Under that head, not whatever the branch is at by now: otherwise a branch that was
            // rewound below the cut would make this an invalid request, not a lost swap.
            entries: vec![draft.under(Some(head))],
            moves: vec![moved],
            memos: vec![self.lease.demand()],
            ..Change::new(self.session.name(), Reason::Land, self.session.sources().now_ms())
        }
    }
}

/// Size of the context at `head` once a compaction of `summary` tokens cuts it so.
pub(crate) fn tokens_after(cut: &Cut, head: &Place, summary: u32) -> u64 {
    cut.lifted_tokens + u64::from(summary) + head.tokens_through.saturating_sub(cut.covered_tokens)
}
