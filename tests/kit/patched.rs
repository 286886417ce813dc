//! A store's file with bytes of it changed, and all that a caller may do with it. The fuzz target `store` and a test
//! call the same.

use std::sync::{Arc, OnceLock};

use treering_tree::{
    Body, Erasure, Expect, Kind, Options, RedbStore, Replay, Session, Sources, Store,
};

use super::hostile::block_on;
use super::sim_disk::{Faults, SimDisk};

/// A store's file with a session in it, the same for every run: closed, or left by a process that was killed.
pub fn image(killed: bool) -> &'static [u8] {
    static IMAGES: [OnceLock<Vec<u8>>; 2] = [OnceLock::new(), OnceLock::new()];
    IMAGES[usize::from(killed)].get_or_init(|| {
        let disk = SimDisk::new(Vec::new(), Faults::default());
        block_on(async {
            let store = Arc::new(open(&disk).unwrap());
            let session = Session::new(store, "one", Sources::fixed(2));
            for nth in 0..40 {
                let body = Body::new("text", vec![b'x'; 1 << (nth % 12)]);
                let draft = session.draft(Kind::User, body).alias(format!("a{nth}"));
                session.append(draft, Expect::Any).await.unwrap();
            }
            if killed {
                disk.kill();
            }
        });
        disk.live().to_vec()
    })
}

fn open(disk: &SimDisk) -> treering_tree::Result<RedbStore> {
    let options = Options::new(Sources::fixed(1)).idle_checkpoint(None);
    RedbStore::with_backend(disk.factory(), options)
}

/// Any bytes in the place of a store's file open or are refused, and so is everything a caller may do
/// with them, writes before reads and the other way round: nothing panics, nothing hangs, nothing ends the process.
pub fn opens(bytes: Vec<u8>) -> bool {
    let disk = SimDisk::new(bytes, Faults::default());
    let Ok(store) = open(&disk) else { return false };
    let store = Arc::new(store);
    block_on(async {
        change(&store, 3).await;
        read(&store).await;
    });
    drop(store);
    let Ok(store) = open(&disk) else { return true };
    let store = Arc::new(store);
    block_on(async {
        read(&store).await;
        change(&store, 4).await;
    });
    true
}

/// Reads all of a store.
async fn read(store: &Arc<RedbStore>) {
    drop((store.verify().await, store.scan(None, 0, 1_000).await, store.stats().await));
    for session in store.sessions(None, 100).await.unwrap_or_default() {
        drop(store.branches(&session.name, None, 100).await);
        let path = Arc::clone(store) as Arc<dyn Store>;
        drop(Replay::new(path, session.head).collect().await);
    }
}

/// Changes all kinds of things of a store.
async fn change(store: &Arc<RedbStore>, seed: u64) {
    for name in ["one", "other"] {
        let shared = Arc::clone(store) as Arc<dyn Store>;
        let session = Session::new(shared, name, Sources::fixed(seed));
        let draft = session.draft(Kind::User, Body::new("text", "over damage"));
        let appended = session.append(draft, Expect::Any).await;
        drop(store.checkpoint().await);
        let Ok(appended) = appended else { continue };
        drop(session.fork_branch("side", appended.ids[0]).await);
        let erasure = Erasure {
            session: name.to_owned(),
            entries: appended.ids,
            by: "somebody".to_owned(),
            reason: "a test".to_owned(),
            at_ms: 0,
        };
        drop(store.erase(erasure).await);
    }
    drop(store.scrub(1_000).await);
}

/// Patches of the sound file: three bytes where, one byte what, over and over. One byte more, and it is that of a
/// process that was killed.
pub fn patched(patches: &[u8]) -> Vec<u8> {
    let mut bytes = image(patches.len() % 4 == 1).to_vec();
    for patch in patches.chunks_exact(4) {
        let at = u32::from_le_bytes([patch[0], patch[1], patch[2], 0]) as usize % bytes.len();
        bytes[at] ^= patch[3];
    }
    bytes
}
