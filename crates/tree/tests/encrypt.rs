//! Bodies encrypted at rest: what the file holds, who can read it, and what forgetting a key does.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use treering_tree::{
    Committed, Content, Entry, Erasure, Error, Expect, Kind, MasterKey, Message, Options,
    RedbStore, Role, Session, Sources, Store, conformance,
};

const SECRET: &str = "the canary sings in the coal mine at noon";

fn key(byte: u8) -> Arc<MasterKey> {
    Arc::new(MasterKey::new([byte; 32]))
}

fn options(byte: u8) -> Options {
    Options::new(Sources::fixed(5)).encrypt(key(byte))
}

struct Folder {
    dir: TempDir,
}

impl Folder {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("sealed.treering")
    }

    fn open(&self, options: Options) -> Arc<RedbStore> {
        Arc::new(RedbStore::open(self.store(), options).unwrap())
    }

    /// Whether any file of the folder holds these bytes.
    fn holds(&self, needle: &[u8]) -> bool {
        let files = std::fs::read_dir(self.dir.path()).unwrap().map(|file| file.unwrap().path());
        files
            .map(|path| std::fs::read(path).unwrap())
            .any(|bytes| bytes.windows(needle.len()).any(|window| window == needle))
    }
}

async fn append(store: &Arc<RedbStore>, session: &str, text: &str) -> Committed {
    let session = Session::new(Arc::clone(store) as Arc<dyn Store>, session, Sources::fixed(9));
    let body = Message::text(Role::User, text).body();
    session.append(session.draft(Kind::User, body), Expect::Any).await.unwrap()
}

async fn replay(store: &Arc<RedbStore>, session: &str) -> Vec<Entry> {
    let head = store.session(session).await.unwrap().head.unwrap();
    let path = store.path(head, 0..u64::MAX).await.unwrap();
    path.iter().map(|stored| Entry::clone(&stored.entry)).collect()
}

fn erasure(session: &str) -> Erasure {
    Erasure {
        session: session.to_owned(),
        entries: Vec::new(),
        by: "a test".to_owned(),
        reason: "asked to".to_owned(),
        at_ms: 77,
    }
}

/// Whole sessions of two people: short bodies and ones long enough to be compressed.
async fn fill(store: &Arc<RedbStore>) {
    for turn in 0..20 {
        append(store, "alice", &format!("{SECRET}, says alice in turn {turn}")).await;
        append(store, "bob", &format!("bob, {turn}: {}", SECRET.repeat(40))).await;
    }
}

#[tokio::test]
async fn keeps_every_promise_of_a_store() {
    conformance::all(|| async {
        Arc::new(RedbStore::in_memory(options(3)).unwrap()) as Arc<dyn Store>
    })
    .await;
}

#[tokio::test]
async fn the_file_holds_no_body_and_the_right_key_reads_all_of_it() {
    let folder = Folder::new();
    let store = folder.open(options(1));
    fill(&store).await;
    let (alice, bob) = (replay(&store, "alice").await, replay(&store, "bob").await);
    assert!(store.verify().await.unwrap().problems.is_empty());
    drop(store);
    assert!(!folder.holds(SECRET.as_bytes()));
    assert!(folder.holds(b"alice"), "names are not hidden");

    let store = folder.open(options(1));
    assert_eq!(replay(&store, "alice").await, alice);
    assert_eq!(replay(&store, "bob").await, bob);
    assert!(alice.iter().chain(&bob).all(|entry| entry.body().is_some()));
    assert!(store.verify().await.unwrap().problems.is_empty());
}

#[tokio::test]
async fn a_wrong_or_missing_or_needless_key_is_an_error_of_its_own() {
    let folder = Folder::new();
    drop(folder.open(options(1)));
    let open = |options| RedbStore::open(folder.store(), options).unwrap_err();
    assert!(matches!(open(options(2)), Error::Key { .. }));
    assert!(matches!(open(Options::new(Sources::fixed(5))), Error::Key { .. }));
    let rewritten = RedbStore::rewrite(folder.store(), &options(2), &mut |_, _| {});
    assert!(matches!(rewritten.unwrap_err(), Error::Key { .. }));

    let plain = Folder::new();
    drop(plain.open(Options::new(Sources::fixed(5))));
    let refused = RedbStore::open(plain.store(), options(1)).unwrap_err();
    assert!(matches!(refused, Error::Key { .. }), "{refused}");
    let rotated = RedbStore::rotate_key(
        plain.store(),
        &Options::new(Sources::fixed(5)),
        &*key(2),
        &mut |_, _| {},
    );
    assert!(matches!(rotated.unwrap_err(), Error::Key { .. }));
}

#[tokio::test]
async fn a_forgotten_key_erases_its_session_and_no_other() {
    let folder = Folder::new();
    let store = folder.open(options(1));
    fill(&store).await;
    let (alice, bob) = (replay(&store, "alice").await, replay(&store, "bob").await);
    let tombstone = store.forget(&erasure("alice")).await.unwrap().expect("a tombstone");
    assert_eq!(store.forget(&erasure("alice")).await.unwrap(), None, "a retry does nothing");

    let check = async |store: &Arc<RedbStore>| {
        let left = replay(store, "alice").await;
        assert_eq!(left.last().map(Entry::id), Some(tombstone));
        assert!(left.last().unwrap().body().is_some(), "who, when and why stay");
        for (before, now) in alice.iter().zip(&left) {
            assert_eq!(before.id(), now.id());
            assert!(matches!(now.content(), Content::Erased { .. }), "{now:?}");
        }
        assert_eq!(replay(store, "bob").await, bob);
        let report = store.verify().await.unwrap();
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        assert_eq!(report.erased, alice.len() as u64);
    };
    check(&store).await;
    drop(store);
    let store = folder.open(options(1));
    check(&store).await;
    drop(store);
    RedbStore::rewrite(folder.store(), &options(1), &mut |_, _| {}).unwrap();
    let store = folder.open(options(1));
    check(&store).await;

    let next = append(&store, "alice", "a new beginning").await;
    let entry = store.entries(&next.ids).await.unwrap().remove(0).unwrap();
    assert!(entry.entry.body().is_some(), "what comes next goes under a new key");
}

#[tokio::test]
async fn a_rotated_store_opens_with_the_new_key_alone_and_holds_no_old_row() {
    let folder = Folder::new();
    let store = folder.open(options(1));
    fill(&store).await;
    let alice = replay(&store, "alice").await;
    // While it is open: the blocks of the log are given back when it is closed.
    let before = std::fs::read(folder.store()).unwrap();
    drop(store);
    RedbStore::rotate_key(folder.store(), &options(1), &*key(2), &mut |_, _| {}).unwrap();

    let refused = RedbStore::open(folder.store(), options(1)).unwrap_err();
    assert!(matches!(refused, Error::Key { .. }));
    assert_eq!(replay(&folder.open(options(2)), "alice").await, alice);
    for row in wrapped_rows(&before) {
        assert!(!folder.holds(&row), "a key wrapped by the old master is still in the file");
    }
}

/// The wrapped keys in the bytes of a store, but for their nonces, as its log has them: lengths, `key` and a
/// number, then 72 bytes.
fn wrapped_rows(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mark = b"\x0b\0\0\0\x48\0\0\0key";
    let starts = bytes.windows(mark.len()).enumerate().filter(|(_, window)| *window == mark);
    let rows: Vec<_> = starts.map(|(at, _)| bytes[at + 19..][24..72].to_vec()).collect();
    assert!(!rows.is_empty());
    rows
}

#[tokio::test]
async fn recovery_needs_no_key_and_brings_no_forgotten_one_back() {
    let folder = Folder::new();
    let store = folder.open(options(1));
    fill(&store).await;
    let bob = replay(&store, "bob").await;
    let alice = replay(&store, "alice").await.len();
    store.forget(&erasure("alice")).await.unwrap();
    drop(store);

    for with in [Options::new(Sources::fixed(8)), options(1)] {
        let other = Folder::new();
        let report =
            RedbStore::recover(folder.store(), other.store(), &with, &mut |_, _| {}).unwrap();
        assert_eq!((report.lost, report.erased), (0, 0), "{report:?}");
        let store = other.open(options(1));
        assert_eq!(replay(&store, "bob").await, bob);
        assert!(replay(&store, "alice").await[..alice].iter().all(|entry| entry.body().is_none()));
        assert!(store.verify().await.unwrap().problems.is_empty());
        store.forget(&erasure("bob")).await.unwrap();
        assert!(
            replay(&store, "bob").await[..bob.len()].iter().all(|entry| entry.body().is_none())
        );
    }
}

#[tokio::test]
async fn an_entry_of_an_encrypted_store_can_be_erased_alone() {
    let folder = Folder::new();
    let store = folder.open(options(1));
    fill(&store).await;
    let alice = replay(&store, "alice").await;
    let erasure = Erasure { entries: vec![alice[3].id()], ..erasure("alice") };
    store.erase(erasure).await.unwrap();
    let left = replay(&store, "alice").await;
    assert!(matches!(left[3].content(), Content::Erased { .. }));
    assert_eq!(left[4], alice[4]);
    assert!(store.verify().await.unwrap().problems.is_empty());
}

#[test]
fn a_key_file_is_for_its_owner_alone() {
    let folder = Folder::new();
    let path = folder.dir.path().join("key");
    let write = |text: &str, mode: u32| {
        std::fs::write(&path, text).unwrap();
        set_mode(&path, mode);
        MasterKey::from_file(&path)
    };
    assert!(write(&format!("{}\n", "5a".repeat(32)), 0o600).is_ok());
    let indented = format!("{:>128}", "5a".repeat(32));
    assert!(write(&indented, 0o600).is_ok(), "as much white space as digits");
    assert!(matches!(write("5a5a", 0o600), Err(Error::Key { .. })));
    assert!(matches!(write(&"zz".repeat(32), 0o600), Err(Error::Key { .. })));
    if cfg!(unix) {
        assert!(matches!(write(&"5a".repeat(32), 0o644), Err(Error::Key { .. })));
    }
    assert_eq!(format!("{:?}", MasterKey::new([7; 32])), "MasterKey(..)");
}

fn set_mode(path: &Path, mode: u32) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    #[cfg(not(unix))]
    let _ = (path, mode);
}
