//! Differences between heads of small histories, each against the rule it stands for.

use super::*;
use crate::context::kit::Work;
use crate::entry::{Kind, Mask};

async fn between(work: &Work, before: Id, after: Id) -> Difference {
    Difference::between(work.store(), before, after).await.unwrap()
}

/// What happened to which entries of which part.
fn told(runs: &[Run]) -> Vec<(Change, Source, Vec<Id>)> {
    let ids = |run: &Run| run.items.iter().map(|item| item.stored.place.id).collect();
    runs.iter().map(|run| (run.change, run.source, ids(run))).collect()
}

#[tokio::test]
async fn a_later_head_adds_and_an_earlier_one_takes_away() {
    let work = Work::new();
    let [one, two] = [work.say(Kind::User).await, work.say(Kind::Assistant).await];
    let three = work.say(Kind::User).await;
    let on = between(&work, two, three).await;
    let same = (Change::Same, Source::Later, vec![one, two]);
    assert_eq!(told(&on.runs), [same.clone(), (Change::Added, Source::Later, vec![three])]);
    assert_eq!((on.before.head, on.after.head), (Some(two), Some(three)));
    let totals = [Change::Same, Change::Added, Change::Removed].map(|change| on.total(change));
    assert_eq!(totals, [(2, 20), (1, 10), (0, 0)]);
    let back = between(&work, three, two).await;
    assert_eq!(told(&back.runs), [same, (Change::Removed, Source::Later, vec![three])]);
}

#[tokio::test]
async fn a_summary_replaces_what_it_covers_and_what_is_lifted_or_kept_is_the_same() {
    let work = Work::new();
    let prompt = work.put(work.draft(Kind::SystemPrompt).slot("rules")).await;
    let [old, kept] = [work.say(Kind::User).await, work.say(Kind::User).await];
    let summary = work.compact(kept).await;
    let difference = between(&work, kept, summary).await;
    let expected = [
        (Change::Same, Source::Pin, vec![prompt]),
        (Change::Replaced, Source::Later, vec![old]),
        (Change::Added, Source::Summary, vec![summary]),
        (Change::Same, Source::Kept, vec![kept]),
    ];
    assert_eq!(told(&difference.runs), expected);
}

#[tokio::test]
async fn a_newer_summary_replaces_the_older_one() {
    let work = Work::new();
    work.say(Kind::User).await;
    let first = work.say(Kind::User).await;
    let second = work.say(Kind::User).await;
    let older = work.compact(first).await;
    let last = work.say(Kind::User).await;
    let newer = work.compact(second).await;
    // The older one stands behind the first kept entry of the newer one, and is no more in view.
    let difference = between(&work, last, newer).await;
    let expected = [
        (Change::Replaced, Source::Summary, vec![older]),
        (Change::Replaced, Source::Kept, vec![first]),
        (Change::Added, Source::Summary, vec![newer]),
        (Change::Same, Source::Kept, vec![second, last]),
    ];
    assert_eq!(told(&difference.runs), expected);
}

#[tokio::test]
async fn what_stood_on_another_branch_is_removed_and_not_replaced() {
    let work = Work::new();
    let [root, fork] = [work.say(Kind::User).await, work.say(Kind::User).await];
    let elsewhere = work.say(Kind::User).await;
    let summary_elsewhere = work.compact(fork).await;
    work.rewind(fork).await;
    work.say(Kind::User).await;
    let kept = work.say(Kind::User).await;
    let summary = work.compact(kept).await;
    let added = [
        (Change::Added, Source::Summary, vec![summary]),
        (Change::Added, Source::Kept, vec![kept]),
    ];
    // As deep as what is covered, but not on its path.
    let plain = between(&work, elsewhere, summary).await;
    let removed = [
        (Change::Replaced, Source::Later, vec![root, fork]),
        (Change::Removed, Source::Later, vec![elsewhere]),
    ];
    assert_eq!(told(&plain.runs), [&removed[..], &added[..]].concat());
    // A summary of the other branch has nothing to do with the one here.
    let compacted = between(&work, summary_elsewhere, summary).await;
    let removed = [
        (Change::Removed, Source::Summary, vec![summary_elsewhere]),
        (Change::Replaced, Source::Kept, vec![fork]),
        (Change::Removed, Source::Kept, vec![elsewhere]),
    ];
    assert_eq!(told(&compacted.runs), [&removed[..], &added[..]].concat());
}

#[tokio::test]
async fn a_rewind_over_a_compaction_brings_back_what_it_covered() {
    let work = Work::new();
    let [old, kept] = [work.say(Kind::User).await, work.say(Kind::User).await];
    let summary = work.compact(kept).await;
    let difference = between(&work, summary, kept).await;
    // What is still in view is the same, whichever part it belonged to.
    let expected = [
        (Change::Removed, Source::Summary, vec![summary]),
        (Change::Added, Source::Later, vec![old]),
        (Change::Same, Source::Later, vec![kept]),
    ];
    assert_eq!(told(&difference.runs), expected);
}

#[tokio::test]
async fn a_mask_changes_an_entry_that_is_kept_and_covers_nothing() {
    let work = Work::new();
    let old = work.say(Kind::User).await;
    let caller = work.put(work.draft(Kind::Assistant).calls(["a"])).await;
    let result = work.put(work.draft(Kind::ToolResult).answers(["a"])).await;
    let masks = vec![Mask { entry: caller, saved_tokens: 4 }];
    let summary = work.put(work.draft(Kind::Compaction).target(caller).masks(masks)).await;
    let difference = between(&work, result, summary).await;
    let expected = [
        (Change::Replaced, Source::Later, vec![old]),
        (Change::Removed, Source::Later, vec![caller]),
        (Change::Added, Source::Summary, vec![summary]),
        (Change::Added, Source::Kept, vec![caller]),
        (Change::Same, Source::Kept, vec![result]),
    ];
    assert_eq!(told(&difference.runs), expected);
}

#[tokio::test]
async fn what_closes_a_call_is_an_item_without_tokens() {
    let work = Work::new();
    let caller = work.put(work.draft(Kind::Assistant).calls(["a"])).await;
    let next = work.say(Kind::User).await;
    let difference = between(&work, caller, next).await;
    let expected = [
        (Change::Same, Source::Later, vec![caller]),
        (Change::Added, Source::Later, vec![caller, next]),
    ];
    assert_eq!(told(&difference.runs), expected);
    assert_eq!(difference.total(Change::Added), (2, 10));
}

#[tokio::test]
async fn what_stands_elsewhere_is_removed_here_and_added_there() {
    let work = Work::new();
    let [one, two] = [work.say(Kind::User).await, work.say(Kind::User).await];
    let items = between(&work, one, two).await.after.items;
    let [first, second] = &items[..] else { panic!("{items:?}") };
    let (before, after) = ([first.clone(), second.clone()], [second.clone(), first.clone()]);
    let expected = [
        (Change::Removed, Source::Later, vec![one]),
        (Change::Same, Source::Later, vec![two]),
        (Change::Added, Source::Later, vec![one]),
    ];
    assert_eq!(told(&runs(&before, &after, Some(1))), expected);
}
