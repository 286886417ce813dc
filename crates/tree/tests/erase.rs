//! Erased bytes are in no file of the store's folder after a rewrite, in no form, and in nothing read.

#![allow(clippy::unwrap_used, reason = "a test speaks by panicking")]

use std::path::Path;
use std::sync::Arc;

use treering_tree::{
    Body, Erasure, Expect, Id, Kind, Message, Options, RedbStore, Role, Session, Sources, Store,
};

const SECRET: &str = "the \"secret\"\tof gr\u{fc}ne Heide, 4711";

fn options() -> Options {
    Options::new(Sources::fixed(1))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks_exact(3) {
        let bits = u32::from(chunk[0]) << 16 | u32::from(chunk[1]) << 8 | u32::from(chunk[2]);
        for at in [18, 12, 6, 0] {
            text.push(char::from(DIGITS[(bits >> at) as usize & 63]));
        }
    }
    text
}

/// The secret as it may stand in a file: raw, JSON-escaped, and in base64 at each alignment.
fn forms() -> Vec<Vec<u8>> {
    let raw = SECRET.as_bytes();
    let json = serde_json::to_string(SECRET).unwrap();
    let mut forms = vec![raw.to_vec(), json.trim_matches('"').as_bytes().to_vec()];
    forms.extend((0..3).map(|skip| base64(&raw[skip..]).into_bytes()));
    forms
}

fn hits(folder: &Path) -> usize {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let bytes: Vec<Vec<u8>> = files.map(|path| std::fs::read(path).unwrap()).collect();
    let holds =
        |form: &Vec<u8>| bytes.iter().any(|file| file.windows(form.len()).any(|at| at == form));
    forms().iter().filter(|form| holds(form)).count()
}

async fn append(session: &Session, body: Body) -> Id {
    session.append(session.draft(Kind::User, body), Expect::Any).await.unwrap().ids[0]
}

/// Bodies with the secret in every form, one of them compressed at rest; then others.
async fn fill(session: &Session) -> (Vec<Id>, Vec<Id>) {
    let raw = SECRET.as_bytes();
    let mut secret = vec![append(session, Body::new("text", raw)).await];
    secret.push(append(session, Message::text(Role::User, SECRET).body()).await);
    for skip in 0..3 {
        secret.push(append(session, Body::new("text", base64(&raw[skip..]))).await);
    }
    secret.push(append(session, Body::new("text", SECRET.repeat(500))).await);
    let mut rest = Vec::new();
    for n in 0..200 {
        rest.push(append(session, Body::new("text", format!("harmless {n}"))).await);
    }
    (secret, rest)
}

#[tokio::test]
async fn a_rewrite_leaves_nothing_of_what_was_erased() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(&path, options()).unwrap());
    let session = Session::new(Arc::clone(&store), "one", Sources::fixed(7));
    let (secret, rest) = fill(&session).await;
    assert_eq!(hits(folder.path()), forms().len(), "the scan finds what is there");
    let erasure = Erasure {
        session: "one".to_owned(),
        entries: secret.clone(),
        by: "test".to_owned(),
        reason: "asked for".to_owned(),
        at_ms: 1,
    };
    let erased = store.erase(erasure).await.unwrap();
    assert_eq!(erased.erased, secret);
    let before =
        (store.stats().await.unwrap(), session.replay().await.unwrap().collect().await.unwrap());
    drop((store, session));
    let mut last = 0;
    let report = RedbStore::rewrite(&path, &options(), &mut |done, _| last = done).unwrap();
    assert_eq!((report.entries, last), (before.0.entries, before.0.entries));
    assert!(report.bytes_after <= report.bytes_before);
    assert_eq!(hits(folder.path()), 0);
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(&path, options()).unwrap());
    let session = Session::new(Arc::clone(&store), "one", Sources::fixed(8));
    let after = session.replay().await.unwrap().collect().await.unwrap();
    assert_eq!(after, before.1);
    // A compressed body cannot be searched for: its row must be the short one of an erased entry.
    assert_eq!(store.stats().await.unwrap().stored_bytes, before.0.stored_bytes);
    for id in secret {
        assert!(store.entries(&[id]).await.unwrap()[0].as_ref().unwrap().entry.body().is_none());
    }
    assert!(
        store.entries(&rest).await.unwrap().into_iter().all(|it| it
            .unwrap()
            .entry
            .body()
            .is_some())
    );
    let verified = store.verify().await.unwrap();
    assert_eq!((verified.problems, verified.erased), (vec![], 6));
    append(&session, Body::new("text", "on")).await;
}

#[tokio::test]
async fn labels_of_what_is_erased_are_listed_while_they_have_a_body() {
    let store: Arc<dyn Store> = Arc::new(RedbStore::in_memory(options()).unwrap());
    let session = Session::new(Arc::clone(&store), "one", Sources::fixed(7));
    let [erased, kept] = [SECRET, "harmless"].map(|text| Body::new("text", text));
    let (erased, kept) = (append(&session, erased).await, append(&session, kept).await);
    let label = session.label(erased, "named after it").await.unwrap().ids[0];
    session.label(kept, "harmless").await.unwrap();
    let erase = async |entry: Id| {
        let (by, reason) = ("test".to_owned(), "asked for".to_owned());
        let erasure =
            Erasure { session: "one".to_owned(), entries: vec![entry], by, reason, at_ms: 1 };
        store.erase(erasure).await.unwrap().dependants.labels
    };
    assert_eq!(erase(erased).await, [label]);
    assert_eq!(erase(label).await, []);
    assert_eq!(erase(erased).await, [], "its label is gone too");
}

#[tokio::test]
async fn recovery_brings_nothing_back_that_was_erased() {
    let folder = tempfile::tempdir().unwrap();
    let (path, into) = (folder.path().join("store.redb"), folder.path().join("new.redb"));
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(&path, options()).unwrap());
    let session = Session::new(Arc::clone(&store), "one", Sources::fixed(7));
    let (secret, _) = fill(&session).await;
    let erasure = Erasure {
        session: "one".to_owned(),
        entries: secret.clone(),
        by: "test".to_owned(),
        reason: "asked for".to_owned(),
        at_ms: 1,
    };
    store.erase(erasure).await.unwrap();
    drop((store, session));
    let report = RedbStore::recover(&path, &into, &options(), &mut |_, _| {}).unwrap();
    assert_eq!((report.erased, report.lost), (6, 0));
    let store = RedbStore::open(&into, options()).unwrap();
    let found = store.entries(&secret).await.unwrap();
    assert!(found.into_iter().all(|stored| stored.unwrap().entry.body().is_none()));
    drop(store);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(hits(folder.path()), 0);
}

#[tokio::test]
async fn a_store_in_use_or_damaged_is_not_rewritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let missing = RedbStore::rewrite(&path, &options(), &mut |_, _| {}).unwrap_err();
    assert_eq!(missing.kind(), treering_tree::ErrorKind::NotFound);
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(&path, options()).unwrap());
    let locked = RedbStore::rewrite(&path, &options(), &mut |_, _| {}).unwrap_err();
    assert_eq!(locked.kind(), treering_tree::ErrorKind::Locked);
    let session = Session::new(Arc::clone(&store), "one", Sources::fixed(7));
    fill(&session).await;
    drop((store, session));
    let mut bytes = std::fs::read(&path).unwrap();
    for at in 0..bytes.len() - 12 {
        if bytes[at..].starts_with(b"harmless 100") {
            bytes[at] ^= 1;
        }
    }
    std::fs::write(&path, &bytes).unwrap();
    let damaged = RedbStore::rewrite(&path, &options(), &mut |_, _| {}).unwrap_err();
    assert_eq!(damaged.kind(), treering_tree::ErrorKind::Corrupt);
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
}
