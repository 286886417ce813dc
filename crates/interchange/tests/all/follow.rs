//! Files that are followed while they grow.

use treering_interchange::RepairKind::{GluedRecords, MovedBranch};
use treering_interchange::{Follow, Options, SessionReport};
use treering_tree::{Erasure, Session, Sources, Store};

use crate::kit::{aliases, block_on, exported, repairs, shown, store};

const HEADER: &str =
    r#"{"type":"session","version":3,"id":"s","timestamp":"2026-01-01T00:00:00Z","cwd":"/"}"#;

fn said(id: &str, parent: Option<&str>, text: &str) -> String {
    let parent = parent.map_or("null".to_owned(), |parent| format!("{parent:?}"));
    format!(
        r#"{{"type":"message","id":"{id}","parentId":{parent},"message":{{"role":"user","content":"{text}"}}}}"#
    )
}

fn polled(follow: &mut Follow, store: &dyn Store) -> Vec<SessionReport> {
    let options =
        Options { count: &|_| 1_u32.into(), format: None, at_ms: 0, progress: &mut |_| {} };
    block_on(follow.poll(store, options)).unwrap()
}

#[test]
fn a_growing_file_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.jsonl");
    let store = store();
    let mut follow = Follow::new([folder.path().to_owned()]);
    let mut poll = || {
        let reports = polled(&mut follow, &*store);
        reports.iter().map(|report| report.added).collect::<Vec<_>>()
    };
    assert_eq!(poll(), [] as [u64; 0]);
    let mut text = format!("{HEADER}\n{}\n", said("a", None, "one"));
    std::fs::write(&path, &text).unwrap();
    assert_eq!(poll(), [2]);
    assert_eq!(poll(), [] as [u64; 0], "nothing changed");
    text.push_str(&said("b", Some("a"), "two"));
    std::fs::write(&path, &text).unwrap();
    assert_eq!(poll(), [1]);
    assert_eq!(block_on(shown(&*store, "s", "main")).len(), 2);
}

#[test]
fn what_is_still_written_waits_until_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.jsonl");
    let store = store();
    let mut follow = Follow::new([path.clone()]);
    let mut poll = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let report = polled(&mut follow, &*store).pop().unwrap();
        (report.added, repairs(&report))
    };
    let call = r#"{"type":"message","id":"c","parentId":"a","message":{"role":"assistant","content":[{"type":"toolCall","id":"1","name":"ls","arguments":{}}]}}"#;
    let result = r#"{"type":"message","id":"r","parentId":"c","message":{"role":"toolResult","toolCallId":"1","content":"x"}}"#;
    let begun = format!("{HEADER}\n{}\n", said("a", None, "one"));
    assert_eq!(poll(&begun), (2, vec![]));
    // A torn end, however often it grows; then the whole line, whose call is not answered yet.
    assert_eq!(poll(&format!("{begun}{}", &call[..30])), (0, vec![]));
    assert_eq!(poll(&format!("{begun}{}", &call[..60])), (0, vec![]));
    let called = format!("{begun}{call}\n");
    assert_eq!(poll(&called), (1, vec![]));
    let answered = format!("{called}{result}\n");
    assert_eq!(poll(&answered), (1, vec![]));
    // Two records on a line of which one is whole; damage in the middle is no end.
    assert_eq!(poll(&format!("{answered}{}{}", said("d", Some("r"), "two"), "{\"ty")).0, 1);
    let export = block_on(exported(&*store, "s", 0));
    assert_eq!(export, format!("{answered}{}", said("d", Some("r"), "two")).into_bytes());
    let whole = format!("{answered}{}{}\n", said("d", Some("r"), "two"), said("e", Some("d"), "3"));
    assert_eq!(poll(&whole), (1, vec![(GluedRecords, 5)]));
    assert_eq!(block_on(exported(&*store, "s", 0)), whole.into_bytes());
}

#[test]
fn files_come_and_go_once_they_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.jsonl");
    let mut follow = Follow::new([path.clone()]);
    assert!(follow.changed(None).is_err(), "a path that never was is a mistake");
    std::fs::write(&path, format!("{HEADER}\n")).unwrap();
    let changed = follow.changed(None).unwrap();
    assert_eq!(changed.len(), 1);
    assert_eq!(follow.changed(None).unwrap().len(), 1, "not loaded yet");
    follow.saw(&changed);
    assert!(follow.changed(None).unwrap().is_empty());
    std::fs::remove_file(&path).unwrap();
    assert!(follow.changed(None).unwrap().is_empty());
}

/// A label and a tombstone are entries: `main` has something that is not of the file.
#[test]
fn behind_a_label_or_a_tombstone_the_file_goes_on_beside_main() {
    for erases in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.jsonl");
        let store = store();
        let mut follow = Follow::new([path.clone()]);
        let mut poll = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let report = polled(&mut follow, &*store).pop().unwrap();
            (report.added, report.repairs_of(MovedBranch))
        };
        let mut text =
            format!("{HEADER}\n{}\n{}\n", said("a", None, "one"), said("b", Some("a"), "two"));
        assert_eq!(poll(&text), (3, 0));
        block_on(async {
            let session = Session::new(store.clone(), "s", Sources::fixed(3));
            let head = session.head().await.unwrap().unwrap();
            if erases {
                let (by, reason) = ("me".to_owned(), "asked for".to_owned());
                let (session, entries) = ("s".to_owned(), vec![head]);
                store.erase(Erasure { session, entries, by, reason, at_ms: 1 }).await.unwrap();
            } else {
                session.label(head, "named").await.unwrap();
            }
        });
        let main = block_on(aliases(&store, "s", "main"));
        for (id, parent) in [("c", "b"), ("d", "c")] {
            text.push_str(&said(id, Some(parent), "more"));
            text.push('\n');
            assert_eq!(poll(&text), (1, 1), "erases: {erases}");
        }
        assert_eq!(block_on(aliases(&store, "s", "main")), main, "it stays");
        let upstream = block_on(aliases(&store, "s", "upstream"));
        assert_eq!(upstream[upstream.len() - 4..], ["a", "b", "c", "d"]);
        if !erases {
            assert_eq!(block_on(exported(&*store, "s", 0)), text.as_bytes());
        }
    }
}
