//! A store with trashed pages gives back every entry whose own bytes are whole, under its own id, and
//! says what is lost.

#![allow(clippy::unwrap_used, reason = "a test speaks by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use treering_tree::{
    Body, Expect, Id, Kind, Message, Options, RecoverReport, RedbStore, Role, Session, Sources,
    Store,
};

const PAGE: usize = 4096;

fn options() -> Options {
    Options::new(Sources::fixed(1)).write_ahead(false)
}

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }

    fn text(&mut self, len: usize) -> String {
        (0..len).map(|_| char::from(b'!' + u8::try_from(self.below(90)).unwrap())).collect()
    }
}

/// What a body holds, and nothing else in the file does.
fn needle(n: usize) -> String {
    format!("<entry number {n:06}>")
}

/// Sessions with turns, tool calls, rewinds, forks, pins and compactions. Answers ids and bodies.
async fn fill(store: &Arc<dyn Store>, entries: usize) -> BTreeMap<Id, Vec<u8>> {
    let mut rng = Rng(9);
    let mut bodies = BTreeMap::new();
    let mut sessions: Vec<Session> = (0..6)
        .map(|n| Session::new(Arc::clone(store), format!("session-{n}"), Sources::fixed(100 + n)))
        .collect();
    let mut n = 0;
    while n < entries {
        let session = sessions[rng.below(sessions.len())].clone();
        let mut group = Vec::new();
        for at in 0..=rng.below(5) {
            let len = [40, 300, 900, 3_000, 30_000][[0, 0, 0, 1, 1, 1, 2, 2, 3, 3][rng.below(10)]];
            let len = if rng.below(60) == 0 { 30_000 } else { len };
            let text = format!("{}{}", needle(n), rng.text(len));
            let (kind, call) = match at {
                0 => (Kind::User, None),
                1 | 3 => (Kind::Assistant, Some(format!("call-{at}"))),
                _ => (Kind::ToolResult, None),
            };
            let mut draft = session.draft(kind, Body::new("text", text)).tokens(10);
            draft = draft.alias(format!("alias-{n}"));
            match (kind, call) {
                (Kind::Assistant, Some(call)) => draft = draft.calls([call]),
                (Kind::ToolResult, _) => draft = draft.answers([format!("call-{}", at - 1)]),
                _ => {}
            }
            group.push(draft);
            n += 1;
        }
        let texts: Vec<Vec<u8>> = group.iter().map(|draft| draft.body().bytes.clone()).collect();
        let committed = session.append_all(group, Expect::Any).await.unwrap();
        bodies.extend(committed.ids.iter().copied().zip(texts));
        let path = session.replay().await.unwrap().collect().await.unwrap();
        let users: Vec<Id> = path
            .iter()
            .filter(|stored| stored.place.kind == Kind::User)
            .map(|stored| stored.entry.id())
            .collect();
        let old = users[rng.below(users.len())];
        match rng.below(40) {
            0 => drop(session.rewind(Some(old), Expect::Any).await.unwrap()),
            1 => drop(session.fork_branch(&format!("branch-{n}"), old).await.unwrap()),
            2 => sessions.push(session.fork_session(&format!("fork-{n}"), old).await.unwrap()),
            3 | 4 => {
                let draft = session.draft(Kind::Pin, Body::new("text", "")).target(old);
                session.append(draft, Expect::Any).await.unwrap();
            }
            5 | 6 => {
                let draft = session.draft(Kind::Compaction, Body::new("text", "sum")).tokens(5);
                let _ = session.append(draft.target(users[users.len() / 2]), Expect::Any).await;
            }
            _ => {}
        }
    }
    bodies
}

/// Trashes a hundredth of the pages, the first among them; answers whether each is whole.
fn trash(bytes: &mut [u8], seed: u64) -> Vec<bool> {
    let mut rng = Rng(seed);
    let used = 1 + bytes.iter().rposition(|byte| *byte != 0).unwrap() / PAGE;
    let mut whole = vec![true; bytes.len() / PAGE + 1];
    for nth in 0..used / 100 {
        let page = if nth == 0 { 0 } else { rng.below(used) };
        whole[page] = false;
        for byte in &mut bytes[page * PAGE..(page + 1) * PAGE] {
            *byte = u8::try_from(rng.below(256)).unwrap();
        }
    }
    whole
}

/// Whether a copy of this body, with the head of its frame, lies in whole pages.
fn is_whole(
    original: &[u8],
    body: &[u8],
    whole: &[bool],
    offsets: &BTreeMap<Vec<u8>, Vec<usize>>,
) -> bool {
    let offsets = offsets.get(&body[..needle(0).len()]).map_or(&[][..], Vec::as_slice);
    offsets.iter().any(|at| {
        let (from, to) = (at.saturating_sub(200), at + body.len());
        original[*at..].starts_with(body)
            && whole[from / PAGE..=(to - 1) / PAGE].iter().all(|whole| *whole)
    })
}

fn offsets(bytes: &[u8]) -> BTreeMap<Vec<u8>, Vec<usize>> {
    let mut found: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
    let len = needle(0).len();
    for at in 0..bytes.len() - len {
        if bytes[at..].starts_with(b"<entry number ") {
            found.entry(bytes[at..at + len].to_vec()).or_default().push(at);
        }
    }
    found
}

fn recovered(damaged: &Path, into: &Path) -> RecoverReport {
    let mut last = (0, 0);
    let report =
        RedbStore::recover(damaged, into, &options(), &mut |done, all| last = (done, all)).unwrap();
    assert_eq!((last.0, last.1), (report.bytes, report.bytes));
    report
}

async fn sound(store: &dyn Store, report: &RecoverReport) {
    assert!(!report.gone.iter().any(|gone| gone.contains("which is whole")), "{:#?}", report.gone);
    let verified = store.verify().await.unwrap();
    assert!(verified.problems.is_empty(), "{:#?}", verified.problems);
    assert_eq!((verified.lost, verified.entries), (report.lost, report.entries + report.lost));
    let counted: u64 = report.sessions.iter().map(|session| session.entries).sum();
    assert_eq!(counted, report.entries + report.lost);
}

#[tokio::test]
async fn undamaged_entries_come_back_from_trashed_pages() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(&path, options()).unwrap());
    let bodies = fill(&store, 4_000).await;
    drop(store);
    let original = std::fs::read(&path).unwrap();
    let offsets = offsets(&original);
    let (mut undamaged, mut back) = (0, 0);
    for seed in 1..=3 {
        let mut bytes = original.clone();
        let whole = trash(&mut bytes, seed);
        let damaged = folder.path().join(format!("damaged-{seed}.redb"));
        let into = folder.path().join(format!("recovered-{seed}.redb"));
        std::fs::write(&damaged, &bytes).unwrap();
        assert!(RedbStore::open(&damaged, options()).is_err(), "redb opens it");
        let report = recovered(&damaged, &into);
        let store = RedbStore::open(&into, options()).unwrap();
        sound(&store, &report).await;
        for (id, body) in &bodies {
            let stored = store.entries(&[*id]).await.unwrap().pop().flatten();
            let found = stored.as_ref().and_then(|stored| stored.entry.body());
            assert!(found.is_none_or(|found| found.bytes == *body));
            if is_whole(&original, body, &whole, &offsets) {
                undamaged += 1;
                back += usize::from(found.is_some());
            }
            assert!(found.is_some() || stored.is_none() || report.lost_ids.contains(id));
        }
    }
    assert!(undamaged > 8_000 && back * 1_000 >= undamaged * 999, "{back} of {undamaged}");
}

#[tokio::test]
async fn an_undamaged_store_comes_back_with_all_its_sessions_and_heads() {
    let folder = tempfile::tempdir().unwrap();
    let (path, into) = (folder.path().join("store.redb"), folder.path().join("new.redb"));
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(&path, options()).unwrap());
    fill(&store, 800).await;
    let stats = store.stats().await.unwrap();
    let mut heads = BTreeMap::new();
    for info in store.sessions(None, 1_000).await.unwrap() {
        let branches = store.branches(&info.name, None, 1_000).await.unwrap();
        heads.insert((info.name, info.active, info.entries), branches);
    }
    drop(store);
    let report = recovered(&path, &into);
    assert_eq!((report.entries, report.lost), (stats.entries, 0));
    assert_eq!((report.counted, report.guessed_tokens), (Some(stats.entries), 0));
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(&into, options()).unwrap());
    sound(&*store, &report).await;
    assert_eq!(store.sessions(None, 1_000).await.unwrap().len(), heads.len());
    for ((name, active, entries), branches) in heads {
        let info = store.session(&name).await.unwrap();
        assert_eq!((info.active, info.entries), (active, entries));
        let mut found = store.branches(&name, None, 1_000).await.unwrap();
        found.retain(|branch| !branch.name.starts_with("recovered-"));
        assert_eq!(found, branches, "{name}");
        // What was rewound is on a branch now, and the session goes on.
        let session = Session::new(Arc::clone(&store), name, Sources::fixed(77));
        let draft = session.draft(Kind::User, Message::text(Role::User, "on").body());
        session.append(draft, Expect::Any).await.unwrap();
    }
    let taken = RedbStore::recover(&path, &into, &options(), &mut |_, _| {}).unwrap_err();
    assert_eq!(taken.kind(), treering_tree::ErrorKind::Conflict);
}

#[tokio::test]
async fn entries_come_back_where_all_that_leads_to_them_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (path, into) = (folder.path().join("store.redb"), folder.path().join("new.redb"));
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(&path, options()).unwrap());
    let bodies = fill(&store, 300).await;
    drop(store);
    // Every first byte of a page is gone: no leaf can be told.
    let mut bytes = std::fs::read(&path).unwrap();
    let original = bytes.clone();
    for page in bytes.chunks_mut(PAGE) {
        page[..4].fill(0xee);
    }
    std::fs::write(&path, &bytes).unwrap();
    let report = recovered(&path, &into);
    let store = RedbStore::open(&into, options()).unwrap();
    sound(&store, &report).await;
    let offsets = offsets(&original);
    for (id, body) in &bodies {
        let crosses = |at: &usize| (at - 200) / PAGE != (at + body.len()) / PAGE;
        if offsets.get(&body[..needle(0).len()]).is_some_and(|at| !at.iter().all(crosses)) {
            let stored = store.entries(&[*id]).await.unwrap().pop().flatten().unwrap();
            assert_eq!(stored.entry.body().unwrap().bytes, *body);
        }
    }
    assert_eq!(report.sessions.len(), 1);
    assert!(report.guessed_tokens > 0 && report.sessions[0].recovered_branches > 0);
}

#[tokio::test]
async fn what_only_the_log_of_a_killed_store_holds_comes_back_whole() {
    let folder = tempfile::tempdir().unwrap();
    let [path, killed, into] = ["store", "killed", "into"].map(|name| folder.path().join(name));
    let store = Arc::new(RedbStore::open(&path, options()).unwrap());
    let session = Session::new(Arc::clone(&store) as Arc<dyn Store>, "one", Sources::fixed(2));
    let said = |text: String| session.draft(Kind::User, Body::new("text", text)).tokens(3);
    for n in 0..20 {
        session.append(said(needle(n)), Expect::Any).await.unwrap();
    }
    let head = session.head().await.unwrap().unwrap();
    session.fork_branch("side", head).await.unwrap();
    session.append(said(needle(20)), Expect::Any).await.unwrap();
    // What a killed process leaves: redb has saved nothing of all this.
    std::fs::copy(&path, &killed).unwrap();
    let report = recovered(&killed, &into);
    assert_eq!((report.entries, report.lost, report.guessed_tokens), (21, 0, 0), "{report:?}");
    let again = Arc::new(RedbStore::open(&into, options()).unwrap());
    sound(&*again, &report).await;
    let branches = |store: &Arc<RedbStore>| {
        let store = Arc::clone(store);
        async move { store.branches("one", None, 9).await.unwrap() }
    };
    assert_eq!(branches(&again).await, branches(&store).await);
    let restored = Session::new(again as Arc<dyn Store>, "one", Sources::fixed(3));
    let (old, new) = (session.context().await.unwrap(), restored.context().await.unwrap());
    let ids = |context: &treering_tree::Context| -> Vec<Id> {
        context.items.iter().map(|item| item.stored.entry.id()).collect()
    };
    assert_eq!(ids(&old), ids(&new));
}
