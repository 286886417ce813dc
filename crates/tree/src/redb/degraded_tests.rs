//! What a store does when its disk fails: nothing is acknowledged that is not there afterwards, what can be read
//! is read, and writing goes on once the disk lets it.

use std::sync::Arc;
use std::time::Duration;

use super::file::Place;
use super::test_disk::{Disk, Fails};
use super::{Durability, Open, Options, RedbStore};
use crate::entry::{Body, Draft, Kind};
use crate::error::{ErrorKind, Result};
use crate::id::Id;
use crate::session::Session;
use crate::sources::Sources;
use crate::store::{Committed, Expect, Store};

fn options() -> Options {
    Options::new(Sources::fixed(1)).idle_checkpoint(None).log_bytes(64 << 10).cache_bytes(1 << 20)
}

/// A store in which so much was said, all of it durable.
async fn said(
    disk: &Disk,
    options: &Options,
    entries: usize,
) -> (Arc<RedbStore>, Session, Vec<Id>) {
    let store = disk.open(options).unwrap();
    let session = Session::new(Arc::clone(&store) as _, "one", Sources::fixed(2));
    let mut ids = Vec::new();
    for nth in 0..entries {
        ids.extend(append(&session, &format!("entry {nth}")).await.unwrap().ids);
    }
    (store, session, ids)
}

fn draft(session: &Session, text: &str) -> Draft {
    session.draft(Kind::User, Body::new("text", text)).tokens(3)
}

async fn append(session: &Session, text: &str) -> Result<Committed> {
    session.append(draft(session, text), Expect::Any).await
}

fn kind<T: std::fmt::Debug>(outcome: Result<T>) -> ErrorKind {
    outcome.unwrap_err().kind()
}

/// All of it is there, in order, and nothing contradicts itself.
async fn reads(store: &RedbStore, ids: &[Id]) {
    let path = store.path(*ids.last().unwrap(), 0..1_000).await.unwrap();
    let found: Vec<Id> = path.iter().map(|stored| stored.entry.id()).collect();
    assert_eq!(found, ids);
    assert_eq!(store.session("one").await.unwrap().head, ids.last().copied());
    assert_eq!(store.verify().await.unwrap().problems, []);
}

#[tokio::test]
async fn a_full_disk_is_read_and_takes_nothing_until_there_is_room() {
    let disk = Disk::default();
    let (store, session, mut ids) = said(&disk, &options(), 20).await;
    disk.fails(Fails::Writes);
    let before = disk.bytes();
    for _ in 0..2 {
        assert_eq!(kind(append(&session, "too much").await), ErrorKind::Storage);
        assert_eq!(kind(store.checkpoint().await), ErrorKind::Storage);
        assert_eq!(kind(store.scrub(5).await), ErrorKind::Storage);
        reads(&store, &ids).await;
    }
    assert!(disk.bytes() == before, "something was written");
    disk.fails(Fails::Nothing);
    ids.extend(append(&session, "there is room again").await.unwrap().ids);
    reads(&store, &ids).await;
    drop((store, session));
    reads(&disk.open(&options()).unwrap(), &ids).await;
}

#[tokio::test]
async fn a_disk_that_is_gone_is_an_error_for_everybody_and_nothing_is_lost_when_it_comes_back() {
    let disk = Disk::default();
    let (store, session, mut ids) = said(&disk, &options(), 5).await;
    disk.fails(Fails::Everything);
    assert_eq!(kind(append(&session, "into nothing").await), ErrorKind::Storage);
    assert_eq!(kind(store.verify().await), ErrorKind::Storage);
    assert_eq!(kind(store.session("one").await), ErrorKind::Storage);
    assert_eq!(kind(disk.open(&options())), ErrorKind::Storage);
    disk.fails(Fails::Nothing);
    // A change is what tries anew.
    ids.extend(append(&session, "back again").await.unwrap().ids);
    reads(&store, &ids).await;
}

#[tokio::test]
async fn who_hears_of_a_failed_sync_retries_and_there_is_one_entry() {
    for durability in [Durability::Logged, Durability::TwoPhase, Durability::Relaxed] {
        let disk = Disk::default();
        let options = options().durability(durability);
        let (store, session, mut ids) = said(&disk, &options, 5).await;
        // One that names its parent is the same entry wherever its branch is by now, as one with an alias is.
        let parent = Some(ids[4]);
        let draft = draft(&session, "perhaps").under(parent);
        disk.fails(Fails::NextSync);
        let unknown = session.append(draft.clone(), Expect::Head(ids[4])).await;
        assert_eq!(kind(unknown), ErrorKind::Storage, "{durability:?}");
        ids.extend(session.append(draft, Expect::Head(ids[4])).await.unwrap().ids);
        let scanned = store.scan(Some("one"), 0, 100).await.unwrap();
        assert_eq!(scanned.len(), ids.len(), "{durability:?}");
        reads(&store, &ids).await;
        drop((store, session));
        reads(&disk.open(&options).unwrap(), &ids).await;
    }
}

#[tokio::test]
async fn a_store_is_opened_anew_only_when_the_last_reader_has_let_go_of_it() {
    let disk = Disk::default();
    let (store, session, _) = said(&disk, &options(), 1).await;
    let reader = store.shared.open().unwrap();
    disk.fails(Fails::NextSync);
    let unknown = {
        let session = session.clone();
        tokio::spawn(async move { append(&session, "perhaps").await })
    };
    tokio::task::yield_now().await;
    while store.shared.open().is_ok() {
        std::thread::yield_now();
    }
    drop(reader);
    assert_eq!(kind(unknown.await.unwrap()), ErrorKind::Storage);
    append(&session, "after").await.unwrap();
    assert_eq!(disk.most_open(), 1);
}

/// Says something and lets what is done behind it, while nobody waits, fail on the disk.
async fn append_and_fail(disk: &Disk, session: &Session) -> Vec<Id> {
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.extend(append(session, "said before").await.unwrap().ids);
        disk.fails(Fails::NextSync);
        if disk.has_failed_within(Duration::from_secs(1)) {
            return ids;
        }
        // That was too late: once more.
        disk.fails(Fails::Nothing);
    }
    panic!("nothing was synced");
}

#[tokio::test]
async fn what_fails_while_nobody_waits_is_mended_before_the_next_change() {
    let grouped = Durability::Grouped(Duration::from_millis(50));
    let idle = Some(Duration::from_millis(50));
    for (durability, idle) in [(grouped, None), (Durability::TwoPhase, idle)] {
        let disk = Disk::default();
        let options = options().durability(durability).idle_checkpoint(idle);
        let (store, session, mut ids) = said(&disk, &options, 5).await;
        for _ in 0..2 {
            ids.extend(append_and_fail(&disk, &session).await);
        }
        ids.extend(append(&session, "said after").await.unwrap().ids);
        reads(&store, &ids).await;
        drop((store, session));
        reads(&disk.open(&options).unwrap(), &ids).await;
    }
}

#[tokio::test]
async fn every_mode_keeps_what_was_said_over_a_close() {
    let grouped = Durability::Grouped(Duration::from_secs(600));
    let modes = [Durability::Logged, grouped, Durability::TwoPhase, Durability::Relaxed];
    for durability in modes.into_iter().chain([Durability::None]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let options = options().durability(durability);
        let open = || Arc::new(RedbStore::open(&path, options.clone()).unwrap());
        let mut ids = Vec::new();
        for _ in 0..2 {
            let store = open();
            let session =
                Session::new(Arc::clone(&store) as _, "one", Sources::fixed(ids.len() as u64));
            ids.extend(append(&session, "said").await.unwrap().ids);
            drop(session);
            Arc::into_inner(store).unwrap().close();
        }
        reads(&open(), &ids).await;
    }
}

#[tokio::test]
async fn a_store_that_met_damage_is_read_where_it_is_whole_and_never_written_over() {
    let disk = Disk::default();
    let (store, session, ids) = said(&disk, &options(), 400).await;
    drop((store, session));
    // No pages kept in memory: what is read comes from the disk.
    let store = disk.open(&options().cache_bytes(0).entry_cache_bytes(0)).unwrap();
    let session = Session::new(Arc::clone(&store) as _, "one", Sources::fixed(9));
    // Every leaf and branch of redb's is trashed; what was read before is still in memory.
    disk.change(|bytes| {
        let from = 4_096 + (64 << 10) + 4_096;
        bytes[from..].fill(0x77);
    });
    assert_eq!(kind(store.entries(&ids[..1]).await), ErrorKind::Corrupt);
    let before = disk.bytes();
    assert_eq!(kind(append(&session, "over it").await), ErrorKind::Corrupt);
    assert_eq!(kind(append(&session, "over it").await), ErrorKind::Corrupt);
    assert_eq!(kind(store.checkpoint().await), ErrorKind::Corrupt);
    drop((store, session));
    assert!(disk.bytes() == before, "something was written over damage");
}

#[test]
fn a_store_is_read_through_a_shelter_and_the_file_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    drop(RedbStore::open(&path, options()).unwrap());
    let before = std::fs::read(&path).unwrap();
    let (open, _) = Open::sheltered(&Place::File(path.clone()), &options()).unwrap();
    assert_eq!(open.snapshot().unwrap().counters.entries, 0);
    drop(open);
    assert!(std::fs::read(&path).unwrap() == before, "the file was written to");
    let kind = |place| Open::sheltered(&place, &options()).map(drop).unwrap_err().kind();
    assert_eq!(kind(Place::Memory), ErrorKind::NotFound);
    assert_eq!(kind(Place::File(folder.path().join("none"))), ErrorKind::Storage);
}
