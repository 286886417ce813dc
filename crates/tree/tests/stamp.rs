//! A stamp that is kept elsewhere tells an older copy of a store from the store.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test speaks by panicking")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use treering_tree::{
    Change, Erasure, Error, ErrorKind, Expect, Id, Kind, MAIN, Message, Move, Options, Reason,
    RedbStore, Role, Session, Sources, Stamp, Store, To,
};

fn options() -> Options {
    Options::new(Sources::fixed(1)).write_ahead(false)
}

/// A store that is opened for each thing done to it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("store.redb")
    }

    fn open(&self) -> Arc<RedbStore> {
        Arc::new(RedbStore::open(self.path(), options()).unwrap())
    }

    /// Says so much in a session; the clock and the nonces of it are `seed`'s.
    async fn say(&self, session: &str, times: usize, seed: u64) -> Vec<Id> {
        let store = self.open();
        let session = Session::new(store, session, Sources::fixed(seed));
        let mut ids = Vec::new();
        for _ in 0..times {
            let draft = session.draft(Kind::User, Message::text(Role::User, "said").body());
            ids.extend(session.append(draft, Expect::Any).await.unwrap().ids);
        }
        ids
    }

    fn stamp(&self, session: Option<&str>) -> Stamp {
        self.open().stamp(session).unwrap()
    }

    fn continues(&self, stamp: &Stamp) -> Result<(), Error> {
        self.open().continues(stamp)
    }

    fn copy(&self, from: &Path, to: &Path) {
        assert!(from.starts_with(self.folder.path()));
        std::fs::copy(from, to).unwrap();
    }
}

fn rolled_back(answer: Result<(), Error>) -> (u64, u64) {
    match answer.unwrap_err() {
        Error::RolledBack { stamped, found } => (stamped, found),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_older_copy_is_told_from_the_store_also_once_it_was_written_to() {
    let place = Place::new();
    place.say("one", 5, 1).await;
    let (empty, older) = (Place::new().stamp(None), place.stamp(None));
    let copy = place.folder.path().join("copy");
    place.copy(&place.path(), &copy);
    place.say("two", 1, 2).await;
    place.say("one", 3, 3).await;
    let (newest, one, two) =
        (place.stamp(None), place.stamp(Some("one")), place.stamp(Some("two")));
    assert_eq!((empty.rows(), older.rows(), two.rows(), newest.rows(), newest), (0, 5, 6, 9, one));
    for stamp in [empty, older, newest, two] {
        place.continues(&stamp).unwrap();
    }

    place.copy(&copy, &place.path());
    for stamp in [empty, older] {
        place.continues(&stamp).unwrap();
    }
    assert_eq!(rolled_back(place.continues(&newest)), (9, 5));
    assert_eq!(rolled_back(place.continues(&two)), (6, 5));
    // Row by row it becomes as long as the one that is gone, and longer.
    for found in 6..=12 {
        place.say("one", 1, 90 + found).await;
        place.continues(&older).unwrap();
        assert_eq!(rolled_back(place.continues(&newest)), (9, found));
        assert_eq!(rolled_back(place.continues(&two)), (6, found));
    }
    assert!(
        place.open().verify().await.unwrap().problems.is_empty(),
        "it is whole, and another one"
    );
}

#[tokio::test]
async fn it_goes_on_through_erasure_and_rewriting_and_as_a_copy() {
    let place = Place::new();
    let ids = place.say("one", 5, 1).await;
    let stamp = place.stamp(None);
    let (session, by, reason) = ("one".to_owned(), "me".to_owned(), "test".to_owned());
    let erasure = Erasure { session, entries: vec![ids[1]], by, reason, at_ms: 9 };
    place.open().erase(erasure).await.unwrap();
    place.continues(&stamp).unwrap();
    RedbStore::rewrite(place.path(), &options(), &mut |_, _| {}).unwrap();
    place.continues(&stamp).unwrap();
    let copy = place.folder.path().join("copy.redb");
    place.copy(&place.path(), &copy);
    RedbStore::open(&copy, options()).unwrap().continues(&stamp).unwrap();
}

#[tokio::test]
async fn another_store_and_one_that_was_recovered_do_not() {
    let place = Place::new();
    place.say("one", 5, 1).await;
    let stamp = place.stamp(None);
    let into = place.folder.path().join("recovered.redb");
    let other = Options::new(Sources::fixed(7)).write_ahead(false);
    RedbStore::recover(place.path(), &into, &other, &mut |_, _| {}).unwrap();
    let stores = [RedbStore::open(&into, other.clone()), RedbStore::in_memory(other)];
    for store in stores {
        let refused = store.unwrap().continues(&stamp).unwrap_err();
        assert!(matches!(refused, Error::OtherStore) && refused.kind() == ErrorKind::Conflict);
    }
    let unknown = place.open().stamp(Some("two")).unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn the_stamp_of_a_session_tells_also_where_others_changes_are_sent_again() {
    let place = Place::new();
    place.say("one", 1, 1).await;
    let copy = place.folder.path().join("copy");
    place.copy(&place.path(), &copy);
    let mut stamps = Vec::new();
    for seed in [2, 3] {
        place.say("one", 1, seed).await;
        let sources = Sources::fixed(4);
        let (at_ms, nonce) = (sources.now_ms(), sources.nonce());
        let body = Message::text(Role::User, "the same").body();
        let moved = Move { branch: Some(MAIN.to_owned()), expect: Expect::Any, to: To::Last };
        let change = Change {
            entries: vec![treering_tree::Draft::new(Kind::User, at_ms, nonce, body)],
            moves: vec![moved],
            ..Change::new("two", Reason::Append, at_ms)
        };
        place.open().commit(change).await.unwrap();
        stamps.push((place.stamp(Some("two")), place.stamp(Some("one"))));
        if seed == 2 {
            place.copy(&copy, &place.path());
        }
    }
    assert_eq!(stamps[0].0, stamps[1].0, "nothing of that session is another one");
    assert_eq!(rolled_back(place.continues(&stamps[0].1)), (2, 3));
    place.continues(&stamps[1].1).unwrap();
}
