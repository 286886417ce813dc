//! A prototype: a checksummed log of whole appends in front of the engine. A group is durable once the log
//! is synced; the engine then takes it without a sync, and makes a checkpoint now and then, up to which
//! the log may be dropped. Measured, not for use: nothing reads the log back.

use std::collections::HashMap;
use std::future::poll_fn;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::runtime::Runtime;
use treering_tree::{Body, Durability, Expect, Kind, RedbStore, Session, Sources, Store};

use crate::options;
use crate::peers::{Item, Log, Peer};

/// Entries between two checkpoints.
const CHECKPOINT_ENTRIES: usize = 4_096;

/// The engine behind a log.
pub struct LogFirst {
    log: Log,
    store: Arc<RedbStore>,
    runtime: Runtime,
    sessions: HashMap<u64, Session>,
    unsaved: usize,
}

impl LogFirst {
    /// Log and store at `path` and beside it.
    pub fn new(path: &Path) -> Self {
        let options = options().durability(Durability::None).idle_checkpoint(None);
        Self {
            log: Log::zeroed(&path.with_extension("log")),
            store: Arc::new(RedbStore::open(path, options).unwrap()),
            runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
            sessions: HashMap::new(),
            unsaved: 0,
        }
    }
}

impl Peer for LogFirst {
    fn commit(&mut self, group: &[Item]) {
        self.log.commit(group);
        let mut appends: Vec<Option<Pin<Box<dyn Future<Output = _>>>>> = Vec::new();
        for Item { session, body } in group {
            let store = &self.store;
            let session = self.sessions.entry(*session).or_insert_with(|| {
                let store = Arc::clone(store) as Arc<dyn Store>;
                Session::new(store, session.to_string(), Sources::fixed(*session))
            });
            let session = session.clone();
            let draft = session.draft(Kind::User, Body::new("text", body.clone())).tokens(100);
            appends.push(Some(Box::pin(async move { session.append(draft, Expect::Any).await })));
        }
        // All are asked before any is waited for, so that the engine takes them as one group.
        self.runtime.block_on(poll_fn(|look| {
            for append in &mut appends {
                if let Some(Poll::Ready(done)) =
                    append.as_mut().map(|append| append.as_mut().poll(look))
                {
                    done.unwrap();
                    *append = None;
                }
            }
            if appends.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
        }));
        self.unsaved += group.len();
        if self.unsaved >= CHECKPOINT_ENTRIES {
            self.runtime.block_on(self.store.checkpoint()).unwrap();
            self.unsaved = 0;
        }
    }
}
