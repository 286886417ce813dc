//! Where to cut. A pure function of what stands in a context, never of the path behind it.

use std::cmp::Reverse;

use serde::Serialize;
use treering_tree::{Kind, Place};

use crate::policy::{Boundary, Budget, Oversized, Policy, required_gain};
use crate::skip::SkipReason;

/// The least a summary may be given to be worth asking for, in tokens.
const SUMMARY_TOKENS_MIN: u64 = 16;
/// The most a masked entry is reckoned to take, in tokens.
const MASKED_TOKENS: u64 = 256;
/// No index of a step, nor the end.
const NOWHERE: usize = usize::MAX;

/// One entry that stands in a context, or between such entries, as far as a cut cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it is.
    pub kind: Kind,
    /// Its own size in the context, in tokens.
    pub tokens: u64,
    /// User entries from the root to it, inclusive.
    pub turn: u64,
    /// Whether a cut there keeps every tool call with its results.
    pub may_be_first_kept: bool,
    /// Whether it stays verbatim in the context even where it is covered.
    pub pinned: bool,
    /// Tokens that masking it saves, at the least; 0 where it cannot be masked or is masked already.
    pub maskable: u64,
}

impl Step {
    /// The step of an entry under `parent`.
    pub fn new(place: &Place, parent: Option<&Place>, pinned: bool) -> Self {
        let tokens = if place.kind.has_place_in_context() { place.tokens } else { 0 };
        let tokens = u64::from(tokens);
        // What is hardly smaller is not worth a change of what the model saw.
        let is_large = tokens >= 2 * MASKED_TOKENS && place.may_be_masked(parent);
        Self {
            kind: place.kind,
            tokens,
            turn: place.turn,
            may_be_first_kept: place.may_be_first_kept(parent),
            pinned,
            maskable: if is_large { tokens - MASKED_TOKENS } else { 0 },
        }
    }

    /// The step of an entry that is masked already, which saves so many tokens.
    #[must_use]
    pub fn masked(self, saved_tokens: u64) -> Self {
        Self { tokens: self.tokens.saturating_sub(saved_tokens), maskable: 0, ..self }
    }

    /// Whether it is a message of the conversation: settings, prompts and compactions are none.
    pub fn is_message(&self) -> bool {
        self.kind.has_place_in_context() && self.kind != Kind::SystemPrompt
    }

    /// Whether a cut may go before it.
    pub fn takes_cut(&self) -> bool {
        self.may_be_first_kept && self.is_message()
    }

    fn is_coverable(&self) -> bool {
        self.kind.has_place_in_context() && !self.pinned
    }
}

/// What stands in the context before the first step that is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// Tokens of what stands there verbatim, the last summary and what it lifts not counted.
    pub tokens: u64,
    /// Turns that begin there.
    pub turns: u64,
    /// Tokens that a cut at the first step would lift.
    pub lifted_tokens: u64,
}

/// What a cut is chosen from: the end of a context, and totals of what comes before it.
///
/// The steps must reach back to a legal cut at or before what the policy keeps, or to the first entry
/// that stands verbatim in the context; more of them change nothing.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Size of the whole context, in tokens.
    pub tokens: u64,
    /// What stands before the steps.
    pub before: Before,
    /// The path from there to the head, every entry of it.
    pub steps: &'a [Step],
    /// Whether a tool call is open at the head.
    pub open: bool,
    /// Steps after this many are not to be covered, and those before are to be, whatever the policy
    /// keeps.
    pub through: Option<usize>,
    /// Whether somebody asked, so that size does not matter.
    pub forced: bool,
}

/// Where to cut, or why not to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plan {
    /// Cut there. Sizes are in tokens.
    Cut {
        /// Index of the first kept step; the number of steps where nothing is kept.
        first_kept: usize,
        /// Whether the cut parts a turn, whose covered beginning is then part of the summary.
        splits_turn: bool,
        /// Indexes of kept steps to mask, in order: none where what is kept fits without.
        masks: Vec<usize>,
        /// What is kept.
        kept: u64,
        /// What is lifted.
        lifted: u64,
        /// The most the summary may hold.
        summary: u64,
    },
    /// Do not.
    Skip(SkipReason),
}

/// Chooses the cut. O(steps).
///
/// What the policy keeps gives a wanted place, its boundary a legal one. While the context is over the
/// threshold and that leaves more than the policy's ceiling, large tool outputs and arguments of what is
/// kept are masked; where that does not do, less is kept, inside a turn if need be. A cut always covers
/// something; tool calls stay with their results; prompts and pins never move it and are never masked.
pub fn plan(view: &View<'_>, policy: &Policy) -> Plan {
    let chooser = Chooser::new(view, policy);
    let over = policy.window > 0 && chooser.budget.is_over(view.tokens);
    let fits = |cut: &Cut| !over || chooser.after(cut.at) - cut.saved <= chooser.budget.ceiling;
    let whole = |at: usize| Cut { at, masks: Vec::new(), saved: 0 };
    let wanted = chooser.by_policy(policy);
    let by_policy = wanted.map(whole).filter(fits);
    let masked = || wanted.map(|at| chooser.masked(at)).filter(fits);
    let shrunk = || if over { chooser.shrunk(wanted).or(wanted) } else { wanted };
    match by_policy.or_else(masked).or_else(|| shrunk().map(whole)) {
        Some(cut) if fits(&cut) => chooser.checked(cut, over),
        Some(cut) => chooser.checked(chooser.masked(cut.at), over),
        None => Plan::Skip(chooser.why_none()),
    }
}

/// A cut and what is masked behind it.
struct Cut {
    at: usize,
    masks: Vec<usize>,
    saved: u64,
}

struct Chooser<'a> {
    view: &'a View<'a>,
    budget: Budget,
    /// Tokens from each step to the end; one more than there are steps.
    tails: Vec<u64>,
    /// Tokens that a cut at each step lifts; one more than there are steps.
    lifted: Vec<u64>,
    /// The first place at which a cut covers something.
    first: usize,
    /// The last place a cut may go.
    last: usize,
}

impl<'a> Chooser<'a> {
    fn new(view: &'a View<'a>, policy: &Policy) -> Self {
        let steps = view.steps;
        let mut tails = vec![0; steps.len() + 1];
        let mut lifted = vec![view.before.lifted_tokens; steps.len() + 1];
        for (index, step) in steps.iter().enumerate() {
            lifted[index + 1] = lifted[index] + if step.pinned { step.tokens } else { 0 };
        }
        for (index, step) in steps.iter().enumerate().rev() {
            tails[index] = tails[index + 1] + step.tokens;
        }
        let first = if view.before.tokens > 0 || view.before.turns > 0 {
            0
        } else {
            steps.iter().take_while(|step| !step.is_coverable()).count() + 1
        };
        let last = view.through.unwrap_or(steps.len()).min(steps.len());
        Self { view, budget: policy.budget(), tails, lifted, first, last }
    }

    /// The cut that the policy asks for, fallbacks included; `None` where it covers nothing.
    fn by_policy(&self, policy: &Policy) -> Option<usize> {
        if self.view.through.is_some() {
            return self.newest(self.last);
        }
        let wanted = self.wanted(policy);
        match policy.boundary {
            Boundary::Within | Boundary::Reaching => {
                match (wanted..self.tails.len()).find(|at| self.is_cut(*at, wanted)) {
                    Some(oldest) => (oldest >= self.first).then_some(oldest),
                    None => self.newest(wanted),
                }
            }
            Boundary::Before => self.newest(wanted),
            Boundary::TurnBefore => self.turn_start(wanted).or_else(|| self.turn_start(self.last)),
        }
    }

    /// Where what the policy keeps begins, legal or not.
    fn wanted(&self, policy: &Policy) -> usize {
        let by_turns = self.budget.keep_turns.map(|turns| self.turns_back(turns));
        let by_messages = self.budget.keep_messages.map(|messages| self.messages_back(messages));
        let by_tokens = self.budget.keep_tokens.map(|tokens| {
            let fitting = match policy.boundary {
                Boundary::Reaching => {
                    self.tails.partition_point(|tail| *tail >= tokens).saturating_sub(1)
                }
                _ => self.tails.partition_point(|tail| *tail > tokens),
            };
            match policy.oversized {
                Oversized::Keep => fitting.min(self.messages_back(1)),
                Oversized::Cover => fitting,
            }
        });
        [by_turns, by_messages, by_tokens]
            .into_iter()
            .flatten()
            .max()
            .unwrap_or(self.view.steps.len())
    }

    fn turns_back(&self, turns: u64) -> usize {
        let steps = self.view.steps;
        let last = steps.last().map_or(0, |step| step.turn);
        steps.partition_point(|step| step.turn.saturating_add(turns) <= last)
    }

    fn messages_back(&self, messages: u64) -> usize {
        let steps = self.view.steps;
        let Some(before) = messages.checked_sub(1) else {
            return steps.len();
        };
        let mut newest_first = (0..steps.len()).rev().filter(|at| steps[*at].is_message());
        newest_first.nth(usize::try_from(before).unwrap_or(usize::MAX)).unwrap_or(0)
    }

    /// The newest cut at or before `from`.
    fn newest(&self, from: usize) -> Option<usize> {
        (self.first..=from).rev().find(|at| self.is_cut(*at, from))
    }

    /// The newest start of a turn at or before `from`.
    fn turn_start(&self, from: usize) -> Option<usize> {
        let steps = self.view.steps;
        let begins = |at: &usize| steps.get(*at).is_some_and(|step| step.kind == Kind::User);
        (self.first..=from).rev().find(begins)
    }

    /// The oldest cut from `from` on that leaves no more than the ceiling, else the one that leaves the
    /// least.
    fn shrunk(&self, from: Option<usize>) -> Option<usize> {
        let from = from.unwrap_or(self.first);
        let mut cuts = (from..=self.last).filter(|at| self.is_cut(*at, NOWHERE));
        let fits = |at: &usize| self.after(*at) <= self.budget.ceiling;
        cuts.clone().find(fits).or_else(|| cuts.next_back())
    }

    /// Whether a cut may go there. One at the end, which keeps nothing, must be what was `wanted`.
    fn is_cut(&self, at: usize, wanted: usize) -> bool {
        let allowed = match self.view.steps.get(at) {
            Some(step) => step.takes_cut(),
            None => wanted == at && !self.view.open,
        };
        allowed && at <= self.last
    }

    /// The most a cut there would leave.
    fn after(&self, at: usize) -> u64 {
        self.lifted[at] + self.tails[at] + self.budget.summary()
    }

    /// A cut there with so many masks that it leaves no more than the ceiling, or as little as it can:
    /// tool outputs before arguments, the largest first.
    fn masked(&self, at: usize) -> Cut {
        let steps = self.view.steps;
        let maskable = |index: &usize| steps[*index].maskable > 0 && !steps[*index].pinned;
        let mut largest: Vec<usize> = (at..steps.len()).filter(maskable).collect();
        largest.sort_by_key(|index| {
            let step = &steps[*index];
            (step.kind != Kind::ToolResult, Reverse(step.maskable))
        });
        let mut cut = Cut { at, masks: Vec::new(), saved: 0 };
        for index in largest {
            if self.after(at) - cut.saved <= self.budget.ceiling {
                break;
            }
            cut.saved += steps[index].maskable;
            cut.masks.push(index);
        }
        cut.masks.sort_unstable();
        cut
    }

    /// The plan of a cut, unless the arithmetic says that it cannot help.
    fn checked(&self, Cut { at, masks, saved }: Cut, over: bool) -> Plan {
        let (kept, lifted) = (self.tails[at] - saved, self.lifted[at]);
        let before = self.view.tokens;
        let Budget { threshold, emergency, .. } = self.budget;
        let required = required_gain(before, self.view.forced);
        let room = before.saturating_sub(required).saturating_sub(kept + lifted);
        let summary = self.budget.summary().min(room);
        if over && !self.view.forced && self.after(at) - saved > emergency {
            let overhead = lifted + self.budget.summary();
            return Plan::Skip(SkipReason::Unreachable { overhead, kept, threshold, emergency });
        }
        if summary < SUMMARY_TOKENS_MIN {
            let after = kept + lifted + SUMMARY_TOKENS_MIN;
            return Plan::Skip(SkipReason::NoProgress { before, after, required });
        }
        let step = self.view.steps.get(at);
        Plan::Cut {
            first_kept: at,
            masks,
            splits_turn: step.is_some_and(|step| step.kind != Kind::User && step.turn > 0),
            kept,
            lifted,
            summary,
        }
    }

    fn why_none(&self) -> SkipReason {
        let steps = self.view.steps;
        let tokens = self.view.tokens;
        let mut places = self.first..=self.last;
        if self.first < steps.len() && !places.any(|at| self.is_cut(at, NOWHERE)) {
            return SkipReason::NoLegalCut { tokens };
        }
        let begun = steps.iter().filter(|step| step.kind == Kind::User).count();
        SkipReason::AllKept {
            tokens,
            turns: self.view.before.turns + begun as u64,
            keep_turns: self.budget.keep_turns,
            keep_messages: self.budget.keep_messages,
            keep_tokens: self.budget.keep_tokens,
        }
    }
}

#[cfg(test)]
mod tests;
