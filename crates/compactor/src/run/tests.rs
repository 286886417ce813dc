//! Runs against a store in memory: what is written, what is not, and what happens meanwhile.

use treering_provider::Scripted;
use treering_tree::context::Source;
use treering_tree::{Expect, Kind, Message, Role};

use treering_provider::{Error as ProviderError, SummaryJob};

use super::*;
use crate::kit::{Desk, Flying, Gated, Words, compact, keeping, scripted};
use crate::{ErrorKind, Happened, Progress, SkipReason};

fn nexus() -> Policy {
    Policy { window: 1_000, reserve: Some(100), ..Policy::default() }
}

fn told(job: &SummaryJob) -> Vec<Id> {
    job.entries.iter().map(|entry| entry.id).collect()
}

#[tokio::test]
async fn seven_of_ten_user_entries_are_summarized() {
    let desk = Desk::with("u95 u95 u95 u95 u95 u95 u95 u95 u95 u95").await;
    let (compactor, script) = scripted(&["they said seven things"]);
    let policy =
        Policy { keep_recent_turns: Some(3), summary_hint: Some("numbers".to_owned()), ..nexus() };
    let done = compactor.run(&desk.session, &policy, &RunOptions::default()).await.unwrap();
    let head = desk.head().await;
    let expected = CompactionResult {
        entry: Some(head),
        first_kept_entry_id: Some(desk.ids[7]),
        summarized_count: 7,
        masked_count: 0,
        tokens_before: 950,
        tokens_after: 3 * 95 + 4,
        skipped_reason: None,
    };
    assert_eq!(done, expected);
    let jobs = script.jobs();
    assert_eq!(jobs.len(), 1);
    assert_eq!(told(&jobs[0]), desk.ids[..7]);
    assert_eq!(jobs[0].kept.iter().map(|entry| entry.id).collect::<Vec<_>>(), desk.ids[7..]);
    assert_eq!(jobs[0].hint.as_deref(), Some("numbers"));
    assert_eq!(desk.shown().await, [&[head], &desk.ids[7..]].concat());
    let landed = desk.store().entries(&[head]).await.unwrap().remove(0).unwrap();
    assert_eq!(landed.entry.envelope().parent, Some(desk.ids[9]));
}

#[tokio::test]
async fn what_is_not_due_or_cannot_help_asks_nobody() {
    let cases = [
        (
            "u50 u50 u50 u50 u50 u50 u50 u50 u50 u50",
            "UnderThreshold { tokens: 500, threshold: 900, window: 1000 }",
        ),
        (
            "u5000 u5000 u5000",
            "Unreachable { overhead: 224, kept: 5000, threshold: 900, emergency: 950 }",
        ),
        (
            "u950",
            "AllKept { tokens: 950, turns: 1, keep_turns: Some(6), keep_messages: None, keep_tokens: None }",
        ),
    ];
    for (line, expected) in cases {
        let desk = Desk::with(line).await;
        let (compactor, script) = scripted(&["never"]);
        let done = compactor.run(&desk.session, &nexus(), &RunOptions::default()).await.unwrap();
        assert_eq!(format!("{:?}", done.skipped_reason.unwrap()), expected, "{line}");
        assert_eq!((script.jobs().len(), desk.head().await), (0, *desk.ids.last().unwrap()));
    }
}

#[tokio::test]
async fn sessions_without_entries_or_without_a_window_are_skipped() {
    let desk = Desk::with("u600 u600").await;
    let (compactor, _) = scripted(&[]);
    let unknown = compactor.run(&desk.session, &Policy::default(), &RunOptions::default()).await;
    assert_eq!(unknown.unwrap().skipped_reason, Some(SkipReason::UnknownWindow { tokens: 1_200 }));
    let off = Policy { automatic: false, ..nexus() };
    let off = compactor.run(&desk.session, &off, &RunOptions::default()).await.unwrap();
    assert_eq!(off.skipped_reason, Some(SkipReason::NotAutomatic { tokens: 1_200 }));
    desk.session.rewind(None, Expect::Any).await.unwrap();
    let empty = compactor.run(&desk.session, &nexus(), &RunOptions::default()).await.unwrap();
    assert_eq!(empty.skipped_reason, Some(SkipReason::Empty));
    let missing = compactor.run(&Desk::new().session, &nexus(), &RunOptions::default()).await;
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::Tree(treering_tree::ErrorKind::NotFound));
}

#[tokio::test]
async fn a_failing_or_blank_summary_writes_nothing() {
    let desk = Desk::with("u400 a400 u50 a50").await;
    let replies = [
        (Ok("   \n".to_owned()), treering_provider::ErrorKind::BadReply),
        (Err(ProviderError::Cancelled), treering_provider::ErrorKind::Cancelled),
    ];
    for (reply, kind) in replies {
        let script = Arc::new(Scripted::new([reply]));
        let compactor = Compactor::new(Arc::new(Words), script);
        let failed = compactor.run(&desk.session, &keeping(100), &RunOptions::default()).await;
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::Provider(kind));
        assert_eq!(desk.entries().await, 4);
    }
}

#[tokio::test]
async fn a_summary_that_is_no_smaller_is_not_landed() {
    let desk = Desk::with("u400 a150 u50 a50").await;
    let done = compact(&desk, &keeping(100), &"long ".repeat(530)).await;
    let reason = SkipReason::NoProgress { before: 650, after: 630, required: 33 };
    assert_eq!(done.skipped_reason, Some(reason));
    assert_eq!(desk.entries().await, 4);
}

#[tokio::test]
async fn a_prompt_stays_first_through_generations() {
    let mut desk = Desk::with("p40 u200 a200 u200 a50").await;
    let (compactor, script) = scripted(&["gen one", "gen two"]);
    let run = async || compactor.run(&desk.session, &keeping(100), &RunOptions::default()).await;
    let first = run().await.unwrap();
    assert_eq!(first.first_kept_entry_id, Some(desk.ids[4]));
    let compaction = desk.head().await;
    assert_eq!(desk.shown().await, [desk.ids[0], compaction, desk.ids[4]]);
    desk.say("u300 a200 u10 a10").await;
    let second = compactor.run(&desk.session, &keeping(100), &RunOptions::default()).await.unwrap();
    assert_eq!(second.summarized_count, 3);
    let job = &script.jobs()[1];
    assert_eq!(job.previous.as_ref().unwrap().text, "gen one");
    assert_eq!(told(job), desk.ids[4..7], "the first kept tail is summarized, not lost");
    assert_eq!(desk.shown().await, [desk.ids[0], desk.head().await, desk.ids[7], desk.ids[8]]);
    assert!(desk.store().verify().await.unwrap().problems.is_empty());
}

#[tokio::test]
async fn a_replaced_prompt_is_summarized_and_the_active_one_is_not() {
    let desk = Desk::with("u200 p30 u200 p40 u200 a10").await;
    let (compactor, script) = scripted(&["sum"]);
    compactor.run(&desk.session, &keeping(50), &RunOptions::default()).await.unwrap();
    assert_eq!(told(&script.jobs()[0]), [desk.ids[0], desk.ids[1], desk.ids[2], desk.ids[4]]);
    assert_eq!(desk.shown().await, [desk.ids[3], desk.head().await, desk.ids[5]]);
}

#[tokio::test]
async fn calls_stay_with_their_results() {
    // The tail budget falls between the results of parallel calls, with a note among them.
    let desk = Desk::with("u300 a100>2 t100 n10 t60 a20").await;
    let done = compact(&desk, &keeping(90), "sum").await;
    assert_eq!(done.first_kept_entry_id, Some(desk.ids[5]));
    // The newest group is over the budget: it is kept whole.
    let giant = Desk::with("u300 a10>2 t10 t300").await;
    let done = compact(&giant, &keeping(90), "sum").await;
    assert_eq!(done.first_kept_entry_id, Some(giant.ids[1]));
    // A call that is open is never covered.
    let open = Desk::with("u300 a200 u10 a10>1").await;
    let done = compact(&open, &keeping(0), "sum").await;
    assert_eq!(done.first_kept_entry_id, Some(open.ids[3]));
}

#[tokio::test]
async fn what_is_appended_meanwhile_stays_as_it_is() {
    let mut desk = Desk::with("u400 a150 u20 a20").await;
    let flying = Flying::new(&desk, &keeping(50)).await;
    desk.say("u5 a5>1 t5 m0 a5").await;
    let later = desk.shown().await.split_off(4);
    let done = flying.land().await;
    assert_eq!(done.first_kept_entry_id, Some(desk.ids[2]));
    assert_eq!(done.tokens_before, 610);
    assert_eq!(done.tokens_after, 2 + 40 + 20);
    let context = desk.session.context().await.unwrap();
    let kept: Vec<Id> = context.items[1..].iter().map(|item| item.stored.entry.id()).collect();
    assert_eq!(kept, [&desk.ids[2..4], &later].concat());
    assert!(context.items[1..].iter().all(|item| item.source == Source::Kept));
}

#[tokio::test]
async fn nothing_that_came_meanwhile_is_covered_where_nothing_was_to_be_kept() {
    let mut desk = Desk::with("u400 a400").await;
    let policy = Policy { oversized: treering_policy::Oversized::Cover, ..keeping(5) };
    let flying = Flying::new(&desk, &policy).await;
    desk.say("u5 a5").await;
    assert_eq!(flying.land().await.first_kept_entry_id, Some(desk.ids[2]));
}

#[tokio::test]
async fn a_branch_that_moved_off_makes_it_stale() {
    let mut desk = Desk::with("u400 a150 u20 a20").await;
    let flying = Flying::new(&desk, &keeping(50)).await;
    desk.session.rewind(Some(desk.ids[2]), Expect::Any).await.unwrap();
    desk.say("a7").await;
    let done = flying.land().await;
    let reason = SkipReason::Stale { high_water: desk.ids[3], head: Some(desk.ids[4]) };
    assert_eq!(done.skipped_reason, Some(reason));
    assert_eq!((desk.entries().await, desk.head().await), (5, desk.ids[4]));
}

#[tokio::test]
async fn it_lands_on_its_own_branch() {
    let mut desk = Desk::with("u400 a150 u20 a20").await;
    let flying = Flying::new(&desk, &keeping(50)).await;
    desk.session.fork_branch("side", desk.ids[1]).await.unwrap();
    desk.say("u7").await;
    let done = flying.land().await;
    assert_eq!(desk.head().await, desk.ids[4]);
    let main = desk.store().branches("desk", None, 10).await.unwrap().remove(0);
    assert_eq!((main.name.as_str(), main.head), ("main", done.entry));
}

#[tokio::test]
async fn a_compaction_that_landed_meanwhile_supersedes() {
    let desk = Desk::with("u400 a150 u20 a20").await;
    let flying = Flying::new(&desk, &keeping(50)).await;
    desk.pass_ms(crate::lease::LEASE_MS);
    let other = compact(&desk, &keeping(50), "first").await.entry.unwrap();
    let done = flying.land().await;
    assert_eq!(done.skipped_reason, Some(SkipReason::Superseded { by: other }));
    assert_eq!(desk.head().await, other);
}

#[tokio::test]
async fn also_one_that_covers_less() {
    // Its summary is none of our inputs, so what only it says would be lost.
    let desk = Desk::with("u400 a150 u20 a20").await;
    let flying = Flying::new(&desk, &keeping(50)).await;
    desk.pass_ms(crate::lease::LEASE_MS);
    let other = compact(&desk, &keeping(200), "first").await;
    assert_eq!(other.first_kept_entry_id, Some(desk.ids[1]));
    let done = flying.land().await;
    let by = other.entry.unwrap();
    assert_eq!(done.skipped_reason, Some(SkipReason::Superseded { by }));
}

#[tokio::test]
async fn pins_that_change_meanwhile_are_planned_again() {
    let mut desk = Desk::with("u300 a200 u20 a20").await;
    let pin = |kind, id| {
        let body = Message::text(Role::User, "").body();
        desk.session.draft(kind, body).target(id)
    };
    desk.put(pin(Kind::Pin, desk.ids[0])).await;
    let mut flying = Flying::new(&desk, &keeping(50)).await;
    let unpin = desk.session.draft(Kind::Unpin, Message::text(Role::User, "").body());
    desk.put(unpin.target(desk.ids[0])).await;
    flying.gate.let_go();
    let again = flying.next_job().await;
    assert_eq!(told(&again), desk.ids[..2], "no longer pinned, so summarized");
    assert!(flying.land().await.entry.is_some());
    assert_eq!(desk.shown().await, [desk.head().await, desk.ids[2], desk.ids[3]]);
}

#[tokio::test]
async fn a_second_caller_joins_and_gets_the_same_result() {
    let desk = Desk::with("u400 a150 u20 a20").await;
    let flying = Flying::new(&desk, &keeping(50)).await;
    let compactor = flying.compactor.clone();
    let (session, policy) = (desk.session.clone(), keeping(50));
    let second =
        tokio::spawn(async move { compactor.run(&session, &policy, &RunOptions::default()).await });
    tokio::task::yield_now().await;
    let first = flying.land().await;
    assert_eq!(second.await.unwrap().unwrap(), first);
    assert_eq!(desk.entries().await, 5);
}

#[tokio::test]
async fn a_dropped_run_writes_nothing_and_blocks_nobody() {
    let desk = Desk::with("u400 a150 u20 a20").await;
    let mut flying = Flying::new(&desk, &keeping(50)).await;
    let waiting = flying.another(&desk, OnDrop::Cancel).await;
    flying.leave().await;
    // The one who waits flies on, without a second summary; without him it ends.
    assert!(flying.gate.is_asked());
    assert!(waiting.cancel());
    while flying.gate.is_asked() {
        tokio::task::yield_now().await;
    }
    assert_eq!(desk.entries().await, 4);
    let again = flying.another(&desk, OnDrop::Cancel).await;
    flying.next_job().await;
    flying.gate.let_go();
    assert!({ again }.result().await.unwrap().entry.is_some());
}

#[tokio::test]
async fn a_handle_tells_how_far_it_is_and_stops_what_only_it_wants() {
    let desk = Desk::with("u400 a150 u20 a20").await;
    let (gate, mut jobs) = Gated::new();
    let compactor = Compactor::new(Arc::new(Words), Arc::clone(&gate) as _);
    let start = async |on_drop| {
        let (policy, options) = (keeping(50), RunOptions::default());
        compactor.start(&desk.session, &policy, &options, on_drop).await.unwrap()
    };
    let mut first = start(OnDrop::Cancel).await;
    assert_eq!(first.progress(), Progress::Planning);
    assert_eq!(first.next_progress().await, Progress::Summarizing { entries: 2, tokens: 550 });
    jobs.recv().await.unwrap();
    let mut second = start(OnDrop::Cancel).await;
    assert!(!first.cancel(), "the second waits for it");
    gate.let_go();
    assert!(second.result().await.unwrap().entry.is_some());
    assert_eq!(second.progress(), Progress::Done);
    assert!(!second.cancel(), "it is done");
    assert_eq!(desk.entries().await, 5);
}

#[tokio::test]
async fn dropping_a_handle_cancels_or_detaches_as_was_chosen() {
    for (on_drop, entries) in [(OnDrop::Cancel, 4), (OnDrop::Detach, 5)] {
        let desk = Desk::with("u400 a150 u20 a20").await;
        let (gate, mut jobs) = Gated::new();
        let compactor = Compactor::new(Arc::new(Words), Arc::clone(&gate) as _);
        let (policy, options) = (keeping(50), RunOptions::default());
        let handle = compactor.start(&desk.session, &policy, &options, on_drop).await.unwrap();
        jobs.recv().await.unwrap();
        drop(handle);
        gate.let_go();
        while compactor.lease(&desk.session).await.unwrap().until_ms.is_some() {
            tokio::task::yield_now().await;
        }
        assert_eq!(desk.entries().await, entries, "{on_drop:?}");
    }
}

#[tokio::test]
async fn a_compactor_of_another_process_waits_and_gets_the_same_result() {
    let desk = Desk::with("u400 a150 u20 a20").await;
    let flying = Flying::new(&desk, &keeping(50)).await;
    let (other, script) = scripted(&["never"]);
    let (policy, options) = (keeping(50), RunOptions::default());
    let mut joined = other.start(&desk.session, &policy, &options, OnDrop::Cancel).await.unwrap();
    tokio::task::yield_now().await;
    let first = flying.land().await;
    assert_eq!(joined.result().await.unwrap(), first);
    assert_eq!((script.jobs().len(), desk.entries().await), (0, 5));
}

#[tokio::test]
async fn who_lost_the_lease_lands_nothing() {
    let mut desk = Desk::with("u400 a150 u20 a20").await;
    let flying = Flying::new(&desk, &keeping(50)).await;
    // The holder sleeps past the end of its lease, and another process takes it over.
    desk.pass_ms(crate::lease::LEASE_MS);
    let second = compact(&desk, &keeping(200), "second").await;
    assert_eq!(second.first_kept_entry_id, Some(desk.ids[1]));
    // Without the fence the first would be stopped by the second's entry only; take that away.
    desk.session.rewind(Some(desk.ids[3]), Expect::Any).await.unwrap();
    let first = flying.land().await;
    assert_eq!(first.skipped_reason, Some(SkipReason::LeaseLost { fence: 1 }));
    assert_eq!(desk.head().await, desk.ids[3]);
    desk.say("u1").await;
}

#[tokio::test]
async fn what_comes_after_the_high_water_mark_is_not_covered() {
    let desk = Desk::with("u200 a100 u400 a150 u20 a20").await;
    let (compactor, script) = scripted(&["sum"]);
    let options = RunOptions { high_water: Some(desk.ids[3]), ..RunOptions::default() };
    let policy = keeping(150);
    let done = compactor.run(&desk.session, &policy, &options).await.unwrap();
    assert_eq!(done.first_kept_entry_id, Some(desk.ids[3]));
    assert_eq!(told(&script.jobs()[0]), desk.ids[..3]);
    let off = RunOptions { high_water: Some(done.entry.unwrap()), ..RunOptions::default() };
    desk.session.rewind(Some(desk.ids[5]), Expect::Any).await.unwrap();
    let stale = compactor.run(&desk.session, &policy, &off).await.unwrap().skipped_reason;
    assert!(matches!(stale, Some(SkipReason::Stale { .. })), "{stale:?}");
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_done() {
    let desk = Desk::with("u400 a150 u20 a20").await;
    let (compactor, script) = scripted(&[]);
    let options = RunOptions { dry_run: true, ..RunOptions::default() };
    let done = compactor.run(&desk.session, &keeping(50), &options).await.unwrap();
    assert_eq!((done.first_kept_entry_id, done.summarized_count), (Some(desk.ids[2]), 2));
    assert_eq!((done.tokens_before, done.tokens_after, done.entry), (590, 140, None));
    assert_eq!((script.jobs().len(), desk.entries().await), (0, 4));
}

#[tokio::test]
async fn up_to_covers_what_was_asked_for() {
    let desk = Desk::with("u100 a100 u100 a50>1 t50 a100").await;
    let run = async |up_to| {
        let (compactor, _) = scripted(&["sum"]);
        let options =
            RunOptions { force: true, dry_run: true, up_to: Some(up_to), ..RunOptions::default() };
        compactor.run(&desk.session, &keeping(50), &options).await
    };
    let cut = async |at: usize| run(desk.ids[at]).await.unwrap().first_kept_entry_id;
    assert_eq!(cut(1).await, Some(desk.ids[2]));
    assert_eq!(cut(3).await, Some(desk.ids[3]), "back to the call");
    assert_eq!(cut(5).await, None, "nothing is kept");
    let other = Desk::with("u1 u2 u3").await;
    assert_eq!(
        run(other.ids[2]).await.unwrap_err().kind(),
        ErrorKind::Tree(treering_tree::ErrorKind::NotFound)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_lands_among_writers() {
    let desk = Desk::with("u400 a150 u20 a20").await;
    let flying = Flying::new(&desk, &keeping(50)).await;
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let session = desk.session.clone();
            tokio::spawn(async move {
                let mut ids = Vec::new();
                for nth in 0..50 {
                    let text = format!("writer {writer} entry {nth}");
                    let body = Message::text(Role::User, text).body();
                    let draft = session.draft(Kind::Note, body).tokens(1);
                    ids.extend(session.append(draft, Expect::Any).await.unwrap().ids);
                }
                ids
            })
        })
        .collect();
    let done = flying.land().await;
    let mut written = Vec::new();
    for writer in writers {
        written.extend(writer.await.unwrap());
    }
    assert_eq!(done.first_kept_entry_id, Some(desk.ids[2]));
    let shown = desk.shown().await;
    assert_eq!(shown.len(), 1 + 2 + 200);
    assert!(written.iter().all(|id| shown.contains(id)));
}

#[tokio::test]
async fn listeners_hear_numbers_and_no_texts() {
    let desk = Desk::with("u400 a150 u20 a20").await;
    let (compactor, _) = scripted(&["a secret"]);
    let mut events = compactor.events();
    let (policy, options) = (keeping(50), RunOptions::default());
    let done = compactor.run(&desk.session, &policy, &options).await.unwrap();
    let due = compactor.run(&desk.session, &policy, &options).await.unwrap();
    drop(compactor);
    let mut heard = Vec::new();
    while let Some(event) = events.next().await {
        let event = event.unwrap();
        assert_eq!((event.session.as_str(), event.branch.as_str()), ("desk", "main"));
        heard.push(event.what);
    }
    let chunk = Happened::Chunk { entries: 2, tokens: 550, budget: 128 };
    let (landed, skipped) = (Happened::Landed(done), Happened::Skipped(due));
    assert_eq!(heard, [Happened::Started, chunk, landed, Happened::Started, skipped]);
    assert!(!format!("{heard:?}").contains("secret"));
}

/// Erases entries of the desk's session.
async fn erase(desk: &Desk, entries: &[Id]) {
    let (session, entries) = (desk.session.name().to_owned(), entries.to_vec());
    let (by, reason) = ("test".to_owned(), "asked to".to_owned());
    let erasure = treering_tree::Erasure { session, entries, by, reason, at_ms: 1 };
    assert!(!desk.store().erase(erasure).await.unwrap().erased.is_empty());
}

#[tokio::test]
async fn what_an_erased_summary_covered_is_summarized_again() {
    let mut desk = Desk::with("p40 u200 a200 u200 a50").await;
    let (compactor, script) = scripted(&["gen one", "gen two", "gen three"]);
    let run = async |desk: &Desk| {
        let done = compactor.run(&desk.session, &keeping(100), &RunOptions::default()).await;
        done.unwrap().entry.unwrap()
    };
    let first = run(&desk).await;
    erase(&desk, &[first, desk.ids[2]]).await;
    desk.say("u300 a200 u10 a10").await;
    let second = run(&desk).await;
    let job = &script.jobs()[1];
    assert_eq!((&job.previous, told(job)), (&None, desk.ids[1..7].to_vec()));
    assert_eq!(job.entries[1].message, Message::erased(&job_envelope(&desk, desk.ids[2]).await));
    // Erased in its turn, it takes the one beneath it along: all is told once, and in order.
    erase(&desk, &[second]).await;
    desk.say("u300 a200 u10 a10").await;
    run(&desk).await;
    let job = &script.jobs()[2];
    assert_eq!((&job.previous, told(job)), (&None, desk.ids[1..11].to_vec()));
    assert!(desk.store().verify().await.unwrap().problems.is_empty());
}

async fn job_envelope(desk: &Desk, id: Id) -> treering_tree::Envelope {
    let stored = desk.store().entries(&[id]).await.unwrap().remove(0).unwrap();
    stored.entry.envelope().clone()
}
