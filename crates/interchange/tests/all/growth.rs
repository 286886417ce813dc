//! Files that change between two loads: what is there stays, what is new comes in, and the export is
//! always the file as it was loaded last.

use std::path::Path;

use proptest::prelude::*;
use treering_interchange::{Input, RepairKind, message, plain_text};
use treering_tree::{Expect, Kind, MAIN, Message, Reason, Role, Session, Sources, Store};

use crate::kit::{
    aliases, block_on, branch_names, exported, load_bytes, path, repairs, samples, store, try_load,
};

/// The bodies on the path of `main`.
async fn conversation(
    store: &std::sync::Arc<treering_tree::RedbStore>,
    session: &str,
) -> Vec<Vec<u8>> {
    let path = path(store, session, MAIN).await;
    path.iter().map(|stored| stored.entry.body().unwrap().bytes.trim_ascii().to_vec()).collect()
}

async fn grows(name: &str, whole: &[u8], cuts: &[usize]) {
    let fresh = store();
    let expected = load_bytes(&*fresh, name, whole).await;
    let grown = store();
    let mut added = 0;
    for cut in cuts {
        // The beginning of a first line tells no format.
        if let Ok(mut reports) = try_load(&*grown, vec![part(name, &whole[..*cut])], None).await {
            let report = reports.remove(0);
            if report.session != expected.session {
                // Before the first session id, the file's name is the session's.
                return;
            }
            added += report.added;
            assert!(
                exported(&*grown, &report.session, 0).await == whole[..*cut],
                "{name} cut at {cut}"
            );
        }
    }
    let report = load_bytes(&*grown, name, whole).await;
    added += report.added;
    assert!(exported(&*grown, &report.session, 0).await == whole, "{name} cut at {cuts:?}");
    // How many bytes a piece has depends on where the file was cut: before a line end or behind it.
    assert_eq!(repairs(&report), repairs(&expected), "{name} cut at {cuts:?}");
    assert!(added <= expected.added + cuts.len() as u64, "{name}: only a torn line comes twice");
    assert_eq!(
        conversation(&grown, &report.session).await,
        conversation(&fresh, &report.session).await
    );
    assert_eq!(load_bytes(&*grown, name, whole).await.added, 0);
    assert_eq!(grown.verify().await.unwrap().problems, []);
}

fn part(name: &str, bytes: &[u8]) -> Input {
    Input::Bytes { name: name.to_owned(), bytes: bytes.to_vec() }
}

fn small_samples() -> Vec<(String, Vec<u8>)> {
    let folders = ["pi", "claude-code", "codex", "qwen-code", "copilot-cli", "kimi"];
    let all = folders.into_iter().flat_map(samples);
    all.map(|path| (path.to_str().unwrap().to_owned(), std::fs::read(&path).unwrap()))
        .filter(|(_, bytes)| bytes.len() < 200_000)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 4))]

    #[test]
    fn a_file_may_be_cut_anywhere_between_two_loads(pick: usize, mut places in prop::collection::vec(0.0..1.0_f64, 1..4)) {
        let samples = small_samples();
        if !samples.is_empty() {
            let (name, bytes) = &samples[pick % samples.len()];
            places.sort_by(f64::total_cmp);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a small file")]
            let cuts: Vec<usize> = places.iter().map(|place| (bytes.len() as f64 * place) as usize).collect();
            block_on(grows(name, bytes, &cuts));
        }
    }
}

const HEAD: &str = "\"sessionId\":\"s\",\"message\":{\"role\":\"user\",\"content\":";

fn said(uuid: &str, parent: &str) -> String {
    format!(
        "{{\"type\":\"user\",\"uuid\":\"{uuid}\",\"parentUuid\":{parent},{HEAD}\"{uuid}\"}}}}\n"
    )
}

#[test]
fn a_line_without_its_end_grows_by_the_end_alone() {
    let lines = said("u1", "null") + &said("u2", "\"u1\"");
    block_on(async {
        let store = store();
        let first = load_bytes(&*store, "s.jsonl", lines.trim_end().as_bytes()).await;
        assert_eq!((first.added, first.repairs.len()), (2, 0));
        let whole = lines + &said("u3", "\"u2\"");
        let second = load_bytes(&*store, "s.jsonl", whole.as_bytes()).await;
        assert_eq!((second.added, second.entries), (1, 3));
        assert_eq!(aliases(&store, "s", MAIN).await.join(" "), "u1 u2 u3");
        assert_eq!(exported(&*store, "s", 0).await, whole.as_bytes());
    });
}

#[test]
fn a_rewritten_file_keeps_what_it_was_and_exports_what_it_is() {
    let before = said("u1", "null") + &said("u2", "\"u1\"") + &said("u3", "\"u2\"");
    let after = before.replace("\"u2\"}", "\"other\"}");
    block_on(async {
        let store = store();
        load_bytes(&*store, "s.jsonl", before.as_bytes()).await;
        let report = load_bytes(&*store, "s.jsonl", after.as_bytes()).await;
        assert_eq!((report.added, report.repairs_of(RepairKind::RewrittenFile)), (2, 1));
        assert_eq!(exported(&*store, "s", 0).await, after.as_bytes());
        assert_eq!(aliases(&store, "s", MAIN).await.join(" "), "u1 u2 u3");
        assert_eq!(branch_names(&*store, "s").await, ["file", "main", "main-replaced-1"]);
        let kept = path(&store, "s", "main-replaced-1").await;
        let text = plain_text(&message(Kind::User, kept[1].entry.body().unwrap()));
        assert_eq!(text, "u2");
        assert_eq!(load_bytes(&*store, "s.jsonl", after.as_bytes()).await.added, 0);
    });
}

#[test]
fn a_shorter_file_takes_nothing_away() {
    let whole = said("u1", "null") + &said("u2", "\"u1\"");
    block_on(async {
        let store = store();
        load_bytes(&*store, "s.jsonl", whole.as_bytes()).await;
        for len in [whole.len() - 1, whole.len() / 2 + 3] {
            let report = load_bytes(&*store, "s.jsonl", &whole.as_bytes()[..len]).await;
            assert_eq!((report.added, report.repairs_of(RepairKind::ShrunkFile)), (0, 1), "{len}");
        }
        assert_eq!(aliases(&store, "s", MAIN).await.join(" "), "u1 u2");
        assert_eq!(exported(&*store, "s", 0).await, whole.as_bytes());
    });
}

#[test]
fn another_conversation_of_the_same_name_is_another_session() {
    block_on(async {
        let store = store();
        let one = load_bytes(&*store, "s.jsonl", said("u1", "null").as_bytes()).await;
        let two = load_bytes(&*store, "s.jsonl", said("v1", "null").as_bytes()).await;
        assert_eq!((one.session.as_str(), two.session.as_str()), ("s", "s~2"));
        for (session, lines) in [("s", said("u1", "null")), ("s~2", said("v1", "null"))] {
            let again = load_bytes(&*store, "s.jsonl", lines.as_bytes()).await;
            assert_eq!((again.session.as_str(), again.added), (session, 0));
        }
    });
}

#[test]
fn a_branch_that_went_on_in_the_store_stays_and_the_file_goes_on_beside_it() {
    let lines = said("u1", "null");
    block_on(async {
        let store = store();
        load_bytes(&*store, "s.jsonl", lines.as_bytes()).await;
        let session = Session::new(store.clone(), "s", Sources::fixed(3));
        let own = session.draft(Kind::Assistant, Message::text(Role::Assistant, "own").body());
        session.append(own, Expect::Any).await.unwrap();
        let unchanged = load_bytes(&*store, "s.jsonl", lines.as_bytes()).await;
        assert_eq!((unchanged.added, unchanged.repairs.len()), (0, 0));
        let grown = lines + &said("u2", "\"u1\"");
        let report = load_bytes(&*store, "s.jsonl", grown.as_bytes()).await;
        assert_eq!((report.added, report.repairs_of(RepairKind::MovedBranch)), (1, 1));
        assert_eq!(aliases(&store, "s", MAIN).await.join(" "), "u1 -");
        assert_eq!(aliases(&store, "s", "upstream").await.join(" "), "u1 u2");
        assert_eq!(exported(&*store, "s", 0).await, grown.as_bytes());
        let row = store.journal(0, 100).await.unwrap().pop().unwrap();
        assert_eq!(row.reason, Reason::Import);
    });
}

/// A projects folder: a session, two subagents, a sidecar, and a file that is no session.
fn project(root: &Path) -> Vec<(&'static str, String)> {
    let session = "11111111-2222-3333-4444-555555555555";
    let agent = |uuid: &str| {
        format!(
            "{{\"type\":\"user\",\"uuid\":\"{uuid}\",\"parentUuid\":null,\"isSidechain\":true,{HEAD}\"{uuid}\"}}}}\n"
        )
    };
    let files = vec![
        ("11111111-2222-3333-4444-555555555555.jsonl", said("u1", "null") + &said("u2", "\"u1\"")),
        ("11111111-2222-3333-4444-555555555555/subagents/agent-a1.jsonl", agent("x1")),
        (
            "11111111-2222-3333-4444-555555555555/subagents/agent-a1.meta.json",
            "{\n  \"agentType\": \"x\"\n}".to_owned(),
        ),
        ("11111111-2222-3333-4444-555555555555/subagents/workflows/w/agent-b2.jsonl", agent("y1")),
        ("notes.txt", "not a session".to_owned()),
    ];
    for (name, text) in &files {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    assert!(root.join(session).is_dir());
    files
}

#[test]
fn a_projects_folder_is_one_session_per_file_with_its_subagents() {
    let root = tempfile::tempdir().unwrap();
    let files = project(root.path());
    let session = "11111111-2222-3333-4444-555555555555";
    block_on(async {
        let store = store();
        let reports = try_load(&*store, vec![Input::from(root.path())], None).await.unwrap();
        assert_eq!(reports.len(), 1);
        let report = &reports[0];
        assert_eq!((report.session.as_str(), report.entries, report.added), (session, 7, 7));
        assert_eq!(report.repairs, []);
        assert_eq!(aliases(&store, session, MAIN).await.join(" "), "u1 u2");
        assert_eq!(aliases(&store, session, "agent-a1").await.join(" "), "x1");
        assert_eq!(aliases(&store, session, "agent-b2").await.join(" "), "y1");
        assert_eq!(store.session(session).await.unwrap().active, MAIN);
        let export = treering_interchange::Export::of(&*store, session).await.unwrap();
        assert_eq!(export.files().len(), 4);
        for (index, file) in export.files().iter().enumerate() {
            let (_, text) = files.iter().find(|(name, _)| *name == file.name).unwrap();
            assert_eq!(exported(&*store, session, index).await, text.as_bytes(), "{}", file.name);
        }
        let glob = root.path().join("*/subagents/**/agent-*.jsonl");
        let again = try_load(&*store, vec![Input::from(glob)], None).await.unwrap();
        assert_eq!((again.len(), again[0].session.as_str(), again[0].added), (1, session, 0));
        assert_eq!(store.verify().await.unwrap().problems, []);
    });
}

#[test]
fn what_is_not_there_or_no_session_is_an_error_that_says_so() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("x.txt"), "text").unwrap();
    block_on(async {
        let store = store();
        let text = |path: &str, format| {
            let path = root.path().join(path);
            let store = store.clone();
            async move {
                try_load(&*store, vec![Input::from(path)], format).await.unwrap_err().to_string()
            }
        };
        assert!(text("gone.jsonl", None).await.contains("not found"));
        assert!(text("*.jsonl", None).await.contains("not found"));
        assert!(text("x.txt", None).await.contains("x.txt: line 1: expected a session of pi"));
        assert!(text("x.txt", Some("nope")).await.contains("unknown format \"nope\""));
        let missing = treering_interchange::Export::of(&*store, "nobody").await.unwrap_err();
        assert_eq!(missing.kind(), treering_tree::ErrorKind::NotFound);
    });
}
