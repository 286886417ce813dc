//! Groups that are answered before readers see them: whoever reads next does, also where the transaction that
//! holds them meets damage.

#![allow(clippy::unwrap_used, reason = "a test speaks by panicking")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::StorageBackend;
use redb::backends::InMemoryBackend;
use treering_tree::{
    Body, Draft, Error, Expect, Kind, Nonce, Options, RedbStore, Session, Sources, Store,
};

/// Bytes in memory. Once it is told to, what it reads next is nonsense.
#[derive(Debug, Clone, Default)]
struct Lying {
    bytes: Arc<InMemoryBackend>,
    lies: Arc<AtomicBool>,
}

impl StorageBackend for Lying {
    fn len(&self) -> io::Result<u64> {
        self.bytes.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.lies.swap(false, Ordering::SeqCst) {
            out.fill(0xee);
            return Ok(());
        }
        self.bytes.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.bytes.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.bytes.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.bytes.write(offset, data)
    }
}

fn draft(n: u64) -> Draft {
    let nonce = Nonce([u8::try_from(n % 251).unwrap(); 16]);
    let body = Body::new("text", format!("body {n}"));
    Draft::new(Kind::User, i64::try_from(n).unwrap(), nonce, body)
}

#[test]
fn what_was_answered_is_read_although_its_round_meets_damage() {
    quiet_redb();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let disk = Lying::default();
    let backend = disk.clone();
    let options = Options::new(Sources::fixed(1))
        .write_ahead(false)
        // What a round wrote is read back from the disk.
        .direct_io(false)
        .idle_checkpoint(None)
        .cache_bytes(0)
        .entry_cache_bytes(0)
        .merge_after(16);
    let store: Arc<dyn Store> = Arc::new(
        RedbStore::with_backend(Arc::new(move || Ok(Box::new(backend.clone()))), options).unwrap(),
    );
    let session = |name| Session::new(Arc::clone(&store), name, Sources::fixed(2));
    runtime.block_on(async {
        let old = session("old");
        for n in 0..2_000 {
            old.append(draft(n), Expect::Any).await.unwrap();
        }
        // Nobody has read since: this one is answered, and no reader sees it.
        let new = session("new");
        let answered = new.append(draft(5_000), Expect::Any).await.unwrap();
        let root = draft(0).id_under(None);
        assert!(store.entries(&[root]).await.unwrap()[0].is_some());
        let answered_too = new.append(draft(5_001), Expect::Any).await.unwrap();
        let last = new.append(draft(5_002), Expect::Any).await.unwrap();
        // The parent is looked for among all entries, in pages.
        disk.lies.store(true, Ordering::SeqCst);
        let refused = old.append(draft(6_000).under(Some(root)), Expect::Any).await;
        assert!(!disk.lies.load(Ordering::SeqCst), "nothing was read");
        assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
        let ids = [answered.ids, answered_too.ids, last.ids.clone()].concat();
        assert_eq!(ids.len(), 3);
        for id in ids {
            assert!(store.entries(&[id]).await.unwrap()[0].is_some());
        }
        assert_eq!(store.session("new").await.unwrap().head, last.head);
        let more = new.append(draft(5_003), Expect::Any).await;
        assert!(matches!(more, Err(Error::Corrupt { .. })), "{more:?}");
        assert_eq!(store.session("new").await.unwrap().head, last.head);
    });
}

/// redb panics on damaged pages; the boundary catches that, and the log need not show it.
fn quiet_redb() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let in_redb = panic.location().is_some_and(|at| at.file().contains("redb-"));
        if !in_redb {
            hook(panic);
        }
    }));
}
