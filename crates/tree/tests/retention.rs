//! Retention: what is old goes, what a session that stays stands on does not, and everything says why.

#![allow(clippy::unwrap_used, reason = "a test speaks by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;

use treering_tree::{
    Body, Dependants, Expect, Id, Kind, Message, Options, RedbStore, Retention, Role, Session,
    Sources, Store, Tombstone, prune,
};

const DAY_MS: i64 = 86_400_000;

struct Shop {
    store: Arc<dyn Store>,
}

impl Shop {
    fn new() -> Self {
        let store = RedbStore::in_memory(Options::new(Sources::fixed(1))).unwrap();
        Self { store: Arc::new(store) }
    }

    /// A session as it is on some day.
    fn session(&self, name: &str, day: i64) -> Session {
        let random = Sources::fixed(u64::try_from(day).unwrap());
        let sources = Sources::new(move || day * DAY_MS, move |buffer| random.fill(buffer));
        Session::new(Arc::clone(&self.store), name, sources)
    }

    async fn say(&self, name: &str, day: i64, text: &str) -> Id {
        let session = self.session(name, day);
        let body = Message::text(Role::User, text).body();
        let done = session.append(session.draft(Kind::User, body), Expect::Any).await;
        done.unwrap().ids[0]
    }

    async fn has_body(&self, id: Id) -> bool {
        self.store.entries(&[id]).await.unwrap()[0].as_ref().unwrap().entry.body().is_some()
    }
}

fn rule(before_day: i64, dry_run: bool) -> Retention {
    Retention {
        before_ms: before_day * DAY_MS,
        by: "the test".into(),
        reason: "old".into(),
        dry_run,
        ..Retention::default()
    }
}

#[tokio::test]
async fn what_is_old_goes_and_says_why_and_what_others_stand_on_stays() {
    let shop = Shop::new();
    let shared = shop.say("old", 1, "shared").await;
    let own = shop.say("old", 1, "own").await;
    let kept = shop.say("kept", 1, "kept").await;
    let fork = shop.session("old", 20).fork_session("fork", shared).await.unwrap();
    shop.say("fork", 20, "goes on").await;
    let rule = Retention { keep: BTreeSet::from(["kept".into()]), ..rule(10, false) };

    let dry = Retention { dry_run: true, ..rule.clone() };
    let told = prune(&*shop.store, &dry, 30 * DAY_MS).await.unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].session.as_str(), told[0].erased, told[0].shared), ("old", 1, 1));
    assert!(shop.has_body(own).await, "a dry run only tells");

    let done = prune(&*shop.store, &rule, 30 * DAY_MS).await.unwrap();
    assert_eq!((done[0].erased, done[0].shared), (1, 1));
    let [shared, own, kept] =
        [shop.has_body(shared).await, shop.has_body(own).await, shop.has_body(kept).await];
    assert_eq!((shared, own, kept), (true, false, true));
    assert_eq!(fork.context().await.unwrap().items.len(), 2);

    let tombstone = shop.session("old", 30).replay().await.unwrap().collect().await.unwrap();
    let tombstone = Tombstone::from_body(tombstone.last().unwrap().entry.body().unwrap()).unwrap();
    assert_eq!((tombstone.by.as_str(), tombstone.reason.as_str()), ("the test", "old"));
    let newest = shop.store.session("old").await.unwrap().journal;
    let row = shop.store.journal(newest, 1).await.unwrap().remove(0);
    assert_eq!((row.reason, row.at_ms), (treering_tree::Reason::Erase, 30 * DAY_MS));
    assert_eq!(shop.store.verify().await.unwrap().problems, []);

    // Nothing is left to erase, however late it is: tombstones stay.
    let again = Retention { dry_run: false, ..self::rule(100, false) };
    let again = prune(&*shop.store, &again, 200 * DAY_MS).await.unwrap();
    let names: Vec<&str> = again.iter().map(|pruned| pruned.session.as_str()).collect();
    assert_eq!(names, ["fork", "kept", "old"], "all are old now, and shared no more");
    assert_eq!(again.iter().map(|pruned| pruned.erased).sum::<u64>(), 3);
    let late = prune(&*shop.store, &self::rule(1_000, false), 2_000 * DAY_MS).await.unwrap();
    assert_eq!(late, []);
}

#[tokio::test]
async fn a_session_is_due_once_it_changed_before_the_given_time_and_not_at_it() {
    let shop = Shop::new();
    for day in [9, 10] {
        shop.say(&format!("of day {day}"), day, "said").await;
    }
    let done = prune(&*shop.store, &rule(10, true), 30 * DAY_MS).await.unwrap();
    let names: Vec<&str> = done.iter().map(|pruned| pruned.session.as_str()).collect();
    assert_eq!(names, ["of day 9"]);
    assert_eq!(
        (done[0].changed_ms, done[0].dependants.clone()),
        (9 * DAY_MS, Dependants::default())
    );
}

/// More than a walk takes at a time, twice.
const LONG: usize = 2_100;

#[tokio::test]
async fn a_long_path_stays_to_its_root_and_what_is_behind_the_forks_goes() {
    let shop = Shop::new();
    let old = shop.session("old", 1);
    let draft = |nth: usize| old.draft(Kind::User, Body::new("text", nth.to_string()));
    let ids = old.append_all((0..LONG).map(draft).collect(), Expect::Any).await.unwrap().ids;
    // The deepest last: what stands on it was noted in part before.
    for (name, at) in [("a", 5), ("b", LONG - 500), ("c", LONG - 3)] {
        shop.session("old", 20).fork_session(name, ids[at]).await.unwrap();
    }
    let done = prune(&*shop.store, &rule(10, false), 30 * DAY_MS).await.unwrap();
    assert_eq!((done.len(), done[0].erased, done[0].shared), (1, 2, LONG as u64 - 2));
    let branches = vec![("old".to_owned(), "main".to_owned())];
    assert_eq!(done[0].dependants, Dependants { branches, ..Dependants::default() });
    assert!(shop.has_body(ids[LONG - 3]).await && !shop.has_body(ids[LONG - 2]).await);
}

#[tokio::test]
async fn what_is_erased_already_is_not_erased_again_and_a_dry_run_erases_nothing() {
    let shop = Shop::new();
    for text in ["a", "b", "c"] {
        shop.say("old", 10, text).await;
    }
    // After the first two of these something is left, after the third one nothing.
    for (dry_run, erased) in [(true, 3), (true, 3), (false, 3), (false, 0), (true, 0)] {
        let done = prune(&*shop.store, &rule(20, dry_run), 30 * DAY_MS).await.unwrap();
        let counts: Vec<u64> = done.iter().map(|pruned| pruned.erased).collect();
        assert_eq!(counts, if erased > 0 { vec![erased] } else { vec![] }, "dry: {dry_run}");
    }
}
