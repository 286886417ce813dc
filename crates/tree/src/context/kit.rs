//! What the tests of contexts share: a session that is easily written.

use std::sync::Arc;

use crate::entry::{Body, Draft, Kind};
use crate::id::Id;
use crate::store::Store;
use crate::{Expect, Options, RedbStore, Session, Sources};

/// A session whose every entry has ten tokens.
pub(crate) struct Work(Session);

impl Work {
    pub(crate) fn new() -> Self {
        let store = RedbStore::in_memory(Options::new(Sources::fixed(1))).unwrap();
        Self(Session::new(Arc::new(store), "work", Sources::fixed(2)))
    }

    pub(crate) fn draft(&self, kind: Kind) -> Draft {
        self.0.draft(kind, Body::new("text", "words")).tokens(10)
    }

    pub(crate) async fn put(&self, draft: Draft) -> Id {
        self.0.append(draft, Expect::Any).await.unwrap().ids[0]
    }

    pub(crate) async fn say(&self, kind: Kind) -> Id {
        self.put(self.draft(kind)).await
    }

    pub(crate) async fn compact(&self, first_kept: Id) -> Id {
        self.put(self.draft(Kind::Compaction).target(first_kept)).await
    }

    pub(crate) async fn rewind(&self, to: Id) {
        self.0.rewind(Some(to), Expect::Any).await.unwrap();
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &**self.0.store()
    }

    /// What a model is given at the head.
    pub(crate) async fn items(&self) -> Vec<super::Item> {
        self.0.context().await.unwrap().items.to_vec()
    }
}
