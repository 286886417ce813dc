//! What each durability mode promises after a killed process and after power loss: the table in
//! `docs/reliability.md`, row by row. A failed sync before the power loss is the crash campaign's.

use std::sync::Arc;
use std::time::Duration;

use tests::image::Image;
use tests::rng::Rng;
use tests::sim_disk::{Faults, SimDisk};
use treering_tree::{Body, Durability, Expect, Kind, Options, RedbStore, Session, Sources, Store};

/// Entries before the checkpoint, and after it.
const BEFORE: u64 = 30;
const AFTER: u64 = 30;
/// A log that is filled several times.
const LOG_BYTES: u64 = 64 << 10;
/// Images of the disk after power loss.
const IMAGES: u64 = 60;

fn open(disk: &SimDisk, durability: Durability) -> Arc<RedbStore> {
    let options = Options::new(Sources::fixed(1))
        .durability(durability)
        .idle_checkpoint(None)
        .log_bytes(LOG_BYTES);
    Arc::new(RedbStore::with_backend(disk.factory(), options).unwrap())
}

/// A disk whose store acknowledged all appends, half of them after a checkpoint, and then died with
/// its process and its power.
async fn died(durability: Durability) -> SimDisk {
    let disk = SimDisk::new(Vec::new(), Faults::default());
    let store = open(&disk, durability);
    let session = Session::new(Arc::clone(&store) as Arc<dyn Store>, "s", Sources::fixed(2));
    for nth in 0..BEFORE + AFTER {
        if nth == BEFORE {
            store.checkpoint().await.unwrap();
        }
        let draft = session.draft(Kind::User, Body::new("text", format!("entry {nth}")));
        session.append(draft, Expect::Any).await.unwrap();
    }
    disk.kill();
    disk
}

/// Entries that the store over an image holds, all of them in order and without a contradiction.
async fn found(image: Image, durability: Durability) -> u64 {
    let store = open(&SimDisk::new(image, Faults::default()), durability);
    assert_eq!(store.verify().await.unwrap().problems, []);
    let session = Session::new(Arc::clone(&store) as Arc<dyn Store>, "s", Sources::fixed(3));
    let path = session.replay().await.unwrap().collect().await.unwrap();
    for (nth, stored) in path.iter().enumerate() {
        assert_eq!(stored.entry.body().unwrap().bytes, format!("entry {nth}").into_bytes());
    }
    assert_eq!(store.stats().await.unwrap().entries, path.len() as u64);
    path.len() as u64
}

/// What a killed process leaves, and the least that any power loss does.
async fn left(durability: Durability) -> (u64, u64) {
    let disk = died(durability).await;
    let killed = found(disk.live(), durability).await;
    let mut least = killed;
    for seed in 0..IMAGES {
        least = least.min(found(disk.image(&mut Rng::new(seed)), durability).await);
    }
    (killed, least)
}

#[tokio::test]
async fn logged_loses_nothing() {
    assert_eq!(left(Durability::Logged).await, (BEFORE + AFTER, BEFORE + AFTER));
}

#[tokio::test]
async fn grouped_loses_only_what_was_not_synced_yet_and_only_with_power() {
    let (killed, least) = left(Durability::Grouped(Duration::from_secs(3_600))).await;
    assert_eq!(killed, BEFORE + AFTER);
    assert!((BEFORE..BEFORE + AFTER).contains(&least), "{least}");
    assert_eq!(left(Durability::Grouped(Duration::ZERO)).await.0, BEFORE + AFTER);
}

#[tokio::test]
async fn two_phase_loses_nothing() {
    assert_eq!(left(Durability::TwoPhase).await, (BEFORE + AFTER, BEFORE + AFTER));
}

#[tokio::test]
async fn relaxed_loses_nothing_while_syncs_succeed() {
    assert_eq!(left(Durability::Relaxed).await, (BEFORE + AFTER, BEFORE + AFTER));
}

#[tokio::test]
async fn none_loses_only_what_came_after_the_checkpoint() {
    assert_eq!(left(Durability::None).await, (BEFORE, BEFORE));
}
