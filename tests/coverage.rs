//! Invariant 8, coverage and advance: what was visible before a compaction is covered by the summary,
//! kept or lifted, each thing once; and no compaction covers less than the one before it.

use std::collections::{BTreeMap, BTreeSet};

use treering_tree::context::{Form, Source};
use treering_tree::{Context, Id, Kind};

use crate::histories::Seen;

/// What stands in a context, and in which part.
fn visible(context: &Context) -> BTreeMap<Id, Source> {
    let items = context.items.iter();
    let own = items.filter(|item| !matches!(item.form, Form::Interrupted { .. }));
    own.map(|item| (item.stored.entry.id(), item.source)).collect()
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
    for item in &seen.before.items {
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
    if let (Some(_), Some(older)) = (seen.landed, newest(seen.before)) {
        let newer = newest(seen.after).unwrap();
        assert!(newer.first_kept_depth > older.first_kept_depth, "it does not advance");
    }
}
