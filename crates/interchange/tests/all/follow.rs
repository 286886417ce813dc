//! Files that are followed while they grow.

use treering_interchange::{Follow, Options};

use crate::kit::{block_on, shown, store};

const HEADER: &str =
    r#"{"type":"session","version":3,"id":"s","timestamp":"2026-01-01T00:00:00Z","cwd":"/"}"#;

fn said(id: &str, parent: Option<&str>, text: &str) -> String {
    let parent = parent.map_or("null".to_owned(), |parent| format!("{parent:?}"));
    format!(
        r#"{{"type":"message","id":"{id}","parentId":{parent},"message":{{"role":"user","content":"{text}"}}}}"#
    )
}

#[test]
fn a_growing_file_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.jsonl");
    let store = store();
    let mut follow = Follow::new([folder.path().to_owned()]);
    let mut poll = || {
        let options =
            Options { count: &|_| 1_u32.into(), format: None, at_ms: 0, progress: &mut |_| {} };
        let reports = block_on(follow.poll(&*store, options)).unwrap();
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
