//! What was said is in no `Debug`, no error, no event and no span, at any level.

#![allow(clippy::unwrap_used, reason = "a test speaks by panicking")]

mod heard;

use std::sync::Arc;

use serde_json::json;
use treering_tree::{
    Body, Change, Content, Context, Erasure, Expect, Id, Kind, Label, MESSAGE_FORMAT, Memo,
    MemoWrite, Message, Move, Options, Part, Reason, RedbStore, Role, SUMMARY_FORMAT, Session,
    Sources, Store, Summary, To, Tombstone,
};

use self::heard::{CANARY, Heard};

/// Where a frame is past what its id is not of: version, flags, the first bytes of the id, and what its envelope has.
const FRAME_HEAD_BYTES: usize = 14;

fn said() -> Message {
    let text = || CANARY.to_owned();
    let parts = vec![
        Part::Text { text: text() },
        Part::Reasoning { text: text() },
        Part::ToolCall { id: text(), name: text(), arguments: json!({ CANARY: CANARY }) },
        Part::ToolResult { call: text(), text: text(), error: false },
        Part::Media { mime: text(), data: text() },
        Part::Other { name: text(), value: json!(CANARY) },
    ];
    let (model, stop) = (Some(text()), Some(text()));
    Message { model, stop, ..Message::new(Role::Assistant, parts) }
}

fn values(heard: &Heard) {
    let text = || CANARY.to_owned();
    let summary =
        Summary { text: text(), ledger: Some(json!(CANARY)), made_by: Some(json!(CANARY)) };
    let tombstone = Tombstone { by: text(), at_ms: 0, reason: text() };
    let erasure =
        Erasure { session: "s".into(), entries: vec![], by: text(), reason: text(), at_ms: 0 };
    let value: Memo = Some(CANARY.as_bytes().to_vec());
    let memo = MemoWrite { name: "m".into(), expect: Some(value.clone()), value };
    heard.hear(&(said(), summary.clone(), Label { name: text() }, tombstone, erasure, memo));
    heard.hear(&[said().body(), summary.body(), Label { name: text() }.body()]);
    // Bodies that are nearly of a format: what a parser says of them quotes them.
    let broken = [format!("\"{CANARY}\""), format!("{{\"role\":\"{CANARY}\"}}"), CANARY.to_owned()];
    for broken in broken {
        heard.error(&Message::from_body(&Body::new(MESSAGE_FORMAT, broken.clone())).unwrap_err());
        heard.error(&Summary::from_body(&Body::new(SUMMARY_FORMAT, broken)).unwrap_err());
    }
}

async fn operations(heard: &Heard, store: &Arc<dyn Store>) -> Id {
    let one = Session::new(Arc::clone(store), "one", Sources::fixed(1));
    let draft = |kind| one.draft(kind, said().body());
    let user = one.append(draft(Kind::User).alias("a"), Expect::Any).await.unwrap();
    let head = user.ids[0];
    heard.hear(&(draft(Kind::User), &user));
    for bad in [
        one.draft(Kind::User, Body::new("text", CANARY)).alias("a"),
        draft(Kind::Pin),
        draft(Kind::Note).calls(["c"]),
        draft(Kind::User).under(Some(Id::from_bytes([1; 32]))),
        draft(Kind::Compaction).target(Id::from_bytes([1; 32])),
        one.draft(Kind::Note, Body::new("", CANARY)),
    ] {
        heard.error(&one.append(bad, Expect::Any).await.unwrap_err());
    }
    heard.error(&one.append(draft(Kind::User), Expect::Empty).await.unwrap_err());
    let memo = |expect: Option<Memo>| Change {
        memos: vec![MemoWrite { name: "m".into(), expect, value: Some(CANARY.into()) }],
        entries: vec![draft(Kind::Note)],
        moves: vec![Move { branch: None, expect: Expect::Any, to: To::Last }],
        ..Change::new("one", Reason::Append, 0)
    };
    heard.hear(&memo(None));
    heard.hear(&store.commit(memo(None)).await.unwrap());
    heard.error(&store.commit(memo(Some(None))).await.unwrap_err());
    heard.hear(&one.label(head, CANARY).await.unwrap());
    heard.hear(&one.append(draft(Kind::Compaction).target(head), Expect::Any).await.unwrap());
    let stored = store.entries(&[head]).await.unwrap();
    if let Some(Content::Whole(whole)) = stored[0].as_ref().map(|it| it.entry.content().clone()) {
        heard.hear(&whole);
    }
    heard.hear(&stored);
    heard.hear(&(store.tail(head).await.unwrap(), Context::at(&**store, head).await.unwrap()));
    heard.hear(&(store.scan(None, 0, 9).await.unwrap(), store.path(head, 0..9).await.unwrap()));
    heard.hear(&(store.journal(0, 9).await.unwrap(), store.sessions(None, 9).await.unwrap()));
    heard.hear(&(store.verify().await.unwrap(), store.stats().await.unwrap(), store, &one));
    head
}

#[tokio::test]
async fn bodies_are_in_no_debug_no_error_and_no_event() {
    let heard = Heard::default();
    tracing::subscriber::set_global_default(heard.clone()).unwrap();
    tracing::trace!("heard");
    values(&heard);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let options = Options::new(Sources::fixed(3)).write_ahead(false);
    let store = Arc::new(RedbStore::open(&path, options.clone()).unwrap());
    let shared: Arc<dyn Store> = Arc::clone(&store) as _;
    let head = operations(&heard, &shared).await;
    heard.hear(&store.scrub(100).await.unwrap());
    drop((store, shared));
    // Damage in an entry, and what is told of it.
    let mut bytes = std::fs::read(&path).unwrap();
    // Every copy of its frame: a version, a flag, the first bytes of the id.
    for at in 0..bytes.len() - FRAME_HEAD_BYTES {
        if bytes[at] == 0xfa && bytes[at + 2..at + 10] == head.as_bytes()[..8] {
            bytes[at + FRAME_HEAD_BYTES] ^= 1;
        }
    }
    std::fs::write(&path, &bytes).unwrap();
    let store = RedbStore::open(&path, options.clone()).unwrap();
    heard.hear(&store.verify().await.unwrap());
    heard.hear(&store.scrub(100).await.unwrap());
    heard.error(&store.entries(&[head]).await.unwrap_err());
    let erasure = Erasure {
        session: "one".into(),
        entries: vec![head],
        by: CANARY.into(),
        reason: CANARY.into(),
        at_ms: 0,
    };
    heard.error(&store.erase(erasure).await.unwrap_err());
    drop(store);
    heard.error(&RedbStore::rewrite(&path, &options, &mut |_, _| {}).unwrap_err());
    let into = folder.path().join("new.redb");
    heard.hear(&RedbStore::recover(&path, into, &options, &mut |_, _| {}).unwrap());
    assert!(heard.text().len() > 10_000);
    heard.is_quiet(&["heard", "Stored"]);
}
