//! What planning looks at: the end of the context, as far back as the policy can want to keep, found
//! in O(log n + kept) from what is carried along the path.

use std::collections::{HashMap, HashSet};

use treering_policy::{Before, Boundary, Budget, Plan, Policy, Step, View, plan};
use treering_tree::{Error, Id, Measure, Number, Place, Seek, Store, limits};

use crate::error::Result;

/// Entries that are looked at before what is to be kept, for a legal cut; doubled until there is one.
const BACK_ENTRIES: u64 = 32;

/// Entries that are looked at before what fits as it is: masked, they may fit too.
const MASKED_ENTRIES: u64 = 1_024;

/// The end of a context.
pub(crate) struct Sight {
    measure: Measure,
    /// Every entry of the path from the first step to the head.
    places: Vec<Place>,
    steps: Vec<Step>,
    before: Before,
    through: Option<usize>,
    masks: Masks,
}

/// Tokens that each masked entry of the context saves.
type Masks = HashMap<Id, u32>;

/// A chosen cut.
pub(crate) struct Chosen {
    /// `None` where nothing is kept.
    pub(crate) first_kept: Option<Place>,
    pub(crate) summary_tokens: u64,
    /// What is masked of what is kept, now or already.
    pub(crate) masked: HashSet<Id>,
}

impl Sight {
    /// Looks at the context at the head of `measure`. With `up_to`, everything up to that entry is to
    /// be covered, whatever the policy keeps.
    pub(crate) async fn new(
        store: &dyn Store,
        measure: Measure,
        policy: &Policy,
        up_to: Option<Id>,
    ) -> Result<Self> {
        let head = &measure.head;
        let visible = measure.first_visible_depth();
        let masks = masks(store, &measure).await?;
        let mark = match up_to {
            Some(id) => Some(depth_of(store, head, id).await? + 1),
            None => None,
        };
        let from = match mark {
            Some(mark) => mark.min(head.depth),
            None => kept_from(store, &measure, policy, &masks).await?,
        };
        let messages = if up_to.is_none() { policy.keep_recent_messages } else { None };
        let (places, mut steps) =
            fetch(store, head, visible, from.max(visible), messages.unwrap_or(0)).await?;
        let before = weigh(store, &measure, &places, &masks, &mut steps).await?;
        let through = mark.map(|mark| {
            let first = places.first().map_or(mark, |place| place.depth);
            usize::try_from(mark.saturating_sub(first)).unwrap_or(usize::MAX)
        });
        Ok(Self { measure, places, steps, before, through, masks })
    }

    /// Chooses the cut.
    pub(crate) fn plan(
        &self,
        policy: &Policy,
        forced: bool,
    ) -> Result<Chosen, treering_policy::SkipReason> {
        let view = View {
            tokens: self.measure.tokens,
            before: self.before,
            steps: &self.steps,
            open: !self.measure.head.open.is_empty(),
            through: self.through,
            forced,
        };
        match plan(&view, policy) {
            Plan::Cut { first_kept, summary, masks, .. } => Ok(Chosen {
                first_kept: self.places.get(first_kept).cloned(),
                summary_tokens: summary,
                masked: self.masked(first_kept, &masks),
            }),
            Plan::Skip(reason) => Err(reason),
        }
    }

    /// What is masked behind a cut: these steps, and what was before and is not pinned since.
    fn masked(&self, first_kept: usize, masks: &[usize]) -> HashSet<Id> {
        let kept = self.places.iter().zip(&self.steps).skip(first_kept);
        let already =
            kept.filter(|(place, step)| !step.pinned && self.masks.contains_key(&place.id));
        let mut masked: HashSet<Id> = already.map(|(place, _)| place.id).collect();
        // What is masked stays so: a context never grows back.
        let room =
            usize::try_from(limits::MASKS_PER_ENTRY).unwrap_or(0).saturating_sub(masked.len());
        masked.extend(
            masks.iter().filter_map(|at| self.places.get(*at)).take(room).map(|place| place.id),
        );
        masked
    }
}

/// What the newest compaction masks.
async fn masks(store: &dyn Store, measure: &Measure) -> Result<Masks> {
    let Some(compaction) = &measure.compaction else {
        return Ok(Masks::new());
    };
    let found = store.entries(&[compaction.id]).await?.pop().flatten();
    let masks = found.map(|stored| stored.entry.envelope().masks.clone()).unwrap_or_default();
    Ok(masks.into_iter().map(|mask| (mask.entry, mask.saved_tokens)).collect())
}

async fn depth_of(store: &dyn Store, head: &Place, id: Id) -> Result<u64> {
    let found = store.seek(head.id, &[Seek::Entry(id)]).await?.pop().flatten();
    let place = found.ok_or_else(|| {
        Error::invalid("up to", format!("{id} is not on the path to {}", head.id))
    })?;
    Ok(place.depth)
}

/// Depth of the first entry that the policy can want to keep.
async fn kept_from(
    store: &dyn Store,
    measure: &Measure,
    policy: &Policy,
    masks: &Masks,
) -> Result<u64> {
    let budget = policy.budget();
    // The path's own sums know nothing of masks: with what these save, the tail may reach further back.
    let saved: u64 = masks.values().copied().map(u64::from).sum();
    let at_most = |tokens: u64| Seek::TokensAtMost(tokens.saturating_add(saved));
    let head = &measure.head;
    let mut questions = Vec::new();
    if budget.is_over(measure.tokens) {
        questions.push(at_most(budget.ceiling.saturating_sub(budget.summary())));
    }
    let whole = questions.len();
    if let Some(turns) = budget.keep_turns {
        let turn = (head.turn + 1).saturating_sub(turns);
        // Turn 0 begins at the root: everything is kept.
        questions.extend((turn > 0).then_some(Seek::Turn(turn)));
    }
    questions.extend(tail_tokens(&budget, policy).map(at_most));
    let answers = store.seek(head.id, &questions).await?;
    let depth = |place: &Option<Place>| place.as_ref().map_or(head.depth, |place| place.depth);
    let (fits, wanted) = answers.split_at(whole);
    let wanted = match wanted.iter().map(depth).max() {
        Some(depth) => depth.saturating_sub(u64::from(policy.boundary == Boundary::Reaching)),
        // Fewer turns than are kept.
        None if budget.keep_turns.is_some() && budget.keep_messages.is_none() => 0,
        None => head.depth,
    };
    let fits = fits.iter().map(depth).max().unwrap_or(0);
    let from = wanted.max(fits.saturating_sub(MASKED_ENTRIES));
    match policy.boundary {
        Boundary::TurnBefore => turn_start(store, head, from).await,
        _ => Ok(from),
    }
}

/// The size of tail that, or less than that, is certainly kept.
fn tail_tokens(budget: &Budget, policy: &Policy) -> Option<u64> {
    let keep = budget.keep_tokens?;
    Some(keep.saturating_sub(u64::from(policy.boundary == Boundary::Reaching)))
}

async fn turn_start(store: &dyn Store, head: &Place, depth: u64) -> Result<u64> {
    let at = store.seek(head.id, &[Seek::Depth(depth)]).await?.pop().flatten();
    let turn = at.map_or(0, |place| place.turn);
    let start = store.seek(head.id, &[Seek::Turn(turn)]).await?.pop().flatten();
    Ok(start.map_or(0, |place| place.depth))
}

/// The path from `from`, or further back to a legal cut and `messages` messages, to the head.
async fn fetch(
    store: &dyn Store,
    head: &Place,
    visible: u64,
    from: u64,
    messages: u64,
) -> Result<(Vec<Place>, Vec<Step>)> {
    let mut back = BACK_ENTRIES;
    let mut places: Vec<Place> = Vec::new();
    loop {
        let start = from.saturating_sub(back).max(visible);
        // One more, the parent of the first step.
        let parent = start.saturating_sub(1);
        let end = places.first().map_or(head.depth + 1, |place| place.depth);
        let mut earlier = paged(store, head.id, parent, end).await?;
        earlier.append(&mut places);
        places = earlier;
        let steps = steps_of(&places, start);
        let until = usize::try_from(from - start).unwrap_or(usize::MAX);
        let enough = messages_back(&steps, messages)
            .is_some_and(|at| steps.iter().take(at.min(until) + 1).any(Step::takes_cut));
        if enough || start == visible {
            places.drain(..places.len() - steps.len());
            return Ok((places, steps));
        }
        back *= 2;
    }
}

/// Index of the step with which the last `messages` messages begin; `None` where there are fewer.
fn messages_back(steps: &[Step], messages: u64) -> Option<usize> {
    let Some(newer) = messages.checked_sub(1) else {
        return Some(steps.len());
    };
    let mut newest_first = (0..steps.len()).rev().filter(|at| steps[*at].is_message());
    newest_first.nth(usize::try_from(newer).ok()?)
}

async fn paged(store: &dyn Store, head: Id, start: u64, end: u64) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    let mut next = start;
    while next < end {
        let page_end = end.min(next + limits::PAGE as u64);
        places.extend(store.places(head, next..page_end).await?);
        next = page_end;
    }
    Ok(places)
}

/// Steps of the places from depth `start` on, which the parent of the first may precede.
fn steps_of(places: &[Place], start: u64) -> Vec<Step> {
    let parents = std::iter::once(None).chain(places.iter().map(Some));
    let steps = places.iter().zip(parents).filter(|(place, _)| place.depth >= start);
    steps.map(|(place, parent)| Step::new(place, parent, false)).collect()
}

/// Marks the pinned steps and sums up what comes before the first one.
async fn weigh(
    store: &dyn Store,
    measure: &Measure,
    places: &[Place],
    masks: &Masks,
    steps: &mut [Step],
) -> Result<Before> {
    let Some(first) = places.first() else {
        return Ok(Before::default());
    };
    let head = &measure.head;
    let visible = measure.first_visible_depth();
    let cuts = places.iter().zip(steps.iter());
    let cut_at = cuts
        .filter(|(place, step)| step.takes_cut() && place.depth > visible)
        .map(|(place, _)| place)
        .next();
    let mut pinned: HashSet<Number> = HashSet::new();
    let mut lifted_tokens = 0;
    if cut_at.is_some() || head.open.is_empty() {
        let cut = store.preview(head.id, cut_at.map(|place| place.id)).await?;
        pinned.extend(cut.active.iter().map(|active| active.entry).chain(cut.lifted));
        lifted_tokens = cut.lifted_tokens;
    }
    let lifted_until = cut_at.map_or(u64::MAX, |place| place.depth);
    let mut saved = 0;
    for (place, step) in places.iter().zip(steps.iter_mut()) {
        step.pinned = pinned.contains(&place.number);
        if let Some(tokens) =
            masks.get(&place.id).map(|tokens| u64::from((*tokens).min(place.tokens)))
        {
            saved += tokens;
            // Pinned since, it shows whole again.
            *step = if step.pinned { *step } else { step.masked(tokens) };
        }
        if step.pinned && place.depth < lifted_until {
            lifted_tokens = lifted_tokens.saturating_sub(step.tokens);
        }
    }
    let covered = measure.compaction.as_ref().and_then(|place| place.cut.as_ref());
    let base = covered.map_or((0, 0), |cut| (cut.covered_tokens, cut.covered_turns));
    Ok(Before {
        // What masks save behind the first step is in what is covered, and not before it.
        tokens: (first.tokens_before() + saved).saturating_sub(base.0),
        turns: first.turns_before().saturating_sub(base.1),
        lifted_tokens,
    })
}

#[cfg(test)]
mod tests;
