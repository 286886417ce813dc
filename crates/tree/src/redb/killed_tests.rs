//! What the log holds of a killed process is done again at the next opening, whatever it is: the store is then the
//! same, row by row.

use std::sync::Arc;

use super::test_disk::Disk;
use super::{Options, RedbStore};
use crate::encrypt::MasterKey;
use crate::entry::{Body, Kind};
use crate::id::Id;
use crate::session::Session;
use crate::sources::Sources;
use crate::store::{
    Change, Erasure, Expect, MemoWrite, Move, Reason, SessionInfo, Stats, Store, Stored, To,
};
use crate::{Branch, JournalRow, Memo};

fn options() -> Options {
    let options = Options::new(Sources::fixed(1)).idle_checkpoint(None).log_bytes(1 << 20);
    options.encrypt(Arc::new(MasterKey::new([7; 32])))
}

#[derive(Debug, PartialEq)]
struct Seen {
    stats: Stats,
    sessions: Vec<(SessionInfo, Vec<Branch>, Vec<Memo>)>,
    entries: Vec<Stored>,
    journal: Vec<JournalRow>,
}

async fn seen(store: &RedbStore) -> Seen {
    let mut sessions = Vec::new();
    for info in store.sessions(None, 100).await.unwrap() {
        let branches = store.branches(&info.name, None, 100).await.unwrap();
        let mut memos = Vec::new();
        for name in ["a", "b"] {
            memos.push(store.memo(&info.name, name).await.unwrap());
        }
        sessions.push((info, branches, memos));
    }
    assert_eq!(store.verify().await.unwrap().problems, []);
    Seen {
        // How much of the index is merged is no part of what is done again.
        stats: Stats { unmerged: 0, ..store.stats().await.unwrap() },
        sessions,
        entries: store.scan(None, 0, 1_000).await.unwrap(),
        journal: store.journal(0, 1_000).await.unwrap(),
    }
}

fn memo(name: &str, value: Memo) -> MemoWrite {
    MemoWrite { name: name.to_owned(), expect: None, value }
}

async fn append(session: &Session, text: &str) -> Id {
    let draft = session.draft(Kind::User, Body::new("text", text)).tokens(3);
    session.append(draft.alias(&text[..text.len().min(20)]), Expect::Any).await.unwrap().ids[0]
}

#[tokio::test]
async fn all_that_may_become_of_a_row() {
    let disk = Disk::default();
    let store = disk.open(&options()).unwrap();
    let [one, two] = ["one", "two"].map(|name| {
        Session::new(Arc::clone(&store) as Arc<dyn Store>, name, Sources::fixed(name.len() as u64))
    });
    let mut states = Vec::new();
    let mut killed = async || states.push((disk.copy(), seen(&store).await));
    let first = append(&one, "first").await;
    let second = append(&one, &"a longer one ".repeat(100)).await;
    append(&two, "of another session").await;
    killed().await;
    one.fork_branch("side", first).await.unwrap();
    append(&one, "on a branch").await;
    one.switch("main").await.unwrap();
    killed().await;
    let gone = Move { branch: Some("side".to_owned()), expect: Expect::Any, to: To::Removed };
    let memos = vec![memo("a", Some(vec![1; 40])), memo("b", Some(vec![2]))];
    let change = Change { moves: vec![gone], memos, ..Change::new("one", Reason::Rewind, 5) };
    store.commit(change).await.unwrap();
    killed().await;
    let memos = vec![memo("a", None), memo("b", Some(vec![3]))];
    store.commit(Change { memos, ..Change::new("one", Reason::Land, 6) }).await.unwrap();
    let erasure = Erasure {
        session: "one".to_owned(),
        entries: vec![second],
        by: "me".to_owned(),
        reason: "asked for".to_owned(),
        at_ms: 7,
    };
    store.erase(erasure.clone()).await.unwrap();
    killed().await;
    store.forget(&Erasure { session: "two".to_owned(), ..erasure }).await.unwrap();
    append(&two, "under a new key").await;
    killed().await;
    for (nth, (disk, before)) in states.into_iter().enumerate() {
        // Killed once more after the first opening, and then opened as it was closed.
        let again = disk.open(&options()).unwrap();
        let copy = disk.copy();
        assert_eq!(seen(&again).await, before, "{nth}");
        let session = Session::new(Arc::clone(&again) as Arc<dyn Store>, "one", Sources::fixed(99));
        append(&session, "goes on").await;
        let after = seen(&again).await;
        drop((again, session));
        assert_eq!(seen(&disk.open(&options()).unwrap()).await, after, "{nth}");
        assert_eq!(seen(&copy.open(&options()).unwrap()).await, before, "{nth}");
    }
}

#[tokio::test]
async fn a_log_that_is_filled_again_and_again_and_changes_that_never_fit_it() {
    let disk = Disk::default();
    let options = options().log_bytes(32 << 10).merge_after(4);
    let store = disk.open(&options).unwrap();
    let one = Session::new(Arc::clone(&store) as Arc<dyn Store>, "one", Sources::fixed(2));
    for (nth, bytes) in [10, 5_000, 200, 40_000, 3_000, 9_000, 100, 30_000].into_iter().enumerate()
    {
        // Letters that do not repeat themselves, so that nothing gets shorter.
        let word = |at: usize| at.wrapping_mul(0x9E37_79B9).to_be_bytes()[4] % 90 + b'!';
        let text: Vec<u8> = (0..bytes).map(|at| word(at + nth * 100_000)).collect();
        for _ in 0..3 {
            let draft = one.draft(Kind::User, Body::new("text", text.clone()));
            one.append(draft, Expect::Any).await.unwrap();
            let killed = disk.copy().open(&options).unwrap();
            assert_eq!(seen(&killed).await, seen(&store).await, "{nth}");
        }
    }
}

#[tokio::test]
async fn a_damaged_record_before_another_one_is_damage() {
    let disk = Disk::default();
    let store = disk.open(&options()).unwrap();
    let one = Session::new(Arc::clone(&store) as Arc<dyn Store>, "one", Sources::fixed(2));
    for text in ["first", "second", "third"] {
        append(&one, text).await;
    }
    for (page, refused) in [(1, true), (2, true), (3, false)] {
        let killed = disk.copy();
        killed.change(|bytes| bytes[page * 4_096 + 100] ^= 1);
        match killed.open(&options()) {
            Err(error) => assert!(refused && error.kind() == crate::ErrorKind::Corrupt, "{error}"),
            Ok(store) => {
                assert!(!refused);
                assert_eq!(store.stats().await.unwrap().entries, 2);
            }
        }
    }
}
