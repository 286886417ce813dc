//! Sessions that two counters counted, seen by one.

use std::sync::Arc;

use treering_policy::{Policy, SkipReason};
use treering_provider::TokenCounter;
use treering_tree::{Context, Counter, Draft, Expect, Id, Kind, Message, Role, Seek, Session};

use crate::kit::{Desk, Words, keeping};
use crate::{Compactor, Look, RunOptions, counted};

/// Counts ten for each word, and so many for each message.
struct Tens;

impl TokenCounter for Tens {
    fn id(&self) -> &'static str {
        "tens"
    }

    fn count(&self, text: &str) -> u32 {
        10 * Words.count(text)
    }

    fn per_message(&self) -> u32 {
        0
    }
}

/// A session of turns with so many words each, counted by `counter`.
async fn say(desk: &Desk, counter: &dyn TokenCounter, words: &[usize]) -> Vec<Id> {
    let mut ids = Vec::new();
    for words in words {
        let draft = said(desk, *words);
        let done = desk.session.append(counted(counter, draft), Expect::Any).await.unwrap();
        ids.extend(done.ids);
    }
    ids
}

fn said(desk: &Desk, words: usize) -> Draft {
    let text = "word ".repeat(words);
    desk.session.draft(Kind::User, Message::text(Role::User, text).body())
}

fn compactor(counter: impl TokenCounter + 'static, replies: &[&str]) -> Compactor {
    let replies = replies.iter().map(|reply| Ok((*reply).to_owned()));
    let script = treering_provider::Scripted::new(replies);
    Compactor::new(Arc::new(counter), Arc::new(script))
}

#[tokio::test]
async fn keeps_every_promise_of_a_store() {
    treering_tree::conformance::all(|| async {
        let desk = Desk::new();
        let store = Arc::clone(desk.session.store());
        let session = Session::new(store, "one", desk.session.sources().clone());
        Arc::clone(compactor(Words, &[]).recounted(&session).store())
    })
    .await;
}

#[tokio::test]
async fn one_counter_is_taken_at_its_word() {
    let desk = Desk::new();
    say(&desk, &Words, &[5, 6]).await;
    let measure = desk.session.measure().await.unwrap().unwrap();
    assert_eq!((measure.tokens, measure.head.counter), (11, Counter::named("words")));
    assert!(measure.is_counted_by(Counter::named("words")));
    assert!(!measure.is_counted_by(Counter::named("tens")));
    let words = compactor(Words, &[]).recounted(&desk.session);
    assert_eq!(words.measure().await.unwrap().unwrap(), measure);
}

#[tokio::test]
async fn counts_of_two_counters_are_never_added() {
    let desk = Desk::new();
    let ids = say(&desk, &Words, &[5, 6]).await;
    let more = say(&desk, &Tens, &[7]).await;
    let plain = desk.session.measure().await.unwrap().unwrap();
    assert_eq!(plain.tokens, 5 + 6 + 70, "what a store adds");
    for name in ["words", "tens"] {
        assert!(!plain.is_counted_by(Counter::named(name)), "and so nobody's");
    }
    for (session, unit) in [
        (compactor(Words, &[]).recounted(&desk.session), 1),
        (compactor(Tens, &[]).recounted(&desk.session), 10),
    ] {
        assert_eq!(session.measure().await.unwrap().unwrap().tokens, 18 * unit);
        let context = Context::at(&**session.store(), more[0]).await.unwrap();
        let sizes = context.items.iter().map(|item| u64::from(item.stored.place.tokens));
        assert_eq!(sizes.collect::<Vec<_>>(), [5 * unit, 6 * unit, 7 * unit]);
        let ask = [13 * unit, 13 * unit - 1, 6].map(Seek::TokensAtMost);
        let found = session.store().seek(more[0], &ask).await.unwrap();
        let found: Vec<_> = found.into_iter().map(|place| place.map(|place| place.id)).collect();
        assert_eq!(found, [Some(ids[1]), Some(more[0]), None]);
    }
}

#[tokio::test]
async fn a_change_of_counters_changes_when_and_where_is_cut() {
    let desk = Desk::new();
    let ids = say(&desk, &Words, &[10; 12]).await;
    let policy = keeping(250);
    let words = compactor(Words, &[]).run(&desk.session, &policy, &RunOptions::default()).await;
    let reason = words.unwrap().skipped_reason.unwrap();
    assert!(matches!(reason, SkipReason::UnderThreshold { tokens: 120, .. }), "{reason}");

    let tens = compactor(Tens, &["what was", "what was then"]);
    let decided = tens.decide(&desk.session, &policy).await.unwrap();
    assert_eq!(decided, Ok(Some(ids[10])), "two turns of 100 fit 250");
    let done = tens.run(&desk.session, &policy, &RunOptions::default()).await.unwrap();
    assert_eq!(done.first_kept_entry_id, Some(ids[10]), "{done:?}");
    assert_eq!((done.tokens_before, done.tokens_after), (1_200, 20 + 200));
    assert_eq!(done.summarized_count, 10);

    // What is kept was counted by the other one, until the next compaction covers it.
    let later = say(&desk, &Tens, &[10; 4]).await;
    let seen = tens.recounted(&desk.session);
    assert_eq!(seen.measure().await.unwrap().unwrap().tokens, 20 + 200 + 400);
    let done = tens.run(&desk.session, &policy, &RunOptions::default()).await.unwrap();
    assert_eq!(done.first_kept_entry_id, Some(later[2]), "{done:?}");
    let plain = desk.session.measure().await.unwrap().unwrap();
    assert!(plain.is_counted_by(Counter::named("tens")), "nothing of the other is in view");
    assert_eq!(plain.tokens, 30 + 200);
    assert_eq!(seen.measure().await.unwrap().unwrap(), plain);
    assert!(desk.store().verify().await.unwrap().problems.is_empty());
}

#[tokio::test]
async fn what_is_lifted_is_counted_again() {
    let desk = Desk::new();
    let prompt = Message::text(Role::System, "be brief and kind").body();
    let prompt = desk.session.draft(Kind::SystemPrompt, prompt).slot("main");
    desk.session.append(counted(&Words, prompt), Expect::Any).await.unwrap();
    say(&desk, &Words, &[10; 10]).await;
    let tens = compactor(Tens, &["what was"]);
    let (head, seen) = (desk.head().await, tens.recounted(&desk.session));
    let cut = seen.store().preview(head, Some(head)).await.unwrap();
    assert_eq!((cut.lifted_tokens, cut.covered_tokens), (40, 40 + 900));
    let done = tens.run(&desk.session, &keeping(150), &RunOptions::default()).await.unwrap();
    assert_eq!((done.tokens_before, done.tokens_after), (1_040, 40 + 20 + 100));
}

#[tokio::test]
async fn a_watch_decides_by_its_own_counter() {
    let desk = Desk::new();
    say(&desk, &Words, &[10; 6]).await;
    let policy = Policy { window: 1_000, ..keeping(150) };
    let look = compactor(Words, &[]).watch(&desk.session, &policy).look().await.unwrap();
    assert!(matches!(look, Look::Fits { tokens: 60 }), "{look:?}");
    let watch = compactor(Tens, &["what was"]).watch(&desk.session, &policy);
    let Look::Started(mut handle) = watch.look().await.unwrap() else { panic!() };
    assert_eq!(handle.result().await.unwrap().tokens_before, 600);
    assert_eq!(watch.ensure_fits().await.unwrap().tokens, 20 + 100);
}
