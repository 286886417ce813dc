//! The current conversation of every sample of the smaller formats, against what the format's own
//! rule makes of the file, written down here a second time.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;
use treering_tree::{Kind, Stored};

use crate::kit::{block_on, loaded, path, samples};

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

fn elements(bytes: &[u8], list: &str) -> Vec<Value> {
    let document: Value = serde_json::from_slice(bytes).unwrap();
    document[list].as_array().cloned().unwrap_or_default()
}

/// The record that an entry was made of.
fn record(stored: &Stored) -> Value {
    let bytes = &stored.entry.body().unwrap().bytes;
    let text = std::str::from_utf8(bytes).unwrap();
    serde_json::from_str(text.trim_start_matches(|c: char| c == ',' || c.is_whitespace())).unwrap()
}

/// Whether the model or the user has it in the conversation.
fn is_said(stored: &Stored) -> bool {
    let kind = stored.place.kind;
    kind.has_place_in_context() && kind != Kind::SystemPrompt
}

/// The samples of `folder`, each shown as `rule` says.
fn check(folder: &str, wanted: impl Fn(&Path) -> bool, rule: impl Fn(&[u8]) -> Vec<Value>) {
    for sample in samples(folder).into_iter().filter(|path| wanted(path)) {
        let bytes = std::fs::read(&sample).unwrap();
        let found = block_on(async {
            let (store, report) = loaded(sample.to_str().unwrap(), &bytes).await;
            let path = path(&store, &report.session, "main").await;
            path.iter().filter(|stored| is_said(stored)).map(record).collect::<Vec<_>>()
        });
        assert_eq!(found, rule(&bytes), "{}", sample.display());
    }
}

fn ends(path: &Path, end: &str) -> bool {
    path.to_str().unwrap().ends_with(end)
}

#[test]
fn codex_shows_its_items_in_file_order() {
    let hidden = ["ghost_snapshot", "compaction"];
    check(
        "codex",
        |_| true,
        |bytes| {
            let is_item = |line: &Value| {
                text(line, "type") == "response_item"
                    && !hidden.contains(&text(&line["payload"], "type"))
            };
            lines(bytes).into_iter().filter(is_item).collect()
        },
    );
}

#[test]
fn qwen_code_shows_the_path_to_its_last_line() {
    check(
        "qwen-code",
        |_| true,
        |bytes| {
            let all = lines(bytes);
            let mut parents: HashMap<&str, &str> = HashMap::new();
            for line in &all {
                parents.insert(text(line, "uuid"), text(line, "parentUuid"));
            }
            let mut path = vec![text(all.last().unwrap(), "uuid")];
            while let Some(parent) = parents.get(path[path.len() - 1]).filter(|id| !id.is_empty()) {
                path.push(parent);
            }
            let said = |line: &&Value| {
                path.contains(&text(line, "uuid"))
                    && ["user", "assistant"].contains(&text(line, "type"))
            };
            all.iter().filter(said).cloned().collect()
        },
    );
}

#[test]
fn gemini_shows_what_its_operations_leave() {
    let said = |message: &Value| ["user", "gemini", "model"].contains(&text(message, "type"));
    let is_log = |path: &Path| ends(path, ".jsonl");
    check("gemini", is_log, |bytes| {
        let mut shown: Vec<Value> = Vec::new();
        for line in lines(bytes).into_iter().filter(|line| line.get("id").is_some()) {
            match shown.iter().position(|known| known["id"] == line["id"]) {
                Some(at) => shown[at] = line,
                None => shown.push(line),
            }
        }
        shown.into_iter().filter(said).collect()
    });
    check(
        "gemini",
        |path| !is_log(path),
        |bytes| elements(bytes, "messages").into_iter().filter(said).collect(),
    );
}

#[test]
fn copilot_cli_shows_the_messages_of_its_chain() {
    let shown = ["user.message", "assistant.message", "tool.execution_complete"];
    // The second half of the sample has one id for every event, each its own parent.
    check(
        "copilot-cli",
        |_| true,
        |bytes| {
            let all = lines(bytes);
            let last = all.last().unwrap();
            let is_own = last["id"] == last["parentId"];
            let path = if is_own { &all[all.len() - 1..] } else { &all[..] };
            path.iter().filter(|event| shown.contains(&text(event, "type"))).cloned().collect()
        },
    );
}

#[test]
fn openhands_shows_actions_and_observations() {
    let shown = ["MessageEvent", "ActionEvent", "ObservationEvent", "AgentErrorEvent"];
    check(
        "openhands",
        |path| ends(path, "events.jsonl"),
        |bytes| {
            let said = |event: &Value| shown.contains(&text(event, "kind"));
            lines(bytes).into_iter().filter(said).collect()
        },
    );
}

#[test]
fn kimi_shows_turns_pieces_calls_and_results() {
    let shown = ["TurnBegin", "ContentPart", "ToolCall", "ToolResult"];
    check(
        "kimi",
        |_| true,
        |bytes| {
            let said = |line: &Value| shown.contains(&text(&line["message"], "type"));
            lines(bytes).into_iter().filter(said).collect()
        },
    );
}

#[test]
fn documents_show_the_elements_of_their_list() {
    let all = |list: &'static str| move |bytes: &[u8]| elements(bytes, list);
    let is_message = |message: &Value| text(message, "role") != "system";
    let said = move |list: &'static str| {
        move |bytes: &[u8]| elements(bytes, list).into_iter().filter(is_message).collect()
    };
    check("cline", |path| ends(path, "session.messages.json"), all("messages"));
    check("swe-agent", |_| true, said("history"));
    check("atif", |path| ends(path, "_atif.json"), all("steps"));
    check("openhands", |path| ends(path, "llm-log.json"), said("messages"));
}
