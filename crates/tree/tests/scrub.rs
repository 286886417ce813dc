//! The scrub checks everything once in a pass, finds what `verify` finds, and goes on where it stopped.

#![allow(clippy::unwrap_used, reason = "a test speaks by panicking")]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use treering_tree::{
    Expect, Kind, Message, Options, RedbStore, Role, ScrubReport, Session, Sources, Store,
};

fn options() -> Options {
    Options::new(Sources::fixed(1)).write_ahead(false)
}

async fn talk(store: &Arc<RedbStore>, entries: usize) {
    for n in 0..entries {
        let name = format!("session-{}", n % 3);
        let session = Session::new(
            Arc::clone(store) as Arc<dyn Store>,
            name,
            Sources::fixed(n as u64 * 1_000),
        );
        let body = Message::text(Role::User, format!("<needle {n:04}>")).body();
        session.append(session.draft(Kind::User, body), Expect::Any).await.unwrap();
    }
}

#[tokio::test]
async fn passes_go_on_over_restarts_and_tell_the_age_of_what_was_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let sources = Sources::fixed(1);
    let options = Options::new(sources.clone()).write_ahead(false);
    let store = Arc::new(RedbStore::open(&path, options.clone()).unwrap());
    talk(&store, 50).await;
    for _ in 0..100 {
        sources.now_ms();
    }
    let mut next = 0;
    for _ in 0..4 {
        let report = store.scrub(10).await.unwrap();
        next += 10;
        assert_eq!((report.checked, report.next, report.entries), (10, next, 50));
        assert!(report.problems.is_empty(), "{:?}", report.problems);
    }
    drop(store);
    let store = RedbStore::open(&path, options).unwrap();
    let before = store.scrub(5).await.unwrap();
    let whole = store.scrub(100).await.unwrap();
    assert_eq!((before.next, whole.checked, whole.next), (45, 5, 0));
    // The clock of the tests counts calls: a whole pass makes everything younger.
    let again = store.scrub(1).await.unwrap();
    assert!(again.oldest_unverified_ms > whole.oldest_unverified_ms);
    assert!(whole.oldest_unverified_ms < before.oldest_unverified_ms, "{whole:?} {before:?}");
}

/// Flips a bit of each of these texts.
fn flip(path: &std::path::Path, texts: &[&str]) {
    let mut bytes = std::fs::read(path).unwrap();
    for at in 0..bytes.len() {
        if texts.iter().any(|text| bytes[at..].starts_with(text.as_bytes())) {
            bytes[at + 9] ^= 1;
        }
    }
    std::fs::write(path, &bytes).unwrap();
}

#[tokio::test]
async fn a_flipped_bit_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = Arc::new(RedbStore::open(&path, options()).unwrap());
    talk(&store, 50).await;
    drop(store);
    flip(&path, &["<needle 0031>"]);
    let store = RedbStore::open(&path, options()).unwrap();
    let report = store.scrub(100).await.unwrap();
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
    assert_eq!(report.problems, store.verify().await.unwrap().problems);
    assert!(report.problems[0].name == "31" && !format!("{report:?}").contains("needle"));
}

/// Goes through a store that gets `appended` more entries in each pause; answers what was found, and for each
/// pause what was checked by then and how long it is.
async fn pass(
    (entries, rate, appended): (usize, u32, usize),
) -> (ScrubReport, Vec<(u64, Duration)>) {
    let store = Arc::new(RedbStore::in_memory(options()).unwrap());
    talk(&store, entries).await;
    let mut pass = store.scrub_pass(rate.try_into().unwrap());
    let mut pauses = Vec::new();
    while let Some(pause) = pass.step().await.unwrap() {
        pauses.push((pass.found().checked, pause));
        talk(&store, appended).await;
    }
    let found = pass.found().clone();
    assert_eq!((pass.step().await.unwrap(), pass.found()), (None, &found), "it is over");
    (found, pauses)
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_pass_pauses_as_its_rate_says_and_appends_go_on_meanwhile() {
    let (report, pauses) = pass((50, 10, 1)).await;
    assert_eq!((report.checked, report.next, report.entries), (55, 0, 55));
    assert_eq!(pauses, [10, 20, 30, 40, 50].map(|checked| (checked, SECOND)));
    // A fast one goes in small steps too, a slow one in smaller ones, and a short one is done at once.
    let (report, pauses) = pass((1_001, 4_000, 0)).await;
    assert_eq!((report.checked, pauses), (1_001, vec![(1_000, SECOND / 4)]));
    let (report, pauses) = pass((3, 1, 0)).await;
    assert_eq!((report.checked, pauses), (3, vec![(1, SECOND), (2, SECOND)]));
    for entries in [0, 3] {
        assert_eq!(pass((entries, 3, 0)).await.1, []);
    }
}

#[tokio::test]
async fn a_pass_that_is_stopped_goes_on_and_one_that_is_outpaced_ends() {
    let store = Arc::new(RedbStore::in_memory(options()).unwrap());
    talk(&store, 50).await;
    let rate = NonZeroU32::new(20).unwrap();
    let mut stopped = store.scrub_pass(rate);
    assert_eq!(stopped.step().await.unwrap(), Some(SECOND));
    let mut rest = store.scrub_pass(rate);
    assert_eq!(rest.step().await.unwrap(), Some(SECOND));
    assert_eq!(rest.step().await.unwrap(), None);
    assert_eq!((rest.found().checked, rest.found().next), (30, 0));
    let (found, _) = pass((50, 10, 20)).await;
    assert_eq!((found.checked, found.next), (100, 100));
}

#[tokio::test]
async fn a_pass_tells_what_each_step_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = Arc::new(RedbStore::open(&path, options()).unwrap());
    talk(&store, 50).await;
    drop(store);
    flip(&path, &["<needle 0007>", "<needle 0031>"]);
    let store = RedbStore::open(&path, options()).unwrap();
    let mut pass = store.scrub_pass(NonZeroU32::new(10).unwrap());
    while pass.step().await.unwrap().is_some() {}
    let report = pass.found();
    let names: Vec<_> = report.problems.iter().map(|problem| problem.name.as_str()).collect();
    assert_eq!((report.checked, names), (50, vec!["7", "31"]));
}
