//! Layouts of small histories, each against the rule it stands for.

use super::*;
use crate::context::kit::Work;
use crate::entry::Draft;
use crate::place::Place;

fn caller(work: &Work, calls: &[&str]) -> Draft {
    work.draft(Kind::Assistant).calls(calls.iter().copied())
}

fn result(work: &Work, answers: &[&str]) -> Draft {
    work.draft(Kind::ToolResult).answers(answers.iter().copied())
}

/// Which entries show, and how.
fn shown(items: &[Item]) -> Vec<(Id, Form)> {
    items.iter().map(|item| (item.stored.place.id, item.form.clone())).collect()
}

fn whole(ids: &[Id]) -> Vec<(Id, Form)> {
    ids.iter().map(|id| (*id, Form::Verbatim)).collect()
}

fn interrupted(call: &str) -> Form {
    Form::Interrupted { call: call.to_owned() }
}

#[tokio::test]
async fn results_stand_behind_their_calls_in_the_order_of_the_calls() {
    let work = Work::new();
    let user = work.say(Kind::User).await;
    let calls = work.put(caller(&work, &["a", "b"])).await;
    let second = work.put(result(&work, &["b"])).await;
    let note = work.say(Kind::Note).await;
    let first = work.put(result(&work, &["a"])).await;
    let items = work.items().await;
    assert_eq!(shown(&items), whole(&[user, calls, first, second, note]));
    let callers = |at: usize| items[at].callers.iter().map(|entry| entry.id()).collect::<Vec<_>>();
    assert_eq!(
        [callers(1), callers(2), callers(3), callers(4)],
        [vec![], vec![calls], vec![calls], vec![]]
    );
}

#[tokio::test]
async fn a_context_ends_with_the_group_of_an_open_call_before_the_first_result_that_is_missing() {
    let work = Work::new();
    let user = work.say(Kind::User).await;
    let calls = work.put(caller(&work, &["a", "b", "c"])).await;
    let second = work.put(result(&work, &["b"])).await;
    work.say(Kind::Note).await;
    assert_eq!(shown(&work.items().await), whole(&[user, calls]));
    let first = work.put(result(&work, &["a"])).await;
    assert_eq!(shown(&work.items().await), whole(&[user, calls, first, second]));
}

#[tokio::test]
async fn a_user_entry_closes_what_is_open_and_what_comes_then_is_late() {
    let work = Work::new();
    let calls = work.put(caller(&work, &["a", "b"])).await;
    let first = work.put(result(&work, &["a"])).await;
    let user = work.say(Kind::User).await;
    let late = work.put(result(&work, &["b"])).await;
    let again = work.put(result(&work, &["a"])).await;
    let expected = [
        (calls, Form::Verbatim),
        (first, Form::Verbatim),
        (calls, interrupted("b")),
        (user, Form::Verbatim),
        (late, Form::LateResult),
        (again, Form::LateResult),
    ];
    let items = work.items().await;
    assert_eq!(shown(&items), expected);
    let closing: Vec<bool> = items.iter().map(Item::is_interruption).collect();
    assert_eq!(closing, [false, false, true, false, false, false]);
}

#[tokio::test]
async fn entries_whose_calls_one_result_answers_stand_together() {
    let work = Work::new();
    let one = work.put(caller(&work, &["a", "c"])).await;
    let note = work.say(Kind::Note).await;
    let two = work.put(caller(&work, &["b", "d"])).await;
    let last = work.put(result(&work, &["d"])).await;
    let both = work.put(result(&work, &["b", "a"])).await;
    let alone = work.put(result(&work, &["c"])).await;
    let items = work.items().await;
    assert_eq!(shown(&items), whole(&[one, two, both, alone, last, note]));
    let callers: Vec<Id> = items[2].callers.iter().map(|entry| entry.id()).collect();
    assert_eq!(callers, [one, two]);
}

#[tokio::test]
async fn of_two_calls_of_one_name_the_newest_is_answered_first() {
    let work = Work::new();
    let one = work.put(caller(&work, &["a"])).await;
    let two = work.put(caller(&work, &["a"])).await;
    let newest = work.put(result(&work, &["a"])).await;
    let older = work.put(result(&work, &["a"])).await;
    assert_eq!(shown(&work.items().await), whole(&[one, older, two, newest]));
}

#[tokio::test]
async fn what_is_lifted_is_closed_by_its_turn_though_the_user_entry_is_not_lifted() {
    let work = Work::new();
    let calls = work.put(caller(&work, &["a"])).await;
    work.say(Kind::User).await;
    let late = work.put(result(&work, &["a"])).await;
    let open = work.put(caller(&work, &["b"])).await;
    for pinned in [calls, late, open] {
        work.put(work.draft(Kind::Pin).target(pinned)).await;
    }
    let kept = work.say(Kind::User).await;
    let summary = work.compact(kept).await;
    let items = work.items().await;
    let expected = [
        (calls, Form::Verbatim),
        (calls, interrupted("a")),
        (late, Form::LateResult),
        (open, Form::Verbatim),
        (open, interrupted("b")),
        (summary, Form::Verbatim),
        (kept, Form::Verbatim),
    ];
    assert_eq!(shown(&items), expected);
    let sources: Vec<Source> = items[4..].iter().map(|item| item.source).collect();
    assert_eq!(sources, [Source::Pin, Source::Summary, Source::Kept]);
}

#[tokio::test]
async fn what_a_compaction_kept_and_what_came_later_are_told_apart() {
    let work = Work::new();
    work.say(Kind::User).await;
    let kept = work.say(Kind::User).await;
    work.compact(kept).await;
    let later = work.say(Kind::User).await;
    let items = work.items().await;
    let told: Vec<_> = items[1..].iter().map(|item| (item.stored.place.id, item.source)).collect();
    assert_eq!(told, [(kept, Source::Kept), (later, Source::Later)]);
}

#[tokio::test]
async fn a_lost_entry_shows_nothing_and_closes_what_was_open() {
    let work = Work::new();
    let calls = work.put(caller(&work, &["a"])).await;
    let head = work.put(result(&work, &["a"])).await;
    let mut tail = work.store().tail(head).await.unwrap();
    let place = Place { kind: Kind::Lost, ..(*tail.entries[0].place).clone() };
    let entry = Arc::new(Entry::lost(Id::from_bytes([9; 32]), Some(calls)));
    tail.entries.insert(1, Stored { place: Arc::new(place), entry });
    let expected = [(calls, Form::Verbatim), (calls, interrupted("a")), (head, Form::LateResult)];
    assert_eq!(shown(Layout::of(tail).items()), expected);
}
