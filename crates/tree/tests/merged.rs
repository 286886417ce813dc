//! What is found by id, prefix and alias is the same while keys gather in memory, in the middle of a merge, after it,
//! and after an opening.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test speaks by panicking")]

use std::sync::Arc;

use treering_tree::{
    Body, Commitment, Content, Draft, Durability, Erasure, ErrorKind, Expect, Id, Kind, Options,
    Prefix, RedbStore, Session, Sources, Store,
};

fn options(merge_after: usize) -> Options {
    Options::new(Sources::fixed(1)).merge_after(merge_after).idle_checkpoint(None)
}

fn session(store: &Arc<RedbStore>) -> Session {
    Session::new(Arc::clone(store) as _, "one", Sources::fixed(2))
}

fn draft(nth: usize) -> Draft {
    let nonce = Sources::fixed(nth as u64).nonce();
    let body = Body::new("text", format!("entry {nth}"));
    Draft::new(Kind::User, 7, nonce, body).alias(format!("alias {nth}"))
}

/// What is looked up: an entry, and one that no store has.
async fn finds(store: &RedbStore, ids: &[Id]) {
    let found = store.entries(ids).await.unwrap();
    for (nth, (id, stored)) in ids.iter().zip(found).enumerate() {
        assert_eq!(stored.map(|stored| stored.entry.id()), Some(*id), "{nth}");
        let alias = store.with_alias("one", &format!("alias {nth}")).await.unwrap();
        assert_eq!(alias, Some(*id), "{nth}");
    }
    assert_eq!(store.with_alias("one", "no alias").await.unwrap(), None);
    assert_eq!(store.entries(&[Id::from_bytes([9; 32])]).await.unwrap(), [None]);
    for digits in ["1", "7f", "e", "0"] {
        let mut expected: Vec<Id> = ids.to_vec();
        expected.retain(|id| id.to_string().starts_with(digits));
        expected.sort_unstable();
        let prefix: Prefix = digits.parse().unwrap();
        assert_eq!(store.with_prefix(prefix, 10_000).await.unwrap(), expected, "{digits}");
        let few = store.with_prefix(prefix, 3).await.unwrap();
        assert_eq!(few, expected[..expected.len().min(3)], "{digits}");
    }
}

#[tokio::test]
async fn whatever_is_merged_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut ids: Vec<Id> = Vec::new();
    for merge_after in [1, 2, 16, 64, 10_000, 3] {
        let open = || Arc::new(RedbStore::open(&path, options(merge_after)).unwrap());
        let store = open();
        for _ in 0..40 {
            let done = session(&store).append(draft(ids.len()), Expect::Any).await.unwrap();
            ids.extend(done.ids);
            if ids.len().is_multiple_of(7) {
                finds(&store, &ids).await;
            }
            // By its alias every one of them is a retry.
            let again = draft(ids.len() * 3 / 5);
            if ids.len() * 3 / 5 < ids.len() {
                let done = session(&store).append(again, Expect::Any).await.unwrap();
                assert_eq!((done.added, done.ids[0]), (0, ids[ids.len() * 3 / 5]));
            }
        }
        assert_eq!(store.verify().await.unwrap().problems, []);
        drop(store);
        let store = open();
        finds(&store, &ids).await;
        assert!(store.stats().await.unwrap().unmerged <= ids.len() as u64);
    }
    let store = RedbStore::open(&path, options(1)).unwrap();
    store.checkpoint().await.unwrap();
    let unmerged = store.stats().await.unwrap().unmerged;
    assert!(unmerged < 40, "{unmerged} entries are still to be merged");
}

/// Entries that gather before a merge.
const AFTER: u64 = 32;

#[tokio::test]
async fn a_merge_begins_when_enough_has_gathered_and_ends_before_as_much_has_again() {
    let options = options(usize::try_from(AFTER).unwrap());
    let store = Arc::new(RedbStore::in_memory(options).unwrap());
    let mut least = u64::MAX;
    for nth in 0..5 * AFTER {
        session(&store).append(draft(usize::try_from(nth).unwrap()), Expect::Any).await.unwrap();
        let unmerged = store.stats().await.unwrap().unmerged;
        assert!(unmerged < 2 * AFTER, "{unmerged} after {nth}");
        if nth < AFTER {
            assert_eq!(unmerged, nth + 1, "what gathers is left alone");
        } else {
            least = least.min(unmerged);
        }
    }
    assert!(least < AFTER, "{least} entries were never merged");
}

#[tokio::test]
async fn a_retry_is_told_from_another_entry_by_what_is_left_of_it() {
    let store = Arc::new(RedbStore::in_memory(options(2)).unwrap());
    let one = session(&store);
    let first = one.append(draft(0), Expect::Any).await.unwrap().ids[0];
    let with = |at_ms, seed, text: &str| {
        let nonce = Sources::fixed(seed).nonce();
        Draft::new(Kind::User, at_ms, nonce, Body::new("text", text)).alias("alias 0")
    };
    let taken = one.append(with(7, 0, "another"), Expect::Any).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::Conflict);
    let later = one.append(with(8, 99, "entry 0"), Expect::Any).await.unwrap();
    assert_eq!((later.added, later.ids), (0, vec![first]));
    let erasure = Erasure {
        session: "one".to_owned(),
        entries: vec![first],
        by: "me".to_owned(),
        reason: "asked for".to_owned(),
        at_ms: 1,
    };
    store.erase(erasure).await.unwrap();
    // Alias and envelope speak for a body that is gone.
    assert_eq!(one.append(draft(0), Expect::Any).await.unwrap().ids, [first]);
    // What was erased elsewhere is compared by its commitment.
    let entry = store.entries(&[first]).await.unwrap().remove(0).unwrap().entry;
    let Content::Erased { commitment } = *entry.content() else { panic!("{entry:?}") };
    let envelope = entry.envelope().clone();
    let erased = Draft::erased(envelope.clone(), commitment);
    let other = session(&Arc::new(RedbStore::in_memory(options(2)).unwrap()));
    for added in [1, 0] {
        let done = other.append(erased.clone(), Expect::Any).await.unwrap();
        assert_eq!((done.added, done.ids), (added, vec![first]));
    }
    let refused = other.append(Draft::erased(envelope, Commitment([1; 32])), Expect::Any).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
}

/// More sessions than the writer keeps rows of.
const SESSIONS: usize = 4_200;

#[tokio::test]
async fn more_sessions_than_are_kept_in_memory_all_go_on() {
    let options = options(100_000).durability(Durability::None);
    let store = Arc::new(RedbStore::in_memory(options).unwrap());
    for turn in 0..2_u64 {
        for nth in 0..SESSIONS {
            let session = Session::new(
                Arc::clone(&store) as Arc<dyn Store>,
                format!("session {nth}"),
                Sources::fixed(nth as u64 * 100 + turn),
            );
            let draft = session.draft(Kind::User, Body::new("text", "said"));
            session.append(draft, Expect::Any).await.unwrap();
        }
    }
    for nth in [0, SESSIONS / 2, SESSIONS - 1] {
        let info = store.session(&format!("session {nth}")).await.unwrap();
        assert_eq!((info.entries, info.branches), (2, 1));
    }
    assert_eq!(store.verify().await.unwrap().problems, []);
}

#[tokio::test]
async fn a_quarter_of_what_gathers_is_merged_where_nobody_waits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = Arc::new(RedbStore::open(&path, options(64)).unwrap());
    let mut nth = 0;
    for [entries, left] in [[15, 15], [16, 0], [31, 15], [32, 0]] {
        while nth < entries {
            session(&store).append(draft(nth), Expect::Any).await.unwrap();
            nth += 1;
        }
        store.checkpoint().await.unwrap();
        assert_eq!(store.stats().await.unwrap().unmerged, left as u64, "{entries} entries");
    }
    assert_eq!(store.verify().await.unwrap().problems, []);
}
