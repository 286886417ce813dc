//! The scrub checks everything once in a pass, finds what `verify` finds, and goes on where it stopped.

#![allow(clippy::unwrap_used, reason = "a test speaks by panicking")]

use std::sync::Arc;

use treering_tree::{Expect, Kind, Message, Options, RedbStore, Role, Session, Sources, Store};

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

#[tokio::test]
async fn a_flipped_bit_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = Arc::new(RedbStore::open(&path, options()).unwrap());
    talk(&store, 50).await;
    drop(store);
    let mut bytes = std::fs::read(&path).unwrap();
    for at in 0..bytes.len() - 13 {
        if bytes[at..].starts_with(b"<needle 0031>") {
            bytes[at + 9] ^= 1;
        }
    }
    std::fs::write(&path, &bytes).unwrap();
    let store = RedbStore::open(&path, options()).unwrap();
    let report = store.scrub(100).await.unwrap();
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
    assert_eq!(report.problems, store.verify().await.unwrap().problems);
    assert!(report.problems[0].name == "31" && !format!("{report:?}").contains("needle"));
}
