//! What providers publish about their arrays, as checks: written from their rules, not from the code.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_else(|| panic!("no text {key} in {value}"))
}

fn check_name(name: &str, most: usize) {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    assert!((1..=most).contains(&name.len()) && name.chars().all(plain), "name {name:?}");
}

fn said(text: &str) {
    assert!(!text.trim().is_empty(), "empty content");
}

fn is_object_text(arguments: &str) {
    assert!(serde_json::from_str::<Value>(arguments).unwrap().is_object(), "{arguments}");
}

fn is_url(url: &str) {
    let image = ["jpeg", "png", "gif", "webp"];
    let data = image.iter().any(|kind| url.starts_with(&format!("data:image/{kind};base64,")));
    assert!(data || url.starts_with("https://") || url.starts_with("http://"), "{url}");
}

/// Every message with tool calls is followed by one `tool` message for each of them, and by nothing
/// else before; no `tool` message stands anywhere else; nothing is empty.
pub(crate) fn chat(bytes: &[u8]) {
    let messages: Vec<Value> = serde_json::from_slice(bytes).unwrap();
    let mut waiting: Vec<String> = Vec::new();
    for message in &messages {
        let role = text(message, "role");
        if role != "tool" {
            assert!(waiting.is_empty(), "calls {waiting:?} without results");
        }
        match role {
            "system" => said(text(message, "content")),
            "user" => match &message["content"] {
                Value::String(content) => said(content),
                parts => {
                    assert!(!parts.as_array().unwrap().is_empty());
                    for part in parts.as_array().unwrap() {
                        match text(part, "type") {
                            "text" => said(text(part, "text")),
                            "image_url" => is_url(text(&part["image_url"], "url")),
                            other => panic!("part {other}"),
                        }
                    }
                }
            },
            "assistant" => {
                let calls = list(message, "tool_calls");
                assert!(message.get("tool_calls").is_none() || !calls.is_empty());
                match &message["content"] {
                    Value::Null => assert!(!calls.is_empty(), "an answer of nothing"),
                    content => said(content.as_str().unwrap()),
                }
                for call in calls {
                    assert_eq!(text(call, "type"), "function");
                    check_name(text(&call["function"], "name"), 64);
                    is_object_text(text(&call["function"], "arguments"));
                    waiting.push(text(call, "id").to_owned());
                }
                let distinct: HashSet<_> = waiting.iter().collect();
                assert_eq!(distinct.len(), waiting.len());
                assert!(waiting.iter().all(|id| (1..=40).contains(&id.len())));
            }
            "tool" => {
                said(text(message, "content"));
                let id = text(message, "tool_call_id");
                let at = waiting.iter().position(|waiting| waiting == id);
                waiting.remove(at.unwrap_or_else(|| panic!("result of {id} without its call")));
            }
            other => panic!("role {other}"),
        }
    }
    assert!(waiting.is_empty(), "calls {waiting:?} without results at the end");
}

/// Every call has one output behind it and every output one call before it, with ids that occur
/// once.
pub(crate) fn responses(bytes: &[u8]) {
    let items: Vec<Value> = serde_json::from_slice(bytes).unwrap();
    let mut calls: HashMap<String, bool> = HashMap::new();
    for item in &items {
        match text(item, "type") {
            "message" => match (text(item, "role"), &item["content"]) {
                ("assistant", Value::String(content)) => said(content),
                ("user" | "developer", Value::Array(parts)) => {
                    assert!(!parts.is_empty());
                    for part in parts {
                        match text(part, "type") {
                            "input_text" => said(text(part, "text")),
                            "input_image" => is_url(text(part, "image_url")),
                            other => panic!("part {other}"),
                        }
                    }
                }
                other => panic!("message {other:?}"),
            },
            "function_call" => {
                let id = text(item, "call_id");
                check_name(id, 64);
                check_name(text(item, "name"), 64);
                is_object_text(text(item, "arguments"));
                assert!(calls.insert(id.to_owned(), false).is_none(), "call {id} twice");
            }
            "function_call_output" => {
                said(text(item, "output"));
                let answered = calls.insert(text(item, "call_id").to_owned(), true);
                assert_eq!(answered, Some(false), "an output without its call");
            }
            other => panic!("item {other}"),
        }
    }
    assert!(calls.values().all(|answered| *answered), "a call without its output");
}

/// Roles alternate, the user begins; each answer's calls are answered, all of them, by the first
/// blocks of the next message; no text is blank; call ids occur once; the last answer does not end
/// with a blank.
pub(crate) fn anthropic(bytes: &[u8]) {
    let whole: Value = serde_json::from_slice(bytes).unwrap();
    for block in list(&whole, "system") {
        said(text(block, "text"));
    }
    let messages = whole["messages"].as_array().unwrap();
    let mut seen = HashSet::new();
    let mut waiting: HashSet<String> = HashSet::new();
    for (at, message) in messages.iter().enumerate() {
        let role = text(message, "role");
        assert_eq!(role, if at % 2 == 0 { "user" } else { "assistant" }, "message {at}");
        let blocks = list(message, "content");
        assert!(!blocks.is_empty(), "message {at} is empty");
        for block in blocks {
            match text(block, "type") {
                "tool_result" => {
                    assert_eq!(role, "user");
                    let id = text(block, "tool_use_id");
                    assert!(waiting.remove(id), "a result of {id} without its call before");
                    match &block["content"] {
                        Value::String(content) => said(content),
                        inner => inner.as_array().unwrap().iter().for_each(anthropic_content),
                    }
                }
                "tool_use" => {
                    assert_eq!(role, "assistant");
                    assert!(block["input"].is_object());
                    check_name(text(block, "name"), 128);
                    check_name(text(block, "id"), 64);
                    assert!(seen.insert(text(block, "id").to_owned()), "a call id twice");
                    waiting.insert(text(block, "id").to_owned());
                }
                kind => {
                    assert!(role == "user" || kind == "text", "{kind} in an answer");
                    assert!(role == "assistant" || waiting.is_empty(), "{kind} before the results");
                    anthropic_content(block);
                }
            }
        }
        assert!(role == "assistant" || waiting.is_empty(), "calls without results");
    }
    assert!(waiting.is_empty(), "calls without results at the end");
    if let Some(last) = messages.last().filter(|last| last["role"] == "assistant") {
        let last = text(list(last, "content").last().unwrap(), "text");
        assert_eq!(last, last.trim_end());
    }
}

fn anthropic_content(block: &Value) {
    match text(block, "type") {
        "text" => said(text(block, "text")),
        "image" | "document" => match text(&block["source"], "type") {
            "base64" => assert!(!text(&block["source"], "data").is_empty()),
            "url" => assert!(text(&block["source"], "url").starts_with("http")),
            other => panic!("source {other}"),
        },
        other => panic!("block {other}"),
    }
}

/// Fields and their nesting as the models of ATIF v1.7 have them; unknown fields are forbidden.
pub(crate) fn atif(bytes: &[u8]) {
    let only = |value: &Value, known: &[&str]| {
        for key in value.as_object().unwrap().keys() {
            assert!(known.contains(&key.as_str()), "unknown field {key}");
        }
    };
    let whole: Value = serde_json::from_slice(bytes).unwrap();
    only(&whole, &["schema_version", "session_id", "agent", "steps"]);
    assert_eq!(whole["schema_version"], "ATIF-v1.7");
    only(&whole["agent"], &["name", "version"]);
    for (at, step) in list(&whole, "steps").iter().enumerate() {
        let common = ["step_id", "timestamp", "source", "message", "is_copied_context", "extra"];
        let own = ["model_name", "reasoning_content", "tool_calls", "observation", "metrics"];
        let is_agent = step["source"] == "agent";
        let known = common.iter().chain(own.iter().filter(|_| is_agent)).copied();
        only(step, &known.collect::<Vec<_>>());
        assert_eq!(step["step_id"], at + 1);
        assert!(["system", "user", "agent"].contains(&text(step, "source")));
        assert!(step["message"].is_string());
        let calls: HashSet<&str> =
            list(step, "tool_calls").iter().map(|call| text(call, "tool_call_id")).collect();
        for call in list(step, "tool_calls") {
            only(call, &["tool_call_id", "function_name", "arguments"]);
            assert!(call["arguments"].is_object());
        }
        for result in list(&step["observation"], "results") {
            only(result, &["source_call_id", "content"]);
            assert!(calls.contains(text(result, "source_call_id")));
        }
    }
}

/// Nothing but the page's own elements: no script, no link, no attribute from outside.
pub(crate) fn html(bytes: &[u8]) {
    let page = std::str::from_utf8(bytes).unwrap();
    let (head, body) = page.split_once("</head>").unwrap();
    assert!(head.contains("Content-Security-Policy\" content=\"default-src 'none';"));
    assert!(!head.contains("<script") && !head.contains("http:"));
    let classes = ["system", "user", "assistant", "compaction", "reasoning", "error"];
    for tag in body.split('<').skip(1) {
        let tag = tag.split_once('>').expect("a tag that does not close").0.trim_start_matches('/');
        let (name, class) = tag.split_once(" class=").unwrap_or((tag, "\"system\""));
        let known =
            ["body", "h1", "h2", "section", "time", "p", "pre", "details", "summary", "html"];
        assert!(known.contains(&name), "element {name:?}");
        assert!(classes.contains(&class.trim_matches('"')), "class {class:?}");
    }
}
