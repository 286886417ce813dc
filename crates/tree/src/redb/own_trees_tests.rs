//! Damage to redb's own trees is found before anything is written over it, and nothing else is taken for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::layout::{Layout, PAGE_BYTES, Region};
use super::test_disk::Disk;
use super::{Options, RedbStore, own_trees};
use crate::entry::{Body, Kind};
use crate::error::{Error, ErrorKind, Result};
use crate::session::Session;
use crate::sources::Sources;
use crate::store::{Committed, Expect, Store};

/// How far the bytes that are changed are from one another.
const STEP: usize = 37;

fn options() -> Options {
    Options::new(Sources::fixed(1)).idle_checkpoint(None).log_bytes(64 << 10).merge_after(8)
}

fn region(disk: &Disk) -> Region {
    let layout = Layout::of(disk, Layout::new(0)).unwrap().unwrap();
    Region { backend: Arc::new(disk.clone()), start: layout.database_at() }
}

/// Where redb itself follows a page behind the end of the file, that is an error of the storage.
fn is_refusal(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Storage)
}

async fn append(store: &Arc<RedbStore>, seed: u64) -> Result<Committed> {
    let session = Session::new(Arc::clone(store) as _, "one", Sources::fixed(seed));
    session.append(session.draft(Kind::User, Body::new("text", "said")), Expect::Any).await
}

/// A store that was closed, and the same before, as a process would leave it that is killed.
async fn closed() -> (Disk, Disk) {
    let disk = Disk::default();
    let store = disk.open(&options()).unwrap();
    assert_eq!(own_trees::damage(&region(&disk)).unwrap(), None, "new");
    for seed in 0..40 {
        append(&store, seed).await.unwrap();
        store.stats().await.unwrap();
        assert_eq!(own_trees::damage(&region(&disk)).unwrap(), None, "{seed} entries");
        if seed % 10 == 0 {
            store.checkpoint().await.unwrap();
            assert_eq!(own_trees::damage(&region(&disk)).unwrap(), None, "saved at {seed}");
        }
    }
    let killed = disk.copy();
    drop(store);
    assert_eq!(own_trees::damage(&region(&disk)).unwrap(), None, "closed");
    (disk, killed)
}

#[tokio::test]
async fn nothing_is_written_over_damage_to_redbs_own_trees() {
    let (whole, killed) = closed().await;
    let start = usize::try_from(region(&whole).start).unwrap();
    let mut found = BTreeSet::new();
    for at in (start..whole.bytes().len()).step_by(STEP) {
        let damaged = whole.copy();
        damaged.change(|bytes| bytes[at] ^= 0x55);
        let Some(name) = own_trees::damage(&region(&damaged)).unwrap() else { continue };
        let before = damaged.bytes();
        match damaged.open(&options()) {
            // redb reads the bitmaps of free pages when it opens, and in a debug build all it has.
            Err(refused) => assert!(is_refusal(&refused), "{at}: {refused}"),
            Ok(store) => {
                let refused = append(&store, 50).await.unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::Corrupt, "{at}: {refused}");
                assert_eq!(store.scan(None, 0, 50).await.unwrap().len(), 40, "{at}");
                let problems = store.verify().await.unwrap().problems;
                assert!(problems.iter().any(|problem| problem.name == name), "{at}: {problems:?}");
            }
        }
        // But for the header, which says that somebody had it open.
        let from = start + PAGE_BYTES;
        assert!(damaged.bytes()[from..] == before[from..], "{at} was written to");
        found.insert(name);
    }
    assert!(found.len() > 3, "{found:?}");

    // What the log holds cannot be done again over damage, and nothing is read rather than less.
    let mut refusals = 0;
    for at in (start..killed.bytes().len()).step_by(STEP) {
        let damaged = killed.copy();
        damaged.change(|bytes| bytes[at] ^= 0x55);
        if own_trees::damage(&region(&damaged)).unwrap().is_some() {
            let refused = damaged.open(&options()).unwrap_err();
            assert!(is_refusal(&refused), "{at}: {refused}");
            refusals += 1;
        }
    }
    assert!(refusals > 0);
}
