//! What contradicts itself in a store's tables, planted row by row behind the engine's back, is named by
//! `verify`; what is not touched stays readable.

use std::path::Path;
use std::sync::Arc;

use redb::{ReadableTable, TableDefinition, WriteTransaction};
use tests::tamper::tamper;
use treering_tree::{Body, Expect, Kind, Options, RedbStore, Session, Sources, Store};

const STATE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("state");
const NAMES: TableDefinition<&[u8], u64> = TableDefinition::new("session-names");
const IDS: TableDefinition<Key, &[u8]> = TableDefinition::new("ids");
const PLACES: TableDefinition<u64, &[u8]> = TableDefinition::new("places");
const JOURNAL: TableDefinition<u64, &[u8]> = TableDefinition::new("journal");
const ENTRIES: TableDefinition<u64, &[u8]> = TableDefinition::new("entries");

type Key = [u8; 13];

/// Enough for rows behind the tails that are kept with the counters, and for a merged index.
const APPENDS: usize = 600;

fn options() -> Options {
    Options::new(Sources::fixed(1)).merge_after(32).idle_checkpoint(None)
}

async fn fill(path: &Path) {
    let store = Arc::new(RedbStore::open(path, options()).unwrap());
    for name in ["one", "two"] {
        let session = Session::new(Arc::clone(&store) as Arc<dyn Store>, name, Sources::fixed(2));
        for nth in 0..APPENDS / 2 {
            let body = Body::new("text", format!("{name} {nth} {}", "x".repeat(40)));
            let draft = session.draft(Kind::User, body).alias(format!("{name}-{nth}"));
            session.append(draft, Expect::Any).await.unwrap();
        }
        let head = session.head().await.unwrap().unwrap();
        session.fork_branch("side", head).await.unwrap();
    }
}

/// The first and the last key of a table by number.
fn ends(txn: &WriteTransaction, table: TableDefinition<u64, &[u8]>) -> (u64, u64) {
    let table = txn.open_table(table).unwrap();
    let key = |row: Option<(redb::AccessGuard<'_, u64>, redb::AccessGuard<'_, &[u8]>)>| {
        row.map(|(key, _)| key.value()).unwrap()
    };
    (key(table.first().unwrap()), key(table.last().unwrap()))
}

fn remove(txn: &WriteTransaction, table: TableDefinition<u64, &[u8]>) {
    let (first, _) = ends(txn, table);
    txn.open_table(table).unwrap().remove(first).unwrap();
}

/// Puts the newest chunk of a table in the place of the oldest.
fn repeat(txn: &WriteTransaction, table: TableDefinition<u64, &[u8]>) {
    let (first, last) = ends(txn, table);
    let mut table = txn.open_table(table).unwrap();
    let bytes = table.get(last).unwrap().unwrap().value().to_vec();
    table.insert(first, &*bytes).unwrap();
}

/// Changes the keys in the first row of the index.
fn first_ids(txn: &WriteTransaction, change: impl FnOnce(&mut Vec<Key>)) {
    let mut ids = txn.open_table(IDS).unwrap();
    let (first, mut keys) = {
        let (first, row) = ids.first().unwrap().unwrap();
        (first.value(), row.value().as_chunks().0.to_vec())
    };
    change(&mut keys);
    ids.insert(first, keys.as_flattened()).unwrap();
}

/// The key of `main`, which is not the active branch any more after the fork.
fn idle(session: u64) -> Vec<u8> {
    [&session.to_be_bytes()[..], b"main"].concat()
}

/// What is planted, and a word of what `verify` says of it.
type Plant = (&'static str, fn(&WriteTransaction), &'static str);

const PLANTS: [Plant; 11] = [
    (
        "an id that is not in the index",
        |txn| {
            first_ids(txn, |keys| {
                keys.remove(0);
            });
        },
        "not found by its id",
    ),
    (
        "more ids than entries",
        |txn| {
            let key = |nth: usize| -> Key {
                let mut key = Key::default();
                key[5..].copy_from_slice(&(nth as u64).to_be_bytes());
                key
            };
            first_ids(txn, |keys| drop(keys.splice(..0, (0..APPENDS).map(key))));
        },
        "rows, for",
    ),
    (
        "a branch elsewhere",
        |txn| {
            let mut state = txn.open_table(STATE).unwrap();
            assert!(state.insert(&*idle(0), &3_u64.to_be_bytes()[..]).unwrap().is_some());
        },
        "journal left them",
    ),
    (
        "a branch that is gone",
        |txn| {
            assert!(txn.open_table(STATE).unwrap().remove(&*idle(1)).unwrap().is_some());
        },
        "its counts are not those of its journal",
    ),
    (
        "a name of another session",
        |txn| {
            txn.open_table(NAMES).unwrap().insert(&b"one"[..], 1).unwrap();
        },
        "not found by its name",
    ),
    ("a chunk of entries that is gone", |txn| remove(txn, ENTRIES), "is missing"),
    ("a chunk of places that is gone", |txn| remove(txn, PLACES), "is missing"),
    ("a chunk of the journal that is gone", |txn| remove(txn, JOURNAL), "row is missing"),
    ("entries in the place of others", |txn| repeat(txn, ENTRIES), "its content hashes to"),
    ("places in the place of others", |txn| repeat(txn, PLACES), "corrupt place"),
    (
        "journal rows in the place of others",
        |txn| repeat(txn, JOURNAL),
        "does not follow the row before it",
    ),
];

#[tokio::test]
async fn every_planted_contradiction_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let sound = folder.path().join("sound.redb");
    fill(&sound).await;
    let store = RedbStore::open(&sound, options()).unwrap();
    let report = store.verify().await.unwrap();
    assert_eq!((report.problems, report.entries), (vec![], APPENDS as u64));
    drop(store);
    for (what, plant, expected) in PLANTS {
        let path = folder.path().join("planted.redb");
        std::fs::copy(&sound, &path).unwrap();
        tamper(&path, |database| {
            let txn = database.begin_write().unwrap();
            plant(&txn);
            txn.commit().unwrap();
        });
        let store = RedbStore::open(&path, options()).unwrap();
        let problems = store.verify().await.unwrap().problems;
        let told: Vec<String> = problems
            .iter()
            .take(5)
            .map(|p| format!("{} {}: {}", p.what, p.name, p.detail))
            .collect();
        println!("{what}: {} problems, {told:#?}", problems.len());
        assert!(!problems.is_empty(), "{what} is not noticed");
        let all = problems.iter().map(|p| format!("{} {}", p.what, p.detail));
        assert!(all.into_iter().any(|told| told.contains(expected)), "{what}: {told:#?}");
        let newest = store.scan(Some("two"), APPENDS as u64 - 1, 1).await;
        assert!(newest.is_ok_and(|page| page.len() == 1), "{what}: what is sound is not readable");
    }
}
