//! Invariant 8, coverage and advance: what was visible before a compaction is covered by the summary,
//! kept or lifted, each thing once; and no compaction covers less than the one before it.

use std::collections::{BTreeMap, BTreeSet};

use treering_tree::context::{Form, Item, Source};
use treering_tree::{Context, Id, Kind};

use crate::histories::Seen;

/// What stands in a context, and in which part.
fn visible(context: &Context) -> BTreeMap<Id, Source> {
    let items = context.items.iter();
    let own = items.filter(|item| !item.is_interruption());
    own.map(|item| (item.stored.entry.id(), item.source)).collect()
}

/// Ids of what is masked, and by how many tokens.
fn masked(context: &Context) -> BTreeMap<Id, u32> {
    let masked = context.items.iter().filter_map(|item| match item.form {
        Form::Masked { saved_tokens } => Some((item.stored.entry.id(), saved_tokens)),
        _ => None,
    });
    masked.collect()
}

/// Size of a context, from what stands in it.
fn size(context: &Context) -> u64 {
    let own = context.items.iter().filter(|item| !item.is_interruption());
    let saved = |item: &Item| match item.form {
        Form::Masked { saved_tokens } => saved_tokens,
        _ => 0,
    };
    own.map(|item| u64::from(item.stored.place.tokens - saved(item))).sum()
}

/// What is pinned and was visible stays so.
pub(crate) fn pins_stay(seen: &Seen<'_>) {
    if seen.landed.is_none() && !seen.by_hand {
        return;
    }
    let (before, after) = (visible(seen.before), visible(seen.after));
    for id in seen.pinned {
        let stood = before.get(id).is_some_and(|part| *part != Source::Summary);
        assert!(!stood || after.contains_key(id), "{id} is pinned, and gone");
    }
}

/// Only what a compaction keeps is masked; it stays where it was, its calls and answers as they were,
/// until it is covered or pinned; and nothing else changes it.
pub(crate) fn masks_are_of_what_is_kept(seen: &Seen<'_>) {
    let (before, after) = (masked(seen.before), masked(seen.after));
    // An open group hides what stands behind it, which its size still counts.
    if !seen.open {
        assert_eq!(size(seen.after), seen.after.tokens, "masks save another size");
    }
    if seen.by_hand {
        assert_eq!(after, BTreeMap::new(), "it masks nothing");
        return;
    }
    if seen.landed.is_none() {
        let kept = seen.moved || before.iter().all(|(id, saved)| after.get(id) == Some(saved));
        assert!(kept, "an entry was masked or shown whole without a compaction");
        return;
    }
    let pinned: BTreeSet<Id> = seen.pinned.iter().copied().collect();
    for item in seen.after.items.iter().filter(|item| item.is_masked()) {
        let id = item.stored.entry.id();
        assert_eq!(item.source, Source::Kept, "{id} is masked, and not kept");
        assert!(!pinned.contains(&id), "{id} is pinned, and masked");
        let envelope = item.stored.entry.envelope();
        assert!(!envelope.calls.is_empty() || !envelope.answers.is_empty());
    }
    for id in before.keys() {
        let whole = visible(seen.after).get(id).is_some_and(|part| *part == Source::Kept);
        let lost = whole && !after.contains_key(id) && !pinned.contains(id);
        assert!(!lost, "{id} was masked, is kept, and shows whole again");
    }
}

/// Slots whose newest prompt shows.
fn slots(context: &Context) -> BTreeSet<String> {
    context.items.iter().filter_map(|item| item.stored.entry.envelope().slot.clone()).collect()
}

pub(crate) fn nothing_is_lost(seen: &Seen<'_>) {
    let Some((result, job)) = seen.landed else {
        return;
    };
    let (before, after) = (visible(seen.before), visible(seen.after));
    let shown = slots(seen.after);
    let mut covered: BTreeSet<Id> = job.entries.iter().map(|entry| entry.id).collect();
    assert_eq!(covered.len(), job.entries.len(), "an entry was summarized twice");
    assert_eq!(covered.len() as u64, result.summarized_count);
    assert!(!covered.is_empty(), "asked to summarize nothing");
    for item in seen.before.items.iter() {
        let envelope = item.stored.entry.envelope();
        let id = item.stored.entry.id();
        let is_covered = covered.contains(&id);
        let stays = after.get(&id).is_some_and(|part| *part != Source::Summary);
        let replaced = envelope.kind == Kind::SystemPrompt
            && envelope.slot.as_ref().is_some_and(|slot| shown.contains(slot));
        if item.source == Source::Summary {
            assert!(job.previous.is_some(), "the summary before is no input of {:?}", result.entry);
            assert!(!after.contains_key(&id), "two summaries");
        } else {
            assert!(is_covered || stays || replaced, "{id} ({}) is lost", envelope.kind);
            assert!(!(is_covered && stays), "{id} ({}) is in both", envelope.kind);
        }
    }
    covered.retain(|id| !before.contains_key(id));
    assert!(covered.is_empty(), "{covered:?} was summarized and not visible");
}

pub(crate) fn it_advances(seen: &Seen<'_>) {
    let newest = |context: &Context| {
        let mut items = context.items.iter();
        let summary = items.rfind(|item| item.source == Source::Summary);
        summary.and_then(|item| item.stored.place.cut.clone())
    };
    if let (true, Some(older)) = (seen.landed.is_some() || seen.by_hand, newest(seen.before)) {
        let newer = newest(seen.after).unwrap();
        assert!(newer.first_kept_depth > older.first_kept_depth, "it does not advance");
    }
}
