//! Sessions as bundles: out of one store, into another, and bundles that lie.

use std::sync::Arc;

use treering_interchange::{BundleOptions, BundleReport, Error, export_bundle, import_bundle};
use treering_tree::{
    Body, Change, Context, Expect, Id, Kind, MemoWrite, Message, Reason, RedbStore, Role, Session,
    Sources, Store, Summary,
};

use crate::kit::{block_on, samples, store, try_load};

fn session(store: &Arc<RedbStore>, name: &str) -> Session {
    Session::new(Arc::clone(store) as Arc<dyn Store>, name, Sources::fixed(name.len() as u64))
}

async fn say(session: &Session, kind: Kind, text: &str) -> Id {
    let draft = session.draft(kind, Message::text(Role::User, text).body()).tokens(3);
    session.append(draft, Expect::Any).await.unwrap().ids[0]
}

/// Two sessions, one forked from the other, with branches, a compaction, a label, a memo and a body
/// that is no text.
async fn history(store: &Arc<RedbStore>) {
    let base = session(store, "base");
    let first = say(&base, Kind::User, "first").await;
    say(&base, Kind::Assistant, "answer \u{1f600}\n\u{1}").await;
    let fork = base.fork_session("fork", first).await.unwrap();
    let kept = say(&fork, Kind::User, "kept").await;
    let raw = fork.draft(Kind::Record, Body::new("odd/1", vec![0xFF, 0, b'"']));
    fork.append(raw.alias("alias-1"), Expect::Any).await.unwrap();
    let body = Summary { text: "so far".into(), ..Summary::default() }.body();
    let compaction = fork.draft(Kind::Compaction, body).target(kept).tokens(1);
    fork.append(compaction, Expect::Any).await.unwrap();
    fork.label(kept, "here").await.unwrap();
    fork.fork_branch("other", kept).await.unwrap();
    say(&fork, Kind::User, "on the other").await;
    let memo = MemoWrite { name: "lease".into(), expect: None, value: Some(vec![1]) };
    let change = Change { memos: vec![memo], ..Change::new("fork", Reason::Append, 0) };
    store.commit(change).await.unwrap();
}

async fn bundle(store: &dyn Store, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    export_bundle(store, name, &mut bytes).await.unwrap();
    bytes
}

async fn take(store: &dyn Store, bytes: &[u8]) -> Result<BundleReport, Error> {
    import_bundle(store, &mut &bytes[..], BundleOptions::default()).await
}

/// Branches, the active one, and the context of each.
async fn everything(store: &dyn Store, name: &str) -> Vec<(String, bool, Vec<Id>, u64)> {
    let mut all = Vec::new();
    for branch in store.branches(name, None, 10_000).await.unwrap() {
        let Some(head) = branch.head else { continue };
        let context = Context::at(store, head).await.unwrap();
        let mut ids: Vec<Id> = context.items.iter().map(|item| item.stored.entry.id()).collect();
        ids.push(head);
        all.push((branch.name, branch.active, ids, context.tokens));
    }
    all
}

#[test]
fn a_session_is_the_same_in_another_store() {
    block_on(async {
        let (from, to) = (store(), store());
        history(&from).await;
        let bytes = bundle(&*from, "fork").await;
        let report = take(&*to, &bytes).await.unwrap();
        assert_eq!((report.entries, report.added, report.heads), (6, 6, 2));
        assert_eq!(everything(&*to, "fork").await, everything(&*from, "fork").await);
        assert_eq!(to.memo("fork", "lease").await.unwrap(), None, "memos stay behind");
        assert!(to.with_alias("fork", "alias-1").await.unwrap().is_some());
        assert_eq!(to.verify().await.unwrap().problems, []);
        let again = take(&*to, &bytes).await.unwrap();
        assert_eq!((again.added, again.moved.len(), again.diverged.len()), (0, 0, 0));
        assert_eq!(bundle(&*to, "fork").await, bytes, "the same bundle again");
        // What both stand on is there already.
        let base = take(&*to, &bundle(&*from, "base").await).await.unwrap();
        assert_eq!((base.entries, base.added), (2, 1));
        assert_eq!(everything(&*to, "base").await, everything(&*from, "base").await);
    });
}

#[test]
fn samples_travel_whole() {
    for sample in samples("claude-code").into_iter().chain(samples("pi")) {
        block_on(async {
            let (from, to) = (store(), store());
            let report = try_load(&*from, vec![sample.clone().into()], None).await.unwrap();
            let name = &report[0].session;
            let bytes = bundle(&*from, name).await;
            take(&*to, &bytes).await.unwrap();
            assert_eq!(everything(&*to, name).await, everything(&*from, name).await);
            assert_eq!(to.verify().await.unwrap().problems, []);
            let original = crate::kit::exported(&*from, name, 0).await;
            assert!(crate::kit::exported(&*to, name, 0).await == original, "{}", sample.display());
        });
    }
}

#[test]
fn branches_only_go_forward() {
    block_on(async {
        let (from, to) = (store(), store());
        let there = session(&from, "s");
        let first = say(&there, Kind::User, "first").await;
        let early = bundle(&*from, "s").await;
        take(&*to, &early).await.unwrap();
        let ahead = say(&there, Kind::User, "second").await;
        let late = bundle(&*from, "s").await;
        let report = take(&*to, &late).await.unwrap();
        assert_eq!((report.added, report.moved), (1, vec!["main".to_owned()]));
        // An older bundle takes nothing back.
        assert_eq!(take(&*to, &early).await.unwrap().moved.len(), 0);
        let here = session(&to, "s");
        assert_eq!(here.head().await.unwrap(), Some(ahead));
        here.rewind(Some(first), Expect::Any).await.unwrap();
        let elsewhere = say(&here, Kind::Assistant, "elsewhere").await;
        let report = take(&*to, &late).await.unwrap();
        assert_eq!(report.diverged, ["main"]);
        assert_eq!(here.head().await.unwrap(), Some(elsewhere));
    });
}

#[test]
fn a_bundle_that_lies_moves_nothing() {
    let bytes = block_on(async {
        let from = store();
        history(&from).await;
        String::from_utf8(bundle(&*from, "fork").await).unwrap()
    });
    let lines: Vec<&str> = bytes.lines().collect();
    let without = |at: usize| {
        let mut kept = lines.clone();
        kept.remove(at);
        kept.join("\n") + "\n"
    };
    let deep = format!("{}{}", "[".repeat(100_000), "\n");
    let table = [
        (bytes.replace("first", "First"), 2),
        (bytes.replacen("\"at_ms\":0", "\"at_ms\":1", 1), 2),
        (bytes.replace("\"version\":1", "\"version\":2"), 1),
        (bytes.replacen("\"nonce\":\"", "\"nonce\":\"z", 1), 2),
        (without(0), 1),
        (without(lines.len() - 1), lines.len() as u64),
        (without(lines.len() - 2), lines.len() as u64 - 1),
        (format!("{}\n{deep}", lines[0]), 2),
        (String::new(), 1),
        (format!("{}\n{}\n", lines[0], lines[0]), 2),
    ];
    for (hostile, line) in table {
        let to = store();
        match block_on(take(&*to, hostile.as_bytes())) {
            Err(Error::Bundle { line: found, .. }) => assert_eq!(found, line),
            other => panic!("expected line {line} to be refused, found {other:?}"),
        }
        let heads = block_on(to.branches("fork", None, 10)).unwrap_or_default();
        assert!(heads.iter().all(|branch| branch.head.is_none()), "a head moved");
    }
    // A parent that does not stand before its child.
    let to = store();
    assert!(block_on(take(&*to, without(1).as_bytes())).is_err());
}
