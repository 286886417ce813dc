//! Groups of which one is applied while the one before is on its way to the disk, in a whole store: what their
//! callers hear and find, and which groups must not be answered so.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, yield_now};

use super::test_disk::{Disk, Fails};
use super::{Options, RedbStore};
use crate::entry::{Body, Draft, Kind};
use crate::error::{ErrorKind, Result};
use crate::id::Id;
use crate::session::Session;
use crate::sources::Sources;
use crate::store::{Erasure, Expect, Store};

const LOG_BYTES: u64 = 64 << 10;

/// What one caller waits for.
type Call = JoinHandle<Result<()>>;

/// A store whose groups overlap from two callers on, and a session with one entry.
struct Talk {
    disk: Disk,
    store: Arc<RedbStore>,
    session: Session,
    root: Id,
}

fn options() -> Options {
    Options::new(Sources::fixed(1))
        .idle_checkpoint(None)
        .log_bytes(LOG_BYTES)
        .cache_bytes(1 << 20)
        .overlap_from(2)
}

impl Talk {
    async fn new() -> Self {
        let disk = Disk::default();
        let store = disk.open(&options()).unwrap();
        let session = Session::new(Arc::clone(&store) as _, "one", Sources::fixed(2));
        let root = session.draft(Kind::User, Body::new("text", "root"));
        let root = session.append(root, Expect::Any).await.unwrap().ids[0];
        Self { disk, store, session, root }
    }

    /// One that names its parent is the same entry wherever its branch is by now.
    fn draft(&self, text: &str) -> Draft {
        self.session.draft(Kind::User, Body::new("text", text)).under(Some(self.root))
    }

    fn says(&self, draft: &Draft) -> Call {
        let (session, draft) = (self.session.clone(), draft.clone());
        tokio::spawn(async move { session.append(draft, Expect::Any).await.map(drop) })
    }

    /// Says something that waits for the disk; what comes meanwhile are two groups, of which `last` alone is the
    /// second. Of syncs the one that is waited for comes to an end.
    async fn gathers(&self, before: impl FnOnce(&Self) -> [Call; 3], last: &Draft) -> Vec<Call> {
        self.disk.passes(Some(0));
        let first = self.says(&self.draft("the first alone"));
        yield_now().await;
        self.disk.until_it_has(b"the first alone");
        let [one, two, three] = before(self);
        let calls = vec![first, one, two, three, self.says(last)];
        // Each is polled once: it waits in the queue then.
        yield_now().await;
        self.disk.passes(Some(1));
        calls
    }

    /// The same, all of it appends; when this answers the first group is in flight, and the second is taken: it is
    /// applied, and waits.
    async fn takes_off(&self, [one, two, three, last]: &[Draft; 4]) -> Vec<Call> {
        let calls = self.gathers(|talk| [one, two, three].map(|draft| talk.says(draft)), last);
        let calls = calls.await;
        self.disk.until_it_has(&three.body().bytes);
        while self.store.shared.queue.has_waiting() {
            std::thread::yield_now();
        }
        calls
    }

    /// The same, the first four answered; answers the last one, whose sync waits at the disk.
    async fn has_one_in_flight(&self, drafts: &[Draft; 4]) -> Call {
        let mut calls = self.takes_off(drafts).await;
        self.disk.passes(Some(1));
        let in_flight = calls.pop().unwrap();
        assert_eq!(heard(calls).await, [None; 4]);
        in_flight
    }

    /// All of it is there once, in this handle and in one that is opened after a crash now.
    async fn holds(&self, drafts: &[Draft]) {
        let crashed = self.disk.copy().open(&options()).unwrap();
        for store in [&self.store, &crashed] {
            let scanned = store.scan(Some("one"), 0, 100).await.unwrap();
            // And the root, and the first alone.
            assert_eq!(scanned.len(), drafts.len() + 2);
            for draft in drafts {
                let id = draft.id_under(Some(self.root));
                assert!(scanned.iter().any(|stored| stored.entry.id() == id));
            }
            assert_eq!(store.verify().await.unwrap().problems, []);
        }
    }
}

/// A test that fails while syncs wait fails: the store is closed behind this, which takes syncs.
impl Drop for Talk {
    fn drop(&mut self) {
        self.disk.passes(None);
    }
}

async fn heard(calls: Vec<Call>) -> Vec<Option<ErrorKind>> {
    let mut heard = Vec::new();
    for call in calls {
        heard.push(call.await.unwrap().err().map(|error| error.kind()));
    }
    heard
}

#[tokio::test]
async fn a_failed_sync_is_told_to_the_group_in_flight_and_to_the_one_behind_it() {
    let talk = Talk::new().await;
    let drafts = ["one", "two", "three", "the last alone"].map(|text| talk.draft(text));
    let calls = talk.takes_off(&drafts).await;
    talk.disk.fails(Fails::NextSync);
    talk.disk.passes(None);
    let unknown = Some(ErrorKind::Storage);
    assert_eq!(heard(calls).await, [None, unknown, unknown, unknown, unknown]);
    for draft in &drafts {
        talk.says(draft).await.unwrap().unwrap();
    }
    talk.holds(&drafts).await;
}

#[tokio::test]
async fn a_sync_that_fails_while_nobody_comes_is_told_all_the_same() {
    let talk = Talk::new().await;
    let drafts = ["one", "two", "three", "the last alone"].map(|text| talk.draft(text));
    let in_flight = talk.has_one_in_flight(&drafts).await;
    talk.disk.fails(Fails::NextSync);
    talk.disk.passes(None);
    assert_eq!(heard(vec![in_flight]).await, [Some(ErrorKind::Storage)]);
    talk.says(&drafts[3]).await.unwrap().unwrap();
    talk.holds(&drafts).await;
}

#[tokio::test]
async fn a_checkpoint_begins_when_the_group_in_flight_has_landed() {
    let talk = Talk::new().await;
    let drafts = ["one", "two", "three", "the last alone"].map(|text| talk.draft(text));
    let in_flight = talk.has_one_in_flight(&drafts).await;
    assert!(talk.disk.has_waiting_within(1, Duration::from_secs(60)));
    let store = Arc::clone(&talk.store);
    let checkpoint = tokio::spawn(async move { store.checkpoint().await });
    yield_now().await;
    // Whether the writer takes it or waits already for the group, since nobody came. Else the failure of the group's
    // sync could be told to the checkpoint, and the group take itself for durable.
    let overtakes = talk.disk.has_waiting_within(2, Duration::from_millis(500));
    talk.disk.fails(Fails::NextSync);
    talk.disk.passes(None);
    assert!(!overtakes);
    assert_eq!(heard(vec![in_flight, checkpoint]).await, [Some(ErrorKind::Storage), None]);
    talk.says(&drafts[3]).await.unwrap().unwrap();
    talk.holds(&drafts).await;
}

#[tokio::test]
async fn what_is_erased_while_groups_overlap_is_read_by_nobody_who_read_it_before() {
    let talk = Talk::new().await;
    let root = [talk.root];
    assert!(talk.store.entries(&root).await.unwrap()[0].as_ref().unwrap().entry.body().is_some());
    let drafts = ["one", "two", "the last alone"].map(|text| talk.draft(text));
    let [one, two, last] = &drafts;
    let erasing = |talk: &Talk| {
        let erasure = Erasure {
            session: "one".to_owned(),
            entries: vec![talk.root],
            by: "me".to_owned(),
            reason: "asked for".to_owned(),
            at_ms: 7,
        };
        let store = Arc::clone(&talk.store);
        tokio::spawn(async move { store.erase(erasure).await.map(drop) })
    };
    let calls = talk.gathers(|talk| [talk.says(one), erasing(talk), talk.says(two)], last).await;
    talk.disk.passes(None);
    assert_eq!(heard(calls).await, [None; 5]);
    assert!(talk.store.entries(&root).await.unwrap()[0].as_ref().unwrap().entry.body().is_none());
}

#[tokio::test]
async fn what_the_log_does_not_take_is_durable_when_it_is_answered_while_groups_overlap() {
    let talk = Talk::new().await;
    let long = "long".repeat(usize::try_from(LOG_BYTES).unwrap());
    let drafts = ["one", &long, "three", "the last alone"].map(|text| talk.draft(text));
    let [one, two, three, last] = &drafts;
    let calls = talk.gathers(|talk| [one, two, three].map(|draft| talk.says(draft)), last).await;
    talk.disk.passes(None);
    assert_eq!(heard(calls).await, [None; 5]);
    talk.holds(&drafts).await;
}
