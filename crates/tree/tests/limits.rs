//! Each limit holds at its value and is refused one past it, and the table in `docs/reliability.md` is the
//! code's.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test speaks by panicking")]

use std::sync::Arc;

use treering_tree::{
    Body, Change, Draft, Error, ErrorKind, Expect, Kind, Mask, MemoWrite, Move, Options, Reason,
    RedbStore, Session, Sources, Store, To, limits,
};

const TABLE: [(&str, u64); 13] = [
    ("BODY_BYTES", limits::BODY_BYTES),
    ("NAME_BYTES", limits::NAME_BYTES),
    ("CALLS_PER_ENTRY", limits::CALLS_PER_ENTRY),
    ("MASKS_PER_ENTRY", limits::MASKS_PER_ENTRY),
    ("OPEN_CALLS", limits::OPEN_CALLS),
    ("ACTIVE_PINS", limits::ACTIVE_PINS),
    ("ENTRIES_PER_CHANGE", limits::ENTRIES_PER_CHANGE),
    ("CHANGE_BYTES", limits::CHANGE_BYTES),
    ("MOVES_PER_CHANGE", limits::MOVES_PER_CHANGE),
    ("MEMO_BYTES", limits::MEMO_BYTES),
    ("MEMOS_PER_CHANGE", limits::MEMOS_PER_CHANGE),
    ("PAGE", limits::PAGE as u64),
    ("QUEUED_CHANGES", limits::QUEUED_CHANGES as u64),
];

#[test]
fn the_table_of_the_document_is_the_code() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/");
    let code = std::fs::read_to_string(format!("{root}src/limits.rs")).unwrap();
    let document = std::fs::read_to_string(format!("{root}../../docs/reliability.md")).unwrap();
    let constants = code.lines().filter_map(|line| line.strip_prefix("pub const "));
    let constants: Vec<_> = constants.map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(constants, TABLE.map(|(name, _)| name));
    let table = document.split("| limit | value | of |").nth(1).unwrap();
    let rows = table.lines().skip(2).map_while(|line| line.strip_prefix("| `"));
    let rows: Vec<_> = rows.map(|row| row.rsplit_once(" | ").unwrap().0.to_owned()).collect();
    assert_eq!(rows, TABLE.map(|(name, value)| format!("{name}` | {value}")));
}

fn store() -> (Arc<dyn Store>, Session) {
    let store = RedbStore::in_memory(Options::new(Sources::fixed(1))).unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    (Arc::clone(&store), Session::new(store, "one", Sources::fixed(2)))
}

fn name(len: u64) -> String {
    "n".repeat(usize::try_from(len).unwrap())
}

fn names(count: u64) -> Vec<String> {
    (0..count).map(|n| format!("name-{n}")).collect()
}

fn note(session: &Session) -> Draft {
    session.draft(Kind::Note, Body::new("text", "x"))
}

/// What is one past a limit is refused for that, and leaves nothing; what is at it goes through.
async fn holds(store: &Arc<dyn Store>, limit: u64, change: impl Fn(u64) -> Change) {
    let before = store.stats().await.unwrap();
    match store.commit(change(limit + 1)).await.unwrap_err() {
        Error::TooLarge { limit: told, found, .. } => assert_eq!((told, found), (limit, limit + 1)),
        other => panic!("expected the limit of {limit}, found {other}"),
    }
    assert_eq!(store.stats().await.unwrap(), before);
    store.commit(change(limit)).await.unwrap();
}

fn append(entries: Vec<Draft>) -> Change {
    let moves = vec![Move { branch: None, expect: Expect::Any, to: To::Last }];
    Change { entries, moves, ..Change::new("one", Reason::Append, 0) }
}

#[tokio::test]
async fn names_and_calls() {
    let (store, one) = store();
    let limit = limits::NAME_BYTES;
    holds(&store, limit, |n| append(vec![note(&one).alias(name(n))])).await;
    holds(&store, limit, |n| {
        append(vec![one.draft(Kind::SystemPrompt, Body::new("text", "x")).slot(name(n))])
    })
    .await;
    holds(&store, limit, |n| append(vec![one.draft(Kind::Note, Body::new(name(n), "x"))])).await;
    holds(&store, limit, |n| {
        append(vec![one.draft(Kind::ToolResult, Body::new("text", "x")).answers([name(n)])])
    })
    .await;
    holds(&store, limit, |n| Change { session: name(n), ..append(vec![note(&one)]) }).await;
    holds(&store, limit, |n| {
        let moves = vec![Move { branch: Some(name(n)), expect: Expect::Any, to: To::Last }];
        Change { moves, ..append(vec![note(&one)]) }
    })
    .await;
    holds(&store, limits::CALLS_PER_ENTRY, |n| {
        append(vec![one.draft(Kind::ToolResult, Body::new("text", "x")).answers(names(n))])
    })
    .await;
    holds(&store, limits::CALLS_PER_ENTRY, |n| {
        append(vec![one.draft(Kind::Assistant, Body::new("text", "x")).calls(names(n))])
    })
    .await;
}

#[tokio::test]
async fn labels() {
    let (store, one) = store();
    let id = store.commit(append(vec![note(&one)])).await.unwrap().ids[0];
    let before = store.stats().await.unwrap();
    let refused = one.label(id, &name(limits::NAME_BYTES + 1)).await.unwrap_err();
    assert!(matches!(refused, Error::TooLarge { limit: limits::NAME_BYTES, found: 257, .. }));
    assert_eq!(one.label(id, "a\u{1b}b").await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(store.stats().await.unwrap(), before);
    one.label(id, &name(limits::NAME_BYTES)).await.unwrap();
    one.label(id, "").await.unwrap();
}

#[tokio::test]
async fn masks() {
    let (store, one) = store();
    let caller =
        |n: u64| one.draft(Kind::Assistant, Body::new("text", "x")).calls([format!("call-{n}")]);
    let callers = (0..limits::MASKS_PER_ENTRY).map(caller).collect();
    let ids = store.commit(append(callers)).await.unwrap().ids;
    let known = [&ids[..], &ids[..1]].concat();
    holds(&store, limits::MASKS_PER_ENTRY, |n| {
        let masked = known.iter().take(usize::try_from(n).unwrap());
        let masks = masked.map(|id| Mask { entry: *id, saved_tokens: 0 }).collect();
        let draft = one.draft(Kind::Compaction, Body::new("text", "x")).target(ids[0]);
        append(vec![draft.masks(masks)])
    })
    .await;
}

#[tokio::test]
async fn memos() {
    let (store, one) = store();
    let memos = |names: Vec<String>, len: u64| {
        let value = Some(vec![7; usize::try_from(len).unwrap()]);
        let memo = |name| MemoWrite { name, expect: None, value: value.clone() };
        Change { memos: names.into_iter().map(memo).collect(), ..append(vec![note(&one)]) }
    };
    holds(&store, limits::MEMO_BYTES, |n| memos(names(1), n)).await;
    holds(&store, limits::MEMOS_PER_CHANGE, |n| memos(names(n), 1)).await;
    holds(&store, limits::NAME_BYTES, |n| memos(vec![name(n)], 1)).await;
}

#[tokio::test]
async fn changes_and_pages() {
    let (store, one) = store();
    holds(&store, limits::ENTRIES_PER_CHANGE, |n| append((0..n).map(|_| note(&one)).collect()))
        .await;
    holds(&store, limits::MOVES_PER_CHANGE, |n| {
        let to_last = |branch| Move { branch: Some(branch), expect: Expect::Any, to: To::Last };
        Change { moves: names(n).into_iter().map(to_last).collect(), ..append(vec![note(&one)]) }
    })
    .await;
    let more = 2 * limits::PAGE;
    let page = store.scan(None, 0, more).await.unwrap();
    let head = page[page.len() - 1].entry.id();
    assert_eq!(page.len(), limits::PAGE);
    assert_eq!(store.branches("one", None, more).await.unwrap().len(), limits::PAGE);
    assert_eq!(store.path(head, 0..u64::MAX).await.unwrap().len(), limits::PAGE);
    assert_eq!(store.with_prefix("0".parse().unwrap(), 3).await.unwrap().len(), 3);
    holds(&store, limits::CHANGE_BYTES, |n| {
        let body = |len: u64| Body::new("zeros", vec![0; usize::try_from(len).unwrap()]);
        // Clones of a draft share the body.
        let big = one.draft(Kind::Note, body(limits::BODY_BYTES));
        let mut left = n;
        let mut entries = Vec::new();
        while left > 0 {
            let small = left < limits::BODY_BYTES;
            let draft = if small { one.draft(Kind::Note, body(left)) } else { big.clone() };
            entries.push(draft.alias(format!("zeros-{n}-{left}")));
            left -= left.min(limits::BODY_BYTES);
        }
        append(entries)
    })
    .await;
}

#[tokio::test]
async fn open_calls_and_pins() {
    let (store, one) = store();
    let caller =
        |calls: Vec<String>| one.draft(Kind::Assistant, Body::new("text", "x")).calls(calls);
    holds(&store, limits::OPEN_CALLS, |n| {
        let calls = names(n);
        let chunks = calls.chunks(usize::try_from(limits::CALLS_PER_ENTRY).unwrap());
        append(chunks.map(|calls| caller(calls.to_vec())).collect())
    })
    .await;
    let user = || one.draft(Kind::User, Body::new("text", "x"));
    holds(&store, limits::ACTIVE_PINS, |n| {
        let mut entries: Vec<Draft> = Vec::new();
        let mut under = None;
        let mut targets = Vec::new();
        for _ in 0..n {
            let draft = user().under(under);
            let id = draft.id_under(under);
            (under, targets) = (Some(id), [targets, vec![id]].concat());
            entries.push(draft);
        }
        for target in targets {
            entries.push(one.draft(Kind::Pin, Body::new("text", "")).target(target));
        }
        entries.push(one.draft(Kind::Compaction, Body::new("text", "sum")));
        append(entries)
    })
    .await;
}
