//! The redb store keeps the contract of `Store`, in memory and in a file.

use std::sync::Arc;

use treering_tree::{Options, RedbStore, Sources, Store, conformance};

fn options() -> Options {
    Options::new(Sources::fixed(1))
}

#[tokio::test]
async fn in_memory() {
    conformance::all(|| async {
        Arc::new(RedbStore::in_memory(options()).unwrap()) as Arc<dyn Store>
    })
    .await;
}

#[tokio::test]
async fn in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let next = std::sync::atomic::AtomicUsize::new(0);
    conformance::all(|| async {
        let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = folder.path().join(format!("{n}.redb"));
        Arc::new(RedbStore::open(path, options()).unwrap()) as Arc<dyn Store>
    })
    .await;
}
