//! What lands, what does not, and what is tried again, with others at work in the same moment.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use treering_policy::Breaker;
use treering_provider::{Summarizer, SummaryJob};
use treering_tree::{Body, Sources, Summary};

use super::*;
use crate::kit::{Desk, Flying, Gated, Words, compact, keeping};
use crate::lease::{LEASE_MS, Lease, RENEW};
use crate::{Compactor, RunOptions};

/// Pins and unpins, by index.
type Turn = (&'static [usize], &'static [usize]);

/// Changes pins while it summarizes, each time as its script says.
struct Meddler {
    session: Session,
    ids: Vec<Id>,
    script: Mutex<Vec<Turn>>,
}

#[async_trait]
impl Summarizer for Meddler {
    async fn summarize(&self, _: SummaryJob) -> treering_provider::Result<Summary> {
        let (pins, unpins) = self.script.lock().unwrap().remove(0);
        let pins = pins.iter().map(|at| (Kind::Pin, at));
        for (kind, at) in pins.chain(unpins.iter().map(|at| (Kind::Unpin, at))) {
            let draft = self.session.draft(kind, Body::new("text", "")).target(self.ids[*at]);
            self.session.append(draft, Expect::Any).await.unwrap();
        }
        Ok(Summary { text: "what was".to_owned(), ..Summary::default() })
    }

    fn name(&self) -> &'static str {
        "meddler"
    }
}

#[tokio::test]
async fn pins_that_change_at_every_plan_end_it_after_the_third() {
    let desk = Desk::with("u100 u100 u100 u200 u20 a20").await;
    let script = vec![(&[0][..], &[][..]), (&[1, 2], &[0]), (&[0], &[1, 2]), (&[], &[0])];
    let (session, ids) = (desk.session.clone(), desk.ids.clone());
    let meddler = Arc::new(Meddler { session, ids, script: Mutex::new(script) });
    let compactor = Compactor::new(Arc::new(Words), Arc::clone(&meddler) as _);
    let done = compactor.run(&desk.session, &keeping(50), &RunOptions::default()).await.unwrap();
    // Two that were lifted are not any more, and one more is.
    assert_eq!(done.skipped_reason, Some(SkipReason::PinsChanged { entries: 3 }));
    assert_eq!(meddler.script.lock().unwrap().len(), 1, "plans that were left");
}

#[tokio::test]
async fn a_gain_of_exactly_what_is_required_is_enough() {
    for (words, lands) in [(517, true), (518, false)] {
        let desk = Desk::with("u400 a150 u50 a50").await;
        let done = compact(&desk, &keeping(100), &"long ".repeat(words)).await;
        assert_eq!(done.entry.is_some(), lands, "{words} words, {:?}", done.skipped_reason);
    }
}

#[tokio::test]
async fn a_breaker_that_others_write_meanwhile_is_read_again() {
    let desk = Desk::with("u400 a150 u20 a20").await;
    let store = Arc::clone(desk.session.store());
    let others = Session::new(Arc::clone(&store), "desk", Sources::fixed(5));
    // They write whenever the landing looks at the clock, which is the last it does before it commits.
    let (times, random) = (Arc::new(AtomicU64::new(0)), Sources::fixed(6));
    let counted = Arc::clone(&times);
    let clock = move || {
        if counted.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
            let others = others.clone();
            let write = move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let strike = |breaker: &mut Breaker| breaker.strikes += 1;
                runtime.block_on(remembered::change(&others, "main", strike)).unwrap();
            };
            std::thread::spawn(write).join().unwrap();
        }
        0
    };
    let sources = Sources::new(clock, move |buffer| random.fill(buffer));
    let session = Session::new(store, "desk", sources);
    let (gate, mut jobs) = Gated::new();
    let compactor = Compactor::new(Arc::new(Words), Arc::clone(&gate) as _);
    let mut handle = compactor.start_counted(&session, "main", &keeping(50));
    jobs.recv().await.unwrap();
    times.store(3, Ordering::SeqCst);
    gate.let_go();
    let done = handle.result().await.unwrap();
    assert!(done.entry.is_some(), "{done:?}");
    let breaker = compactor.status(&desk.session).await.unwrap().breaker;
    assert_eq!((breaker.strikes, breaker.landed_at), (3, Some(590)), "what both wrote");
}

/// Lets a flight's summary take until its lease is to be renewed.
async fn until_renewal() {
    tokio::time::pause();
    tokio::time::advance(RENEW).await;
    tokio::time::resume();
}

async fn lease(desk: &Desk) -> Lease {
    Lease::read(&desk.session, "main").await.unwrap().0
}

#[tokio::test]
async fn a_summary_that_takes_longer_than_its_lease_keeps_it() {
    let desk = Desk::with("u400 a150 u20 a20").await;
    let flying = Flying::new(&desk, &keeping(50)).await;
    let taken = lease(&desk).await;
    desk.pass_ms(LEASE_MS / 2);
    until_renewal().await;
    while lease(&desk).await.until_ms <= taken.until_ms {
        tokio::task::yield_now().await;
    }
    desk.pass_ms(LEASE_MS / 2);
    let now_ms = desk.session.sources().now_ms();
    assert_eq!((taken.is_held(now_ms), lease(&desk).await.is_held(now_ms)), (false, true));
    assert!(flying.land().await.entry.is_some());
    assert_eq!(lease(&desk).await.fence, taken.fence);
}

#[tokio::test]
async fn a_lease_that_was_lost_ends_the_summary() {
    let desk = Desk::with("u400 a150 u20 a20").await;
    let flying = Flying::new(&desk, &keeping(50)).await;
    let mut joined = flying.another(&desk, crate::OnDrop::Cancel).await;
    desk.pass_ms(LEASE_MS);
    assert!(Held::take(&desk.session, "main").await.unwrap().is_ok());
    until_renewal().await;
    let done = joined.result().await.unwrap();
    assert_eq!(done.skipped_reason, Some(SkipReason::LeaseLost { fence: 1 }));
    assert_eq!((desk.entries().await, done.tokens_before), (4, 590));
}
