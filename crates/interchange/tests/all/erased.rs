//! Records whose bodies are not those of their file any more, erased or redacted ones, are known again when the
//! file is loaded again.

use std::collections::BTreeSet;
use std::sync::Arc;

use treering_interchange::{Input, SessionReport};
use treering_tree::redact::Redact;
use treering_tree::{Body, Erasure, Id, Options, RedbStore, Sources, Store, Stored};

use crate::kit::{block_on, load_bytes, samples, store, try_load};

const FOLDERS: [&str; 12] = [
    "atif",
    "claude-code",
    "cline",
    "codex",
    "copilot-cli",
    "gemini",
    "kimi",
    "opencode",
    "openhands",
    "pi",
    "qwen-code",
    "swe-agent",
];

fn said(nth: usize) -> String {
    let parent = nth.checked_sub(1).map_or("null".to_owned(), |nth| format!("\"u{nth}\""));
    format!(
        "{{\"type\":\"user\",\"uuid\":\"u{nth}\",\"parentUuid\":{parent},\"sessionId\":\"s\",\
         \"timestamp\":\"2026-01-01T00:00:00Z\",\
         \"message\":{{\"role\":\"user\",\"content\":\"said {nth}\"}}}}\n"
    )
}

async fn all(store: &RedbStore) -> Vec<Stored> {
    store.scan(None, 0, 10_000).await.unwrap()
}

async fn erase(store: &RedbStore, session: &str, entries: Vec<Id>) {
    let (by, reason) = ("test".to_owned(), "asked for".to_owned());
    let erasure = Erasure { session: session.to_owned(), entries, by, reason, at_ms: 1 };
    store.erase(erasure).await.unwrap();
}

/// Entries that were erased, by what is known of them.
async fn without_body(store: &RedbStore) -> BTreeSet<Id> {
    let all = all(store).await.into_iter().filter(|stored| stored.entry.body().is_none());
    all.map(|stored| stored.entry.id()).collect()
}

#[test]
fn what_was_erased_does_not_come_back_with_its_file() {
    const RECORDS: usize = 5;
    let lines: String = (0..RECORDS).map(said).collect();
    // The first entry is the one that says which file it is.
    let cases: [&[usize]; 9] = [
        &[1],
        &[3],
        &[5],
        &[2, 3],
        &[1, 2, 3, 4, 5],
        &[0, 1, 2, 3, 4, 5],
        &[0],
        &[0, 1],
        &[0, 3, 4],
    ];
    for case in cases {
        block_on(async {
            let store = store();
            let first = load_bytes(&*store, "s.jsonl", lines.as_bytes()).await;
            let loaded = all(&store).await;
            assert_eq!(loaded.len(), 1 + RECORDS);
            let gone: Vec<Id> = case.iter().map(|nth| loaded[*nth].entry.id()).collect();
            erase(&store, &first.session, gone.clone()).await;
            let before = all(&store).await.len();
            for _ in 0..2 {
                let again = load_bytes(&*store, "s.jsonl", lines.as_bytes()).await;
                assert_eq!((&again.session, again.added), (&first.session, 0), "{case:?}");
                assert_eq!(again.repairs, [], "{case:?}");
                assert_eq!(all(&store).await.len(), before, "{case:?}");
            }
            let longer = format!("{lines}{}", said(RECORDS));
            for added in [1, 0] {
                let grown = load_bytes(&*store, "s.jsonl", longer.as_bytes()).await;
                assert_eq!((&grown.session, grown.added), (&first.session, added), "{case:?}");
            }
            assert_eq!(without_body(&store).await, gone.into_iter().collect(), "{case:?}");
            assert_eq!(store.verify().await.unwrap().problems, [], "{case:?}");
        });
    }
}

async fn load(store: &Arc<RedbStore>, sample: &std::path::Path) -> Vec<SessionReport> {
    try_load(&**store, vec![Input::Path(sample.to_owned())], None).await.unwrap()
}

#[test]
fn nothing_erased_of_a_sample_comes_back_whatever_its_format() {
    let samples = FOLDERS.iter().filter_map(|folder| samples(folder).into_iter().next());
    // The first entry says which file it is.
    for (sample, from) in samples.flat_map(|sample| [(sample.clone(), 0), (sample, 1)]) {
        block_on(async {
            let store = store();
            let first = load(&store, &sample).await;
            let loaded = all(&store).await;
            let gone: Vec<Id> =
                loaded.iter().skip(from).step_by(3).map(|stored| stored.entry.id()).collect();
            erase(&store, &first[0].session, gone).await;
            let before = all(&store).await.len();
            let again = load(&store, &sample).await;
            let added: u64 = again.iter().map(|report| report.added).sum();
            assert_eq!((again.len(), added), (first.len(), 0), "{}", sample.display());
            assert_eq!(all(&store).await.len(), before, "{}", sample.display());
        });
    }
}

/// Puts a longer text in the place of a word.
#[derive(Debug)]
struct Hides;

impl Redact for Hides {
    fn redact(&self, body: &Body) -> Option<Body> {
        let text = std::str::from_utf8(&body.bytes).ok().filter(|text| text.contains("said 1"))?;
        Some(Body::new(body.format.clone(), text.replace("said 1", "[something was said]")))
    }
}

/// Ids within the file go on through as many changes as it takes.
#[test]
fn what_is_redacted_is_known_again() {
    const RECORDS: usize = 4_500;
    block_on(async {
        let options = Options::new(Sources::fixed(7)).redact(Arc::new(Hides));
        let store = RedbStore::in_memory(options).unwrap();
        let lines: String = (0..RECORDS).map(said).collect();
        let first = load_bytes(&store, "s.jsonl", lines.as_bytes()).await;
        assert_eq!(first.added, RECORDS as u64);
        let head = store.session(&first.session).await.unwrap().head.unwrap();
        assert_eq!(store.measure(head).await.unwrap().head.depth, RECORDS as u64 - 1);
        let longer = format!("{lines}{}", said(RECORDS));
        for (file, added) in [(&lines, 0), (&longer, 1), (&longer, 0)] {
            let again = load_bytes(&store, "s.jsonl", file.as_bytes()).await;
            assert_eq!((&again.session, again.added), (&first.session, added));
            assert_eq!(again.repairs, []);
        }
        let bodies = all(&store).await.into_iter().filter_map(|it| it.entry.body().cloned());
        let hidden = |body: &Body| body.bytes.windows(6).any(|window| window == b"said 1");
        assert!(!bodies.into_iter().any(|body| hidden(&body)));
        assert_eq!(store.verify().await.unwrap().problems, []);
    });
}
