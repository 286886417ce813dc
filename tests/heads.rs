//! Heads under many writers: of those with the same expectation one wins, and what readers saw fits
//! one order of all changes.

use std::sync::Arc;
use std::time::Instant;

use tests::history::{Event, check};
use tests::profile::HEAD_ROUNDS;
use treering_tree::{Body, Error, Expect, Kind, Options, RedbStore, Session, Sources, Store};

const WRITERS: usize = 16;
const ROUNDS: usize = 40;

fn session(store: &Arc<dyn Store>, seed: u64) -> Session {
    Session::new(Arc::clone(store), "one", Sources::fixed(seed))
}

fn memory() -> Arc<dyn Store> {
    Arc::new(RedbStore::in_memory(Options::new(Sources::fixed(1))).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_5_of_n_writers_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let file = RedbStore::open(folder.path().join("store"), Options::new(Sources::fixed(1)));
    for store in [memory(), Arc::new(file.unwrap())] {
        for round in 0..ROUNDS {
            let head = session(&store, 0).head().await.unwrap();
            let expect = head.map_or(Expect::Empty, Expect::Head);
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let seed = (round * WRITERS + writer) as u64 * 1_000;
                    let session = session(&store, seed);
                    tokio::spawn(async move {
                        let draft = session.draft(Kind::User, Body::new("text", "mine"));
                        session.append(draft, expect).await
                    })
                })
                .collect();
            let (mut won, mut told) = (Vec::new(), Vec::new());
            for writer in writers {
                match writer.await.unwrap() {
                    Ok(done) => won.push(done.head),
                    Err(Error::HeadMoved { actual, .. }) => told.push(actual),
                    Err(other) => panic!("expected a moved head, found {other}"),
                }
            }
            let head = session(&store, 0).head().await.unwrap();
            assert_eq!(won, [head], "round {round}");
            assert_eq!(told, vec![head; WRITERS - 1], "round {round}");
        }
        let stats = store.stats().await.unwrap();
        assert_eq!(stats.entries, ROUNDS as u64);
        assert_eq!(store.verify().await.unwrap().problems, []);
    }
}

/// Four writers that read, then swap, then read again.
async fn history(store: &Arc<dyn Store>, rounds: usize) -> Vec<Event> {
    let start = Instant::now();
    let writers: Vec<_> = (0..4_u64)
        .map(|writer| {
            let session = session(store, writer * 1_000_000);
            tokio::spawn(async move {
                let mut events = Vec::new();
                for _ in 0..rounds {
                    let from = start.elapsed();
                    let head = session.head().await.unwrap();
                    events.push(Event::read(head, from, start.elapsed()));
                    let draft = session.draft(Kind::User, Body::new("text", "mine"));
                    let draft = draft.under(head);
                    let entry = draft.id_under(head);
                    let from = start.elapsed();
                    let expect = head.map_or(Expect::Empty, Expect::Head);
                    match session.append(draft, expect).await {
                        Ok(_) => events.push(Event::swap(head, entry, from, start.elapsed())),
                        Err(Error::HeadMoved { actual, .. }) => {
                            events.push(Event::read(actual, from, start.elapsed()));
                        }
                        Err(other) => panic!("expected a moved head, found {other}"),
                    }
                }
                events
            })
        })
        .collect();
    let mut events = Vec::new();
    for writer in writers {
        events.extend(writer.await.unwrap());
    }
    events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_5_what_was_read_and_swapped_fits_one_order() {
    let store = memory();
    let events = history(&store, HEAD_ROUNDS).await;
    let last = session(&store, 0).head().await.unwrap();
    assert_eq!(check(&events, last), Ok(()));
    println!("{} head operations", events.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn planted_stale_reads_and_early_acknowledgements_are_rejected() {
    let store = memory();
    let events = history(&store, 200).await;
    let last = session(&store, 0).head().await.unwrap();
    assert_eq!(check(&events, last), Ok(()));
    let end = events.iter().map(|event| event.to).max().unwrap();
    let long_gone = events.iter().filter_map(Event::swapped).min().unwrap();

    let mut stale = events.clone();
    stale.push(Event::read(Some(long_gone.1), end, end));
    assert!(check(&stale, last).is_err(), "a stale read was accepted");

    // Acknowledged before it happened: a read that began later still sees what was before.
    let mut early = events;
    let swap =
        early.iter_mut().find(|event| event.swapped().is_some_and(|swap| Some(swap.1) == last));
    let swap = swap.unwrap();
    (swap.from, swap.to) = (std::time::Duration::ZERO, std::time::Duration::ZERO);
    assert!(check(&early, last).is_err(), "an early acknowledgement was accepted");
}
