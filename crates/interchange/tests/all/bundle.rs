//! Sessions as bundles: out of one store, into another, and bundles that lie.

use std::sync::Arc;

use treering_interchange::{
    BundleOptions, BundleReport, Error, Input, Target, Transcript, export_bundle, import_bundle,
    render,
};
use treering_tree::{
    Body, Change, Context, Erasure, Expect, Id, Kind, Label, Mask, MemoWrite, Message, Part,
    Reason, RedbStore, Role, Session, Sources, Store, Summary,
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
        let context = match branch.head {
            Some(head) => Context::at(store, head).await.unwrap(),
            None => Context::empty(),
        };
        let mut ids: Vec<Id> = context.items.iter().map(|item| item.stored.entry.id()).collect();
        ids.extend(branch.head);
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
fn a_label_of_what_never_was_travels_too() {
    block_on(async {
        let (from, to) = (store(), store());
        let session = session(&from, "s");
        say(&session, Kind::User, "first").await;
        let label = Label { name: "nowhere".to_owned() }.body();
        let label = session.draft(Kind::Record, label).target(Id::from_bytes([8; 32]));
        session.append(label, Expect::Any).await.unwrap();
        let told = take(&*to, &bundle(&*from, "s").await).await.unwrap();
        assert_eq!((told.entries, told.added), (2, 2));
        assert_eq!(everything(&*from, "s").await, everything(&*to, "s").await);
    });
}

#[test]
fn neither_errors_nor_values_show_what_entries_say() {
    const CANARY: &str = "the canary sings";
    block_on(async {
        let store = store();
        let one = session(&store, "one");
        let first = say(&one, Kind::User, CANARY).await;
        let summary = one.draft(Kind::Compaction, Message::text(Role::User, CANARY).body());
        one.append(summary.target(first), Expect::Any).await.unwrap();
        let context = one.context().await.unwrap();
        let transcript = Transcript::of_context("one", &context);
        let input = Input::Bytes { name: "x".into(), bytes: CANARY.into() };
        let mut shown = format!("{transcript:?} {input:?} {context:?}");
        for line in [
            format!("{{\"entry\":{{\"id\":\"x\",\"kind\":\"{CANARY}\"}}}}"),
            format!("{{\"{CANARY}\":1}}"),
            format!("\"{CANARY}\""),
        ] {
            let mut bytes = bundle(&*store, "one").await;
            let head = bytes.iter().position(|byte| *byte == b'\n').unwrap();
            bytes.splice(head + 1.., line.into_bytes());
            let error = take(&*self::store(), &bytes).await.unwrap_err();
            assert!(error.to_string().contains("line 2"), "{error}");
            shown.push_str(&[error.to_string(), format!("{error:?}")].concat());
        }
        assert!(!shown.contains("canary") && !shown.contains("99, 97, 110, 97"), "{shown}");
    });
}

/// Two sessions, of which `other` goes on where `base` has the alias of its own entry already; that of `base`.
async fn two_trees(store: &Arc<RedbStore>) -> Id {
    let (base, other) = (session(store, "base"), session(store, "other"));
    let draft = base.draft(Kind::User, Message::text(Role::User, "one").body());
    let one = base.append(draft.alias("a"), Expect::Any).await.unwrap().ids[0];
    say(&other, Kind::User, "first").await;
    other.rewind(Some(one), Expect::Any).await.unwrap();
    let draft = other.draft(Kind::Assistant, Message::text(Role::Assistant, "two").body());
    other.append(draft.alias("a"), Expect::Any).await.unwrap();
    one
}

#[test]
fn an_alias_that_is_taken_is_told_with_its_line_and_what_helps() {
    block_on(async {
        let (from, to) = (store(), store());
        let one = two_trees(&from).await;
        let bytes = bundle(&*from, "other").await;
        let refused = |error: &Error, at: u64, by: Id| {
            assert_eq!(error.kind(), treering_tree::ErrorKind::Conflict);
            assert!(error.to_string().contains("as a session of another name"), "{error}");
            let Error::AliasTaken { line, alias, existing } = error else { panic!("{error:?}") };
            assert_eq!((*line, alias.as_str(), *existing), (at, "a", by));
        };
        // By another entry of the bundle, where the store has neither of the trees.
        refused(&take(&*to, &bytes).await.unwrap_err(), 4, one);
        assert_eq!(to.stats().await.unwrap().entries, 0);
        take(&*to, &bundle(&*from, "base").await).await.unwrap();
        assert_eq!(take(&*to, &bytes).await.unwrap().added, 2);
        // By an entry of the session that has the name.
        let to = store();
        let there = session(&to, "base");
        let draft = there.draft(Kind::User, Message::text(Role::User, "else").body());
        let id = there.append(draft.alias("a"), Expect::Any).await.unwrap().ids[0];
        let bytes = bundle(&*from, "base").await;
        refused(&take(&*to, &bytes).await.unwrap_err(), 2, id);
        let options = BundleOptions { session: Some("base again"), at_ms: 0 };
        assert_eq!(import_bundle(&*to, &mut &bytes[..], options).await.unwrap().added, 1);
    });
}

#[test]
fn an_alias_that_two_trees_have_comes_again() {
    block_on(async {
        let (from, to) = (store(), store());
        two_trees(&from).await;
        take(&*to, &bundle(&*from, "base").await).await.unwrap();
        let bytes = bundle(&*from, "other").await;
        for (store, added) in [(&to, 2), (&to, 0), (&from, 0)] {
            assert_eq!(take(&**store, &bytes).await.unwrap().added, added);
            assert_eq!(everything(&**store, "other").await, everything(&*from, "other").await);
        }
        assert_eq!(to.verify().await.unwrap().problems, []);
    });
}

#[test]
fn branches_of_no_entry_travel_too() {
    block_on(async {
        let (from, to) = (store(), store());
        let there = session(&from, "s");
        let first = say(&there, Kind::User, "first").await;
        there.fork_branch("side", first).await.unwrap();
        there.rewind(None, Expect::Any).await.unwrap();
        let bytes = bundle(&*from, "s").await;
        let told = take(&*to, &bytes).await.unwrap();
        assert_eq!((told.heads, told.moved.len()), (2, 2));
        assert_eq!(everything(&*to, "s").await, everything(&*from, "s").await);
        assert_eq!(bundle(&*to, "s").await, bytes, "the same bundle again");
        assert_eq!(take(&*to, &bytes).await.unwrap().moved.len(), 0);
        // What has an entry by now is further on.
        let here = session(&to, "s");
        assert_eq!(here.info().await.unwrap().active, "side");
        let said = say(&here, Kind::User, "on").await;
        let told = take(&*to, &bytes).await.unwrap();
        assert_eq!((told.moved.len(), told.diverged.len()), (0, 0));
        assert_eq!(here.head().await.unwrap(), Some(said));
        let on = bundle(&*to, "s").await;
        assert_eq!(take(&*from, &on).await.unwrap().moved, ["side"]);
        // A session may have nothing else.
        let none = there.fork_session("none", first).await.unwrap();
        none.rewind(None, Expect::Any).await.unwrap();
        let bytes = bundle(&*from, "none").await;
        assert_eq!(take(&*to, &bytes).await.unwrap().moved, ["main"]);
        assert_eq!(everything(&*to, "none").await, everything(&*from, "none").await);
        // To leave the id out is not to say that there is none.
        let text = String::from_utf8(bytes).unwrap().replace(",\"id\":null", "");
        let refused = take(&*store(), text.as_bytes()).await.unwrap_err();
        assert!(matches!(refused, Error::Bundle { line: 2, .. }), "{refused}");
    });
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
        (bytes.clone() + "\n", lines.len() as u64),
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

#[test]
fn erased_entries_travel_without_their_bodies() {
    block_on(async {
        let (from, to) = (store(), store());
        history(&from).await;
        let whole = bundle(&*from, "fork").await;
        let first = from.scan(None, 0, 3).await.unwrap();
        let entries: Vec<Id> = first.iter().map(|stored| stored.entry.id()).collect();
        let erasure = Erasure {
            session: "fork".into(),
            entries: vec![entries[0], entries[2]],
            by: "me".into(),
            reason: "secret".into(),
            at_ms: 1,
        };
        from.erase(erasure).await.unwrap();
        let bytes = bundle(&*from, "fork").await;
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert_eq!((text.matches("\"erased\":").count(), text.contains("first")), (2, false));
        let report = take(&*to, &bytes).await.unwrap();
        assert_eq!((report.entries, report.added), (8, 8));
        assert_eq!(everything(&*to, "fork").await, everything(&*from, "fork").await);
        let report = to.verify().await.unwrap();
        assert_eq!((report.problems.len(), report.erased), (0, 2));
        let found = to.entries(&entries).await.unwrap();
        assert!(found[0].as_ref().unwrap().entry.body().is_none());
        assert_eq!(take(&*to, &bytes).await.unwrap().added, 0);
        assert_eq!(bundle(&*to, "fork").await, bytes, "the same bundle again");
        // What is erased stays erased, and what another store has stays whole.
        assert_eq!(take(&*to, &whole).await.unwrap().added, 0);
        assert!(to.entries(&entries).await.unwrap()[0].as_ref().unwrap().entry.body().is_none());
        let other = store();
        take(&*other, &whole).await.unwrap();
        assert_eq!(take(&*other, &bytes).await.unwrap().added, 2);
        assert!(other.entries(&entries).await.unwrap()[0].as_ref().unwrap().entry.body().is_some());
        // A commitment that is not the entry's.
        let at = text.find("\"erased\":\"").unwrap() + 10;
        let digit = if &text[at..=at] == "0" { "1" } else { "0" };
        let hostile = format!("{}{digit}{}", &text[..at], &text[at + 1..]);
        assert!(matches!(
            take(&*store(), hostile.as_bytes()).await,
            Err(Error::Bundle { line: 2, .. })
        ));
    });
}

#[test]
fn an_erased_entry_with_an_alias_travels_and_comes_again() {
    block_on(async {
        let (from, to) = (store(), store());
        let there = session(&from, "s");
        let draft = there.draft(Kind::User, Message::text(Role::User, "secret").body()).alias("a");
        let id = there.append(draft, Expect::Any).await.unwrap().ids[0];
        say(&there, Kind::Assistant, "answer").await;
        let (by, reason) = (String::new(), String::new());
        let erasure = Erasure { session: "s".into(), entries: vec![id], by, reason, at_ms: 1 };
        from.erase(erasure).await.unwrap();
        let bytes = bundle(&*from, "s").await;
        assert_eq!(take(&*to, &bytes).await.unwrap().added, 3);
        assert_eq!(take(&*to, &bytes).await.unwrap().added, 0);
        assert_eq!(to.with_alias("s", "a").await.unwrap(), Some(id));
    });
}

#[cfg(feature = "zstd")]
#[test]
fn a_compressed_bundle_is_the_same_bundle() {
    block_on(async {
        let (from, to) = (store(), store());
        history(&from).await;
        let there = session(&from, "fork");
        // More than one frame.
        for number in 0..100 {
            say(&there, Kind::User, &format!("{number} {}", "word ".repeat(20_000))).await;
        }
        let mut bytes = Vec::new();
        treering_interchange::export_bundle_zstd(&*from, "fork", &mut bytes).await.unwrap();
        assert!(bytes.len() < 2 << 20, "{} bytes", bytes.len());
        let report = take(&*to, &bytes).await.unwrap();
        assert_eq!(report.added, 106);
        assert_eq!(bundle(&*to, "fork").await, bundle(&*from, "fork").await);
        for cut in [5, 40, bytes.len() / 2, bytes.len() - 1] {
            let refused = take(&*store(), &bytes[..cut]).await.unwrap_err();
            assert!(matches!(refused, Error::Bundle { .. }), "{refused}");
        }
        for at in (4..bytes.len()).step_by(bytes.len() / 50) {
            let mut hostile = bytes.clone();
            hostile[at] ^= 0x55;
            let other = store();
            // Not every bit of a frame says something of what is in it.
            if take(&*other, &hostile).await.is_ok() {
                assert!(bundle(&*other, "fork").await == bundle(&*from, "fork").await, "byte {at}");
            }
        }
    });
}

#[test]
fn what_is_masked_shows_so_in_another_store_and_for_every_target() {
    block_on(async {
        let (from, to) = (store(), store());
        let one = session(&from, "one");
        say(&one, Kind::User, "look").await;
        let arguments = serde_json::json!({ "path": "src/a.rs" });
        let part = Part::ToolCall { id: "c".into(), name: "read".into(), arguments };
        let call = Message::new(Role::Assistant, vec![part]);
        let call = one.draft(Kind::Assistant, call.body()).calls(["c"]).tokens(9);
        let call = one.append(call, Expect::Any).await.unwrap().ids[0];
        let text = format!("{}needle{}", "x".repeat(900), "y".repeat(900));
        let part = Part::ToolResult { call: "c".into(), text, error: false };
        let result = Message::new(Role::Tool, vec![part]);
        let result = one.draft(Kind::ToolResult, result.body()).answers(["c"]).tokens(500);
        let result = one.append(result, Expect::Any).await.unwrap().ids[0];
        let body = Summary { text: "so far".into(), ..Summary::default() }.body();
        let masks = vec![Mask { entry: result, saved_tokens: 400 }];
        let compaction = one.draft(Kind::Compaction, body).target(call).tokens(1).masks(masks);
        one.append(compaction, Expect::Any).await.unwrap();
        take(&*to, &bundle(&*from, "one").await).await.unwrap();
        assert_eq!(everything(&*to, "one").await, everything(&*from, "one").await);
        let context = session(&to, "one").context().await.unwrap();
        assert_eq!(context.tokens, 1 + 9 + 100);
        let transcript = Transcript::of_context("one", &context);
        for target in Target::all() {
            let bytes = render(target, &transcript).bytes;
            let text = String::from_utf8(bytes).unwrap();
            let stub = format!("bytes masked: read src/a.rs; entry {}", result.short());
            assert!(text.contains(&stub) && !text.contains("needle"), "{target}");
        }
    });
}
