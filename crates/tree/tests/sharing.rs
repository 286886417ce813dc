//! Several handles on one file, as several processes have them: who may, and what each sees of the others.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test speaks by panicking")]

use std::path::Path;
use std::sync::Arc;

use treering_tree::{
    Body, Draft, Erasure, Error, ErrorKind, Expect, Id, Kind, MasterKey, Options, RedbStore, Seek,
    Session, Sharing, Sources, Store,
};

/// Few enough that all handles merge while they run.
const MERGE_AFTER: usize = 8;

fn options(sharing: Sharing, seed: u64) -> Options {
    let options = Options::new(Sources::fixed(seed)).sharing(sharing).merge_after(MERGE_AFTER);
    options.idle_checkpoint(None).cache_bytes(1 << 20).log_bytes(64 << 10)
}

fn open(path: &Path, sharing: Sharing, seed: u64) -> Result<Arc<RedbStore>, Error> {
    Ok(Arc::new(RedbStore::open(path, options(sharing, seed))?))
}

fn said(session: &Session, text: &str) -> Draft {
    session.draft(Kind::User, Body::new("text", text))
}

async fn append(store: &Arc<RedbStore>, seed: u64, text: &str) -> Result<Id, Error> {
    let session = Session::new(Arc::clone(store) as _, "one", Sources::fixed(seed));
    Ok(session.append(said(&session, text), Expect::Any).await?.ids[0])
}

/// That all these are there and nothing contradicts itself.
async fn holds(store: &RedbStore, ids: &[Id]) {
    let found = store.entries(ids).await.unwrap();
    assert!(found.iter().all(Option::is_some), "an acknowledged entry is gone");
    assert_eq!(store.verify().await.unwrap().problems, []);
}

#[tokio::test]
async fn who_shares_and_who_does_not_refuse_each_other_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let refused = |sharing| match open(&path, sharing, 2) {
        Err(Error::Locked { pid, .. }) => pid,
        other => panic!("{other:?}"),
    };
    let alone = open(&path, Sharing::Exclusive, 1).unwrap();
    assert_eq!(refused(Sharing::Writers), Some(std::process::id()));
    assert_eq!(refused(Sharing::Readers), Some(std::process::id()));
    let told = open(&path, Sharing::Writers, 2).unwrap_err().to_string();
    assert!(told.contains("share"), "{told}");
    drop(alone);
    let one = open(&path, Sharing::Writers, 1).unwrap();
    let other = open(&path, Sharing::Readers, 2).unwrap();
    assert_eq!(refused(Sharing::Exclusive), Some(std::process::id()));
    drop(one);
    assert_eq!(refused(Sharing::Exclusive), Some(std::process::id()), "one of two has left");
    drop(other);
    open(&path, Sharing::Exclusive, 1).unwrap();
}

#[tokio::test]
async fn a_reader_follows_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let writer = open(&path, Sharing::Writers, 1).unwrap();
    let reader = open(&path, Sharing::Readers, 2).unwrap();
    let mut ids = Vec::new();
    for nth in 0..4 * MERGE_AFTER {
        ids.push(append(&writer, nth as u64, &format!("entry {nth}")).await.unwrap());
        holds(&reader, &ids).await;
    }
    assert_eq!(append(&reader, 9, "mine").await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(reader.checkpoint().await.unwrap_err().kind(), ErrorKind::Invalid);
    drop(writer);
    holds(&reader, &ids).await;
    drop(reader);
    holds(&open(&path, Sharing::Exclusive, 3).unwrap(), &ids).await;
}

#[tokio::test]
async fn writers_in_turn_go_on_from_each_other_through_every_merge() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let stores = [1, 2].map(|seed| open(&path, Sharing::Writers, seed).unwrap());
    let mut ids: Vec<Id> = Vec::new();
    // Turns of one, and turns in which one handle merges more than once while the other looks away.
    let turns = [1; 12].into_iter().chain([3 * MERGE_AFTER, 5 * MERGE_AFTER, 1, 2 * MERGE_AFTER]);
    for (turn, entries) in turns.enumerate() {
        let store = &stores[turn % 2];
        let session = Session::new(Arc::clone(store) as _, "one", Sources::fixed(turn as u64));
        for _ in 0..entries {
            let alias = format!("alias {}", ids.len());
            let draft = said(&session, &alias).alias(&alias);
            let expect = ids.last().map_or(Expect::Empty, |head| Expect::Head(*head));
            ids.extend(session.append(draft.clone(), expect).await.unwrap().ids);
            // The same from the other handle is a retry.
            let other = &stores[(turn + 1) % 2];
            let again = Session::new(Arc::clone(other) as _, "one", Sources::fixed(99));
            let again = again.append(draft, Expect::Any).await.unwrap();
            assert_eq!((again.added, again.ids[0]), (0, ids[ids.len() - 1]));
        }
        for store in &stores {
            holds(store, &ids).await;
            for nth in [0, ids.len() / 2, ids.len() - 1] {
                let alias = format!("alias {nth}");
                assert_eq!(store.with_alias("one", &alias).await.unwrap(), Some(ids[nth]));
            }
            let root = store.seek(ids[ids.len() - 1], &[Seek::Depth(0)]).await.unwrap();
            assert_eq!(root[0].as_ref().unwrap().id, ids[0]);
            store.checkpoint().await.unwrap();
        }
    }
    drop(stores);
    holds(&open(&path, Sharing::Exclusive, 3).unwrap(), &ids).await;
}

fn erasure(entries: Vec<Id>) -> Erasure {
    let (session, by) = ("one".to_owned(), "me".to_owned());
    Erasure { session, entries, by, reason: "a secret".to_owned(), at_ms: 1 }
}

async fn has_body(store: &RedbStore, id: Id) -> bool {
    store.entries(&[id]).await.unwrap()[0].clone().unwrap().entry.body().is_some()
}

#[tokio::test]
async fn what_one_handle_erases_no_other_one_shows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let one = open(&path, Sharing::Writers, 1).unwrap();
    let others = [Sharing::Writers, Sharing::Readers].map(|how| open(&path, how, 2).unwrap());
    let id = append(&one, 1, "a secret").await.unwrap();
    let kept = append(&one, 2, "no secret").await.unwrap();
    for store in &others {
        assert!(has_body(store, id).await);
    }
    one.erase(erasure(vec![id])).await.unwrap();
    for store in &others {
        assert!(!has_body(store, id).await && has_body(store, kept).await);
    }
    // The writer among them hears of the next one when it writes, before it has read anything.
    one.erase(erasure(vec![kept])).await.unwrap();
    append(&others[0], 3, "mine").await.unwrap();
    assert!(!has_body(&others[0], kept).await);
}

#[tokio::test]
async fn a_key_that_one_handle_forgets_no_other_one_uses() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let open = |seed| {
        let options = options(Sharing::Writers, seed).encrypt(Arc::new(MasterKey::new([7; 32])));
        Arc::new(RedbStore::open(&path, options).unwrap())
    };
    let (one, other) = (open(1), open(2));
    let id = append(&one, 1, "a secret").await.unwrap();
    let theirs = append(&other, 2, "another").await.unwrap();
    assert!(has_body(&one, theirs).await && has_body(&other, id).await);
    assert!(one.forget(&erasure(vec![])).await.unwrap().is_some());
    let next = append(&other, 3, "under a new key").await.unwrap();
    for store in [&one, &other] {
        assert!(!has_body(store, id).await && !has_body(store, theirs).await);
        assert!(has_body(store, next).await);
        assert_eq!(store.verify().await.unwrap().problems, []);
    }
}
