//! Sessions that are folders of many small files: opencode's older storage and events of OpenHands.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use treering_interchange::{Export, Input, RepairKind, SessionReport};
use treering_tree::{Kind, RedbStore, Store};

use crate::kit::{aliases, block_on, branch_names, repairs, samples, shown, store, try_load};

/// Loads a folder and holds what is true of any: its files come out as they were, a second load adds
/// nothing, and the store is sound.
async fn loaded(folder: &Path) -> (Arc<RedbStore>, Vec<SessionReport>) {
    let store = store();
    let reports = reload(&store, folder).await;
    (store, reports)
}

async fn reload(store: &Arc<RedbStore>, folder: &Path) -> Vec<SessionReport> {
    let input = || vec![Input::Path(folder.to_owned())];
    let reports = try_load(&**store, input(), None).await.unwrap();
    for report in &reports {
        let exported = exported(store, &report.session).await;
        for (name, bytes) in &exported {
            let ends = |path: &PathBuf| path.ends_with(name.split_once('/').unwrap().1);
            let original = files(folder).into_iter().find(ends).unwrap();
            assert_eq!(&fs::read(original).unwrap(), bytes, "{name}");
        }
    }
    for again in try_load(&**store, input(), None).await.unwrap() {
        assert_eq!(again.added, 0, "{again:?}");
    }
    assert_eq!(store.verify().await.unwrap().problems, []);
    reports
}

async fn exported(store: &Arc<RedbStore>, session: &str) -> BTreeMap<String, Vec<u8>> {
    let export = Export::of(&**store, session).await.unwrap();
    let mut all = BTreeMap::new();
    for (index, file) in export.files().iter().enumerate() {
        let mut bytes = Vec::new();
        export.write(&**store, index, &mut bytes).await.unwrap();
        assert_eq!(bytes.len() as u64, file.bytes);
        all.insert(file.name.clone(), bytes);
    }
    all
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The texts of a session as opencode reads its storage: messages in the order of their files, the
/// parts of each in the order of their ids.
fn opencode_texts(storage: &Path, session: &str) -> Vec<String> {
    let mut parts: Vec<(String, String, Value)> = Vec::new();
    for path in files(&storage.join("part")) {
        let part = read(&path);
        let folder = path.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        let of = part["messageID"].as_str().map_or(folder, str::to_owned);
        parts.push((of, part["id"].as_str().unwrap().to_owned(), part));
    }
    parts.sort_by(|one, other| one.1.cmp(&other.1));
    let messages = files(&storage.join("message").join(session));
    let shown = |path: &PathBuf| {
        let id = read(path)["id"].as_str().unwrap().to_owned();
        let own = parts.iter().filter(|part| part.0 == id);
        let texts = own.filter_map(|(_, _, part)| match part["type"].as_str().unwrap() {
            "text" | "reasoning" => Some(part["text"].as_str().unwrap().to_owned()),
            "tool" => {
                let state = &part["state"];
                let (name, output) = (part["tool"].as_str()?, state["output"].as_str()?);
                Some(format!("{name}({})\n{output}", state["input"]))
            }
            "file" => Some(format!("[{}]", part["mime"].as_str()?)),
            _ => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    };
    messages.iter().map(shown).collect()
}

#[test]
fn every_sample_folder_is_what_opencode_shows() {
    for storage in samples("opencode") {
        let sessions = block_on(async {
            let (store, reports) = loaded(&storage).await;
            let mut all = Vec::new();
            for report in reports {
                assert_eq!(report.repairs, [], "{}", report.session);
                let folder = storage.file_name().unwrap().to_str().unwrap();
                println!(
                    "{}",
                    crate::samples::row(&format!("opencode/{folder}, {}", report.session), &report)
                );
                let texts = shown(&*store, &report.session, "main").await;
                all.push((
                    report.session,
                    texts.into_iter().map(|(_, text)| text).collect::<Vec<_>>(),
                ));
            }
            all
        });
        assert!(!sessions.is_empty());
        for (session, texts) in sessions {
            assert_eq!(texts, opencode_texts(&storage, &session), "{session}");
        }
    }
}

fn write(folder: &Path, name: &str, value: &Value) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, serde_json::to_vec_pretty(value).unwrap()).unwrap();
}

fn message(folder: &Path, id: &str, role: &str, more: &Value) {
    let mut value = json!({"id": id, "sessionID": "ses_1", "role": role, "time": {"created": 1}});
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    write(folder, &format!("message/ses_1/{id}.json"), &value);
}

fn part(folder: &Path, of: &str, id: &str, more: &Value) {
    let mut value = json!({"id": id, "sessionID": "ses_1", "messageID": of});
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    write(folder, &format!("part/{of}/{id}.json"), &value);
}

fn said(folder: &Path, of: &str, id: &str, text: &str) {
    part(folder, of, id, &json!({"type": "text", "text": text}));
}

fn state(folder: &Path, more: &Value) {
    let mut value = json!({"id": "ses_1", "version": "1", "projectID": "p", "directory": "/",
        "time": {"created": 1}});
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    write(folder, "session/p/ses_1.json", &value);
}

async fn texts(store: &Arc<RedbStore>) -> String {
    let all = shown(&**store, "ses_1", "main").await;
    all.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("|")
}

#[test]
fn an_opencode_session_grows_while_its_last_answer_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    state(folder, &json!({}));
    message(folder, "msg_1", "user", &json!({}));
    said(folder, "msg_1", "prt_1", "hello");
    message(folder, "msg_2", "assistant", &json!({}));
    said(folder, "msg_2", "prt_2", "I am");
    block_on(async {
        let (store, reports) = loaded(folder).await;
        assert_eq!((reports[0].entries, repairs(&reports[0])), (3, vec![]));
        // The text grows, a call comes, the state is written anew.
        said(folder, "msg_2", "prt_2", "I am here");
        part(
            folder,
            "msg_2",
            "prt_3",
            &json!({"type": "tool", "callID": "c", "tool": "ls",
            "state": {"status": "running", "input": {}}}),
        );
        state(folder, &json!({"title": "t"}));
        let again = reload(&store, folder).await;
        assert_eq!((again[0].added, again[0].repairs_of(RepairKind::RewrittenFile)), (2, 0));
        assert_eq!(texts(&store).await, "hello|I am here\nls({})");
        // It ends, and the user goes on.
        part(
            folder,
            "msg_2",
            "prt_3",
            &json!({"type": "tool", "callID": "c", "tool": "ls",
            "state": {"status": "completed", "input": {}, "output": "a"}}),
        );
        message(folder, "msg_2", "assistant", &json!({"finish": "stop", "tokens": {"input": 5}}));
        message(folder, "msg_3", "user", &json!({}));
        said(folder, "msg_3", "prt_4", "thanks");
        let again = reload(&store, folder).await;
        assert_eq!((again[0].added, repairs(&again[0])), (2, vec![]));
        assert_eq!(texts(&store).await, "hello|I am here\nls({})\na|thanks");
        assert_eq!(aliases(&store, "ses_1", "main").await, ["msg_1", "msg_2", "msg_3"]);
        let branches = branch_names(&*store, "ses_1").await;
        assert_eq!(branches, ["file", "file/session/p/ses_1.json", "main"]);
        // What was finished and is written again was rewritten.
        said(folder, "msg_1", "prt_1", "hi");
        let again = reload(&store, folder).await;
        assert_eq!(again[0].repairs_of(RepairKind::RewrittenFile), 1, "{:?}", again[0].repairs);
        assert!(again[0].repairs[0].file.ends_with("msg_1.json"));
    });
}

#[test]
fn an_opencode_compaction_keeps_its_tail_and_a_revert_goes_back() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    state(folder, &json!({}));
    for (number, role) in (1..).zip(["user", "assistant", "user", "assistant"]) {
        message(folder, &format!("msg_{number}"), role, &json!({"finish": "stop"}));
        said(folder, &format!("msg_{number}"), "prt_1", &number.to_string());
    }
    message(folder, "msg_5", "user", &json!({}));
    part(
        folder,
        "msg_5",
        "prt_1",
        &json!({"type": "compaction", "auto": true, "tail_start_id": "msg_3"}),
    );
    message(folder, "msg_6", "assistant", &json!({"summary": true, "finish": "stop"}));
    said(folder, "msg_6", "prt_1", "the summary");
    message(folder, "msg_7", "user", &json!({}));
    said(folder, "msg_7", "prt_1", "7");
    block_on(async {
        let (store, reports) = loaded(folder).await;
        assert_eq!((reports[0].compactions, repairs(&reports[0])), (1, vec![]));
        assert_eq!(texts(&store).await, "the summary|3|4|7");
        state(folder, &json!({"revert": {"messageID": "msg_3"}}));
        reload(&store, folder).await;
        assert_eq!(texts(&store).await, "1|2");
        state(folder, &json!({}));
        reload(&store, folder).await;
        assert_eq!(texts(&store).await, "the summary|3|4|7");
    });
}

#[test]
fn openhands_events_are_read_from_their_files_up_to_the_leaf() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("11111111222233334444555555555555");
    let event = |number: usize, parent: Value| {
        let id = format!("e{number}");
        let value = json!({"id": id, "kind": "MessageEvent", "source": "user",
            "timestamp": "2026-01-01T00:00:00", "parent_id": parent,
            "llm_message": {"role": "user", "content": id}});
        write(&folder, &format!("events/event-{number:05}-{id}.json"), &value);
    };
    let state = |leaf: Value| {
        let value = json!({"id": "11111111-2222-3333-4444-555555555555", "agent": {},
            "persistence_dir": "x", "leaf_event_id": leaf});
        write(&folder, "base_state.json", &value);
    };
    for number in 0..11 {
        event(number, Value::Null);
    }
    state(Value::Null);
    let session = "11111111-2222-3333-4444-555555555555";
    block_on(async {
        let (store, reports) = loaded(&folder).await;
        assert_eq!((reports.len(), reports[0].session.as_str()), (1, session));
        assert_eq!((reports[0].entries, repairs(&reports[0])), (12, vec![]));
        let count = async || shown(&*store, session, "main").await.len();
        assert_eq!(count().await, 11);
        // The user goes back, and on from there.
        state(json!("e4"));
        reload(&store, &folder).await;
        assert_eq!(count().await, 5);
        event(11, json!("e4"));
        state(json!("e11"));
        let again = reload(&store, &folder).await;
        assert_eq!((again[0].added, repairs(&again[0])), (2, vec![]));
        let path = shown(&*store, session, "main").await;
        let path: Vec<String> = path.into_iter().map(|(_, text)| text).collect();
        assert_eq!(path.join(" "), "e0 e1 e2 e3 e4 e11");
        let branches = branch_names(&*store, session).await;
        assert_eq!(branches, ["file", "file/base_state.json", "fork-6", "main"]);
        assert_eq!(shown(&*store, session, "fork-6").await[5], (Kind::User, "e5".to_owned()));
    });
}

#[test]
fn damaged_files_of_a_folder_are_kept_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    state(folder, &json!({}));
    for number in 1..=3 {
        message(folder, &format!("msg_{number}"), "user", &json!({}));
        said(folder, &format!("msg_{number}"), &format!("prt_{number}"), &number.to_string());
    }
    fs::write(folder.join("part/msg_2/prt_2.json"), "{\"id\":\"prt_2\",\"type\":\"text\",\"te")
        .unwrap();
    fs::write(folder.join("part/msg_3/prt_9.json"), "").unwrap();
    // A part whose message is nowhere.
    said(folder, "msg_9", "prt_9", "lost");
    block_on(async {
        let (store, reports) = loaded(folder).await;
        let report = &reports[0];
        assert_eq!(texts(&store).await, "1||3");
        let kinds: Vec<_> = report.repairs.iter().map(|repair| repair.kind).collect();
        let expected = [RepairKind::TornLine, RepairKind::MissingId];
        assert_eq!(kinds, expected, "{:?}", report.repairs);
        assert!(report.repairs[0].file.ends_with("prt_2.json"));
        assert!(report.repairs[1].file.ends_with("msg_9/prt_9.json"));
    });
}
