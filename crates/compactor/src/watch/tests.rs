//! When a watch starts, rests and waits, and what it counts.

use std::sync::Arc;

use treering_provider::Scripted;

use super::*;
use crate::kit::{Desk, Gated, Words, compact, keeping, scripted};

/// Waits until what was started has been counted.
async fn settled(compactor: &Compactor, desk: &Desk, is: impl Fn(&Breaker) -> bool) -> Status {
    for _ in 0..1_000_000 {
        let status = compactor.status(&desk.session).await.unwrap();
        if is(&status.breaker) {
            return status;
        }
        // The store's thread needs a processor too.
        std::thread::yield_now();
        tokio::task::yield_now().await;
    }
    panic!("{:?}", compactor.status(&desk.session).await.unwrap());
}

#[tokio::test]
async fn it_starts_at_the_threshold_and_once() {
    let mut desk = Desk::with("u300 a150").await;
    let (gate, mut jobs) = Gated::new();
    let compactor = Compactor::new(Arc::new(Words), Arc::clone(&gate) as _);
    let watch = compactor.watch(&desk.session, &keeping(50));
    assert!(matches!(watch.look().await.unwrap(), Look::Fits { tokens: 450 }));
    desk.say("u60 a20").await;
    assert!(matches!(watch.look().await.unwrap(), Look::Started(_)));
    jobs.recv().await.unwrap();
    desk.say("u5 a5").await;
    let Look::Started(mut handle) = watch.look().await.unwrap() else { panic!() };
    gate.let_go();
    assert!(handle.result().await.unwrap().entry.is_some());
    assert!(jobs.try_recv().is_err(), "one flight, one summary");
    let status = settled(&compactor, &desk, |breaker| breaker.landed_at.is_some()).await;
    assert_eq!((status.breaker.landed_at, status.breaker.open), (Some(540), None));
    assert_eq!(status.breaker.fired.unwrap().through, 530, "who joins fires nothing");
    assert_eq!(status.lease.last.unwrap().entry, Some(desk.head().await));
    assert!(matches!(watch.look().await.unwrap(), Look::Fits { .. }));
}

#[tokio::test]
async fn a_landing_is_counted_in_the_step_that_lands_it() {
    let desk = Desk::with("u300 a150 u60 a20").await;
    let (compactor, _) = scripted(&["what was"]);
    let mut handle = compactor.start_counted(&desk.session, "main", &keeping(50));
    let done = handle.result().await.unwrap();
    // No watch settled anything: what is counted came with the entry.
    let status = compactor.status(&desk.session).await.unwrap();
    assert_eq!(status.breaker.landed_at, Some(530));
    assert_eq!(desk.head().await, done.entry.unwrap());
    // Nobody's automatic compaction: nothing is counted.
    let by_hand = Desk::with("u300 a150 u60 a20").await;
    compact(&by_hand, &keeping(50), "what was").await;
    let status = compactor.status(&by_hand.session).await.unwrap();
    assert_eq!(status.breaker, Breaker::default());
}

#[tokio::test]
async fn failures_rest_it_and_that_survives_the_compactor() {
    let mut desk = Desk::with("u400 a200 u20 a20").await;
    let fail = || Err(treering_provider::Error::Unavailable { detail: "off".into(), after: None });
    let script = Arc::new(Scripted::new((0..9).map(|_| fail())));
    let compactor = Compactor::new(Arc::new(Words), Arc::clone(&script) as _);
    let watch = compactor.watch(&desk.session, &keeping(100));
    for failures in 1..=3 {
        let Look::Started(mut handle) = watch.look().await.unwrap() else { panic!() };
        handle.result().await.unwrap_err();
        settled(&compactor, &desk, |breaker| breaker.failures == failures).await;
        let Look::Rests(rest) = watch.look().await.unwrap() else { panic!() };
        let same = matches!(rest, Rest::SameReading { .. });
        assert!(same || failures == 3, "{rest}");
        desk.say("a1").await;
    }
    let (later, other) = scripted(&["fine"]);
    let watch = later.watch(&desk.session, &keeping(100));
    let Look::Rests(rest) = watch.look().await.unwrap() else { panic!() };
    assert_eq!(rest, Rest::Failing { failures: 3 });
    assert_eq!((script.jobs().len(), other.jobs().len()), (3, 0));
    later.rearm(&desk.session).await.unwrap();
    assert!(matches!(watch.look().await.unwrap(), Look::Started(_)));
}

#[tokio::test]
async fn only_what_would_overflow_waits() {
    let mut desk = Desk::with("u400 a200 u20 a20").await;
    let (gate, mut jobs) = Gated::new();
    let compactor = Compactor::new(Arc::new(Words), Arc::clone(&gate) as _);
    let watch = compactor.watch(&desk.session, &keeping(100));
    let emergency = keeping(100).budget().emergency;
    let fit = watch.ensure_fits().await.unwrap();
    assert_eq!((fit.tokens, fit.fits, fit.compaction), (640, true, None), "started, not awaited");
    jobs.recv().await.unwrap();
    desk.say("a300").await;
    gate.let_go();
    let fit = watch.ensure_fits().await.unwrap();
    assert!(fit.fits && fit.tokens <= emergency, "{fit:?}");
    assert!(fit.compaction.unwrap().entry.is_some());
}

#[tokio::test]
async fn a_compaction_that_could_do_nothing_is_counted() {
    // One turn of calls and results: there is no place for a cut, however many come.
    let mut desk = Desk::with("a950>3").await;
    let (compactor, script) = scripted(&["never"]);
    let turns = Policy { window: 1_000, reserve: Some(100), ..Policy::default() };
    let watch = compactor.watch(&desk.session, &turns);
    for stuck in 1..=2 {
        let Look::Started(mut handle) = watch.look().await.unwrap() else { panic!() };
        assert!(is_useless(&handle.result().await.unwrap().skipped_reason.unwrap()));
        settled(&compactor, &desk, |breaker| breaker.stuck == stuck).await;
        desk.say("t1").await;
    }
    let Look::Rests(rest) = watch.look().await.unwrap() else { panic!() };
    assert_eq!((rest.clone(), script.jobs().len()), (Rest::Stuck { times: 2 }, 0));
    // Who asks whether it fits is told that too.
    assert_eq!(watch.ensure_fits().await.unwrap().rest, Some(rest));
}

#[tokio::test]
async fn only_what_says_something_of_the_context_is_counted() {
    let desk = Desk::with("u600").await;
    let (compactor, _) = scripted(&[]);
    let watch = compactor.watch(&desk.session, &keeping(50));
    let skipped = |reason| Ok(CompactionResult::skipped(600, reason));
    let head = desk.head().await;
    for says_nothing in [
        Err(crate::Error::Cancelled),
        Err(crate::Error::Aborted),
        skipped(SkipReason::Stale { high_water: head, head: Some(head) }),
        skipped(SkipReason::Superseded { by: head }),
        skipped(SkipReason::LeaseLost { fence: 1 }),
        Ok(CompactionResult {
            skipped_reason: None,
            ..CompactionResult::skipped(600, SkipReason::Empty)
        }),
    ] {
        watch.settle("main", &says_nothing).await;
        let breaker = compactor.status(&desk.session).await.unwrap().breaker;
        assert_eq!(breaker, Breaker::default(), "{says_nothing:?}");
    }
    let no_progress = SkipReason::NoProgress { before: 600, after: 590, required: 30 };
    watch.settle("main", &skipped(no_progress)).await;
    watch.settle("main", &skipped(SkipReason::NoLegalCut { tokens: 600 })).await;
    let failed = treering_tree::Error::NotFound { what: "entry", name: "x".to_owned() };
    watch.settle("main", &Err(failed.into())).await;
    let breaker = compactor.status(&desk.session).await.unwrap().breaker;
    assert_eq!((breaker.stuck, breaker.failures), (2, 1));
}

#[tokio::test]
async fn what_is_exactly_the_emergency_mark_or_of_an_unknown_window_fits() {
    let emergency = keeping(100).budget().emergency;
    for (more, window, fits) in [(0, 1_000, true), (1, 1_000, false), (1, 0, true)] {
        let desk = Desk::with(&format!("u{} a200", emergency - 200 + more)).await;
        let (compactor, _) = scripted(&["what was"]);
        let watch = compactor.watch(&desk.session, &Policy { window, ..keeping(100) });
        let fit = watch.ensure_fits().await.unwrap();
        // Only what does not fit is waited for.
        assert_eq!(fit.compaction.is_none(), fits, "{more} more, {fit:?}");
        assert!(fit.fits);
    }
}

#[tokio::test]
async fn a_reading_tells_the_context_the_path_and_what_is_lifted_apart() {
    let mut desk = Desk::with("p40 u300 a200 u20 a20").await;
    let policy = keeping(50);
    let read =
        async |desk: &Desk| reading(&desk.session.measure().await.unwrap().unwrap(), &policy);
    let (tokens, overhead, window) = (580, 0, 1_000);
    assert_eq!(read(&desk).await, Reading { tokens, through: 580, overhead, window });
    compact(&desk, &policy, "what was").await;
    desk.say("u7").await;
    let (tokens, overhead) = (40 + 2 + 40 + 7, 40);
    assert_eq!(read(&desk).await, Reading { tokens, through: 587, overhead, window });
}
