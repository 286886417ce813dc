//! Masks: what is kept and too large loses what its tools were given or printed at length.

use treering_interchange::{masked, plain_text};
use treering_policy::Boundary;
use treering_tree::context::{Form, Item};
use treering_tree::{Draft, Message, Part, Role};

use super::*;
use crate::kit::{Desk, Words, compact, keeping, scripted};

/// 100 tokens over what a landing may leave where the large result is kept whole.
fn policy() -> Policy {
    Policy {
        window: 6_000,
        keep_recent_turns: Some(1),
        keep_recent_tokens: None,
        boundary: Boundary::Before,
        ..keeping(0)
    }
}

fn words(words: usize) -> String {
    "word ".repeat(words)
}

/// A call of `read` on a path, and its result of so many words.
async fn read(desk: &mut Desk, call: &str, size: usize) {
    let arguments = serde_json::json!({ "path": "src/a.rs", "note": words(10) });
    let (id, name) = (call.to_owned(), "read".to_owned());
    let said = Message::new(Role::Assistant, vec![Part::ToolCall { id, name, arguments }]);
    desk.put(draft(desk, Kind::Assistant, &said, 20).calls([call])).await;
    let (id, text) = (call.to_owned(), words(size));
    let part = Part::ToolResult { call: id, text, error: false };
    let tokens = u32::try_from(size).unwrap();
    let said = Message::new(Role::Tool, vec![part]);
    desk.put(draft(desk, Kind::ToolResult, &said, tokens).answers([call])).await;
}

fn draft(desk: &Desk, kind: Kind, said: &Message, tokens: u32) -> Draft {
    desk.session.draft(kind, said.body()).tokens(tokens)
}

async fn item(desk: &Desk, at: usize) -> Item {
    let context = desk.session.context().await.unwrap();
    let found = context.items.iter().find(|item| item.stored.place.id == desk.ids[at]);
    found.unwrap().clone()
}

fn saved(item: &Item) -> u64 {
    match item.form {
        Form::Masked { saved_tokens } => u64::from(saved_tokens),
        _ => 0,
    }
}

/// u, u, and a turn with a result of 6,000 tokens.
async fn desk() -> Desk {
    let mut desk = Desk::with("u2000 u200").await;
    read(&mut desk, "large", 6_000).await;
    desk.say("a10").await;
    desk
}

#[tokio::test]
async fn a_result_too_large_to_keep_is_masked_where_it_stands() {
    let desk = desk().await;
    let whole = desk.store().entries(&[desk.ids[3]]).await.unwrap();
    let (compactor, script) = scripted(&["what was"]);
    let run = RunOptions::default();
    let foreseen = RunOptions { dry_run: true, ..run.clone() };
    let foreseen = compactor.run(&desk.session, &policy(), &foreseen).await.unwrap();
    let done = compactor.run(&desk.session, &policy(), &run).await.unwrap();
    assert_eq!((done.first_kept_entry_id, done.summarized_count), (Some(desk.ids[1]), 1));
    assert_eq!((done.masked_count, foreseen.masked_count), (1, 1));
    let shown = item(&desk, 3).await;
    let text = plain_text(&masked(&shown));
    assert!(
        text.contains(&format!("masked: read src/a.rs; entry {}]", desk.ids[3].short())),
        "{text}"
    );
    let left = crate::draft_tokens(&Words, Kind::ToolResult, &masked(&shown).body());
    assert_eq!(saved(&shown), 6_000 - u64::from(left));
    assert_eq!(done.tokens_after, 2 + 200 + 20 + u64::from(left) + 10);
    assert!(done.tokens_after <= foreseen.tokens_after);
    assert_eq!(desk.session.context().await.unwrap().tokens, done.tokens_after);
    // The entry is what it was, and the summarizer saw how it will show.
    assert_eq!(desk.store().entries(&[desk.ids[3]]).await.unwrap(), whole);
    assert_eq!(script.jobs()[0].kept[2].message, masked(&shown));
    assert!(desk.store().verify().await.unwrap().problems.is_empty());
}

#[tokio::test]
async fn what_is_masked_stays_so_until_it_is_covered_or_pinned() {
    let mut desk = desk().await;
    compact(&desk, &policy(), "one").await;
    let first = saved(&item(&desk, 3).await);
    desk.say("a9000 a2000").await;
    // Another compaction keeps it masked, though it would fit: the tail is reckoned with what it shows.
    let options = RunOptions { force: true, up_to: Some(desk.ids[1]), ..RunOptions::default() };
    let (compactor, _) = scripted(&["two"]);
    let done = compactor.run(&desk.session, &policy(), &options).await.unwrap();
    assert_eq!((done.first_kept_entry_id, done.masked_count), (Some(desk.ids[2]), 1));
    assert_eq!(saved(&item(&desk, 3).await), first);
    // A pin shows it whole from the next compaction on.
    let pin =
        desk.session.draft(Kind::Pin, treering_tree::Body::new("text", "")).target(desk.ids[3]);
    desk.put(pin).await;
    assert_eq!(saved(&item(&desk, 3).await), first, "not before");
    let options = RunOptions { force: true, up_to: Some(desk.ids[5]), ..RunOptions::default() };
    let wide = Policy { window: 20_000, ..policy() };
    let (compactor, script) = scripted(&["three"]);
    compactor.run(&desk.session, &wide, &options).await.unwrap();
    assert_eq!(item(&desk, 3).await.form, Form::Verbatim);
    assert_eq!(script.jobs()[0].previous.as_ref().unwrap().text, "two");
    assert!(desk.store().verify().await.unwrap().problems.is_empty());
}

#[tokio::test]
async fn what_was_masked_is_summarized_from_what_it_was() {
    let mut desk = desk().await;
    compact(&desk, &policy(), "one").await;
    desk.say("u4000 a2000").await;
    let (compactor, script) = scripted(&["two"]);
    compactor.run(&desk.session, &policy(), &RunOptions::default()).await.unwrap();
    let job = &script.jobs()[0];
    let result = job.entries.iter().find(|entry| entry.id == desk.ids[3]).unwrap();
    assert_eq!(plain_text(&result.message), words(6_000));
}

#[tokio::test]
async fn results_are_masked_before_arguments_and_a_group_keeps_its_calls() {
    let mut desk = Desk::with("u2000 u200").await;
    for (call, size) in [("small", 100), ("large", 5_400), ("middle", 700)] {
        read(&mut desk, call, size).await;
    }
    desk.say("a10").await;
    let done = compact(&desk, &policy(), "what was").await;
    assert_eq!(done.masked_count, 1, "the largest alone");
    for (at, masks) in [(3, false), (5, true), (7, false)] {
        assert_eq!(item(&desk, at).await.is_masked(), masks, "entry {at}");
    }
    let after = desk.session.context().await.unwrap();
    let ids: Vec<Id> = after.items[1..].iter().map(|item| item.stored.place.id).collect();
    assert_eq!(ids, desk.ids[1..], "every call beside its result");
}
