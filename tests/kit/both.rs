//! Several handles of one store as one: each call goes to the next of them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use treering_tree::{
    Body, Branch, Change, Committed, Cut, Erased, Erasure, Id, JournalRow, Measure, Memo, Nonce,
    Number, Place, Prefix, Report, Result, Seek, SessionInfo, Stats, Store, Stored, Tail,
};

/// The handles, in turn.
#[derive(Debug)]
pub struct Both {
    handles: Vec<Arc<dyn Store>>,
    calls: AtomicUsize,
}

impl Both {
    /// All of these, of which there is one at least.
    pub fn new(handles: Vec<Arc<dyn Store>>) -> Self {
        Self { handles, calls: AtomicUsize::new(0) }
    }

    fn next(&self) -> &dyn Store {
        &*self.handles[self.calls.fetch_add(1, Ordering::Relaxed) % self.handles.len()]
    }
}

macro_rules! in_turn {
    ($($name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait::async_trait]
        impl Store for Both {
            $(async fn $name(&self, $($arg: $type),*) -> Result<$answer> {
                self.next().$name($($arg),*).await
            })*

            fn redacts(&self, body: &Body) -> Option<Body> {
                self.next().redacts(body)
            }

            fn nonce_for(&self, identity: &[&[u8]]) -> Nonce {
                self.next().nonce_for(identity)
            }
        }
    };
}
in_turn! {
    commit(change: Change) -> Committed;
    erase(erasure: Erasure) -> Erased;
    session(name: &str) -> SessionInfo;
    sessions(after: Option<&str>, limit: usize) -> Vec<SessionInfo>;
    branches(session: &str, after: Option<&str>, limit: usize) -> Vec<Branch>;
    entries(ids: &[Id]) -> Vec<Option<Stored>>;
    with_prefix(prefix: Prefix, limit: usize) -> Vec<Id>;
    with_alias(session: &str, alias: &str) -> Option<Id>;
    measure(head: Id) -> Measure;
    seek(of: Id, questions: &[Seek]) -> Vec<Option<Place>>;
    path(head: Id, depths: Range<u64>) -> Vec<Stored>;
    places(head: Id, depths: Range<u64>) -> Vec<Place>;
    preview(head: Id, first_kept: Option<Id>) -> Cut;
    memo(session: &str, name: &str) -> Memo;
    tail(head: Id) -> Tail;
    scan(session: Option<&str>, from: Number, limit: usize) -> Vec<Stored>;
    journal(from: u64, limit: usize) -> Vec<JournalRow>;
    verify() -> Report;
    stats() -> Stats;
}
