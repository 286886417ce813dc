//! Landing: one compare-and-swap append behind the present head, if the summary still applies there.
//!
//! What is appended between the look and the append does not stop it: the store lets it land behind
//! any head at which it would do the same. So writers that never rest cannot starve it.

use std::collections::BTreeMap;

use treering_policy::{Outcome, Policy, SkipReason, required_gain};
use treering_tree::{
    Change, Committed, Cut, Draft, Error, Expect, Id, Kind, Measure, Move, Number, Place, Reason,
    Seek, Session, To,
};

use crate::error::{Error as LandError, Result};
use crate::flight::{Flight, Progress};
use crate::lease::Held;
use crate::remembered;

/// How often it is tried before the branch counts as too busy: each time, a pin, a prompt or a
/// compaction came between.
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
    /// Tokens that its masks save.
    pub(crate) saved_tokens: u64,
    pub(crate) forced: bool,
    pub(crate) flight: &'a Flight,
    pub(crate) lease: &'a Held,
    /// The policy by which the branch's breaker counts the landing, where it does.
    pub(crate) counts: Option<&'a Policy>,
}

/// What lands at a head, or behind it.
struct Prepared {
    draft: Draft,
    /// Size of the context once it landed.
    left: u64,
    /// Everything on the path to the head.
    through: u64,
}

/// A summary that landed.
pub(crate) struct Landed {
    pub(crate) entry: Id,
    /// The head it landed on.
    pub(crate) on: Id,
    pub(crate) first_kept: Option<Id>,
}

impl Landing<'_> {
    /// Tries from the present head on until it lands or no longer applies.
    pub(crate) async fn land(self, mut present: Option<Id>) -> Result<Result<Landed, SkipReason>> {
        for _ in 0..LANDING_TRIES {
            let Some(head) = present else { return Ok(Err(self.stale(None))) };
            let prepared = match self.prepare(head).await? {
                Ok(prepared) => prepared,
                Err(reason) => return Ok(Err(reason)),
            };
            let change = self.change(prepared, head).await?;
            if !self.flight.reached(Progress::Landing) {
                return Err(LandError::Cancelled);
            }
            match self.session.store().commit(change).await {
                Ok(committed) => return Ok(Ok(self.landed(&committed, head).await?)),
                Err(Error::HeadMoved { actual, .. }) => present = actual,
                Err(Error::Superseded { by }) => return Ok(Err(SkipReason::Superseded { by })),
                // The breaker was written meanwhile: it is read again.
                Err(Error::MemoChanged { name, .. }) if name != self.lease.demand().name => {}
                Err(Error::MemoChanged { .. }) => {
                    return Ok(Err(SkipReason::LeaseLost { fence: self.lease.fence() }));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Err(SkipReason::Contended { tries: LANDING_TRIES }))
    }

    async fn landed(&self, committed: &Committed, head: Id) -> Result<Landed> {
        let entry = committed.ids.first().copied().unwrap_or(head);
        let stored = self.session.store().entries(&[entry]).await?.pop().flatten();
        let envelope = stored.as_ref().map(|stored| stored.entry.envelope());
        let on = envelope.and_then(|envelope| envelope.parent).unwrap_or(head);
        Ok(Landed { entry, on, first_kept: envelope.and_then(|envelope| envelope.target) })
    }

    /// What lands at `head`, if it still applies.
    async fn prepare(&self, head: Id) -> Result<Result<Prepared, SkipReason>> {
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
        let left = tokens_after(&cut, &now.head, (self.draft.tokens, self.saved_tokens));
        if let Some(reason) = self.unfit(&cut, now.tokens, left) {
            return Ok(Err(reason));
        }
        let draft = self.draft.clone();
        let draft = first_kept.map_or(draft.clone(), |id| draft.target(id));
        Ok(Ok(Prepared { draft, left, through: now.head.tokens_through }))
    }

    /// Why this cut is not worth it, or not what was planned.
    fn unfit(&self, cut: &Cut, before: u64, after: u64) -> Option<SkipReason> {
        let is_prompt = |number| self.lifted.get(number) == Some(&Kind::SystemPrompt);
        let gone = self.lifted.keys().filter(|number| !cut.lifted.contains(number));
        // A prompt whose slot has a newer one need not be in the summary.
        let gone = gone.filter(|number| !is_prompt(number)).count();
        let grown = cut.lifted.iter().filter(|number| !self.lifted.contains_key(number)).count();
        if gone + grown > 0 {
            return Some(SkipReason::PinsChanged { entries: (gone + grown) as u64 });
        }
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

    /// Appends it behind whatever came meanwhile. What keeps nothing would cover that, so it may land at
    /// `head` alone.
    async fn change(
        &self,
        Prepared { draft, left, through }: Prepared,
        head: Id,
    ) -> Result<Change> {
        let expect = match draft.envelope().target {
            Some(_) => Expect::Behind(head),
            None => Expect::Head(head),
        };
        let moved = Move { branch: Some(self.branch.to_owned()), expect, to: To::Last };
        let mut memos = vec![self.lease.demand()];
        if let Some(policy) = self.counts {
            let (mut breaker, memo) = remembered::read(self.session, self.branch).await?;
            breaker.settle(Outcome::Landed { left, through }, policy);
            memos.push(remembered::write(self.branch, memo, &breaker));
        }
        Ok(Change {
            entries: vec![draft],
            moves: vec![moved],
            memos,
            ..Change::new(self.session.name(), Reason::Land, self.session.sources().now_ms())
        })
    }
}

/// Size of the context at `head` once a compaction of `summary` tokens, whose masks save `saved`, cuts
/// it so.
pub(crate) fn tokens_after(cut: &Cut, head: &Place, (summary, saved): (u32, u64)) -> u64 {
    let kept = head.tokens_through.saturating_sub(cut.covered_tokens);
    cut.lifted_tokens + u64::from(summary) + kept.saturating_sub(saved)
}

#[cfg(test)]
mod tests;
