//! Qwen Code: a JSON line per record; `uuid` and `parentUuid` make the tree, messages are Gemini's.
//!
//! Lines of one uuid that follow each other are pieces of one message. A rewind is a record under
//! the place that was gone back to; the tool opens a session at the last line.

use serde_json::Value;
use treering_tree::{Kind, Message, Role, Usage};

use super::shared::{blocks, first_text, transcript};
use super::{Current, Format, Found, Hangs, Head, Meaning, Reader};
use crate::json::{self, Fields};
use crate::time::time_ms;

/// The format.
pub(crate) struct QwenCode;

const BODY_FORMAT: &str = "qwen-code/1";

impl Format for QwenCode {
    fn name(&self) -> &'static str {
        "qwen-code"
    }

    fn recognize(&self, head: &Head<'_>) -> Option<Found> {
        let is_own = |line: &Value| {
            line.text("uuid").is_some()
                && line.text("sessionId").is_some()
                && line["message"].get("parts").is_some()
        };
        let line = head.records.iter().filter_map(|text| json::object(text)).find(is_own)?;
        Some(Found::main(line.text("sessionId").map(str::to_owned)))
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Lines::default())
    }

    fn message(&self, kind: Kind, text: &str) -> Option<Message> {
        said(&json::object(text)?, kind)
    }

    fn current(&self) -> Current {
        Current::LastRecord
    }
}

#[derive(Default)]
struct Lines {
    /// Id of the record before.
    last: String,
}

impl Reader for Lines {
    fn read(&mut self, text: &str) -> Option<Meaning> {
        let line = json::object(text)?;
        let record_type = line.text("type")?;
        let at_ms = time_ms(&line["timestamp"]);
        let Some(id) = line.text("uuid") else {
            let misplaced = line.get("message").is_some();
            return Some(Meaning { at_ms, misplaced, ..Meaning::aside(BODY_FORMAT.to_owned()) });
        };
        let kind = entry_kind(record_type, &line);
        let hangs = match line.text("parentUuid") {
            _ if id == self.last => Hangs::Previous,
            Some(parent) => Hangs::Under(parent.to_owned()),
            None => Hangs::Root,
        };
        id.clone_into(&mut self.last);
        let message = if kind == Kind::Record { None } else { said(&line, kind) };
        let next = Meaning::next(BODY_FORMAT, kind, message);
        Some(Meaning { hangs, at_ms, id: Some(id.to_owned()), ..next })
    }
}

fn entry_kind(record_type: &str, line: &Value) -> Kind {
    let parts = || blocks::content(&line["message"]["parts"]);
    let answers = || !Message::new(Role::Tool, parts()).answers().is_empty();
    match (record_type, line.text("subtype")) {
        ("assistant", _) => Kind::Assistant,
        ("tool_result", _) => Kind::ToolResult,
        ("user", _) if answers() => Kind::ToolResult,
        ("user", _) => Kind::User,
        ("system", Some("chat_compression")) => Kind::Compaction,
        _ => Kind::Record,
    }
}

fn said(line: &Value, kind: Kind) -> Option<Message> {
    let content = |value: &Value| blocks::content(&value["parts"]);
    let role = match kind {
        Kind::Compaction => {
            let history = line["systemPayload"].list("compressedHistory").iter();
            let told = history.map(|said| {
                let model = said.text("role") == Some("model");
                Message::new(if model { Role::Assistant } else { Role::User }, content(said))
            });
            return Some(Message::text(Role::User, transcript(told)));
        }
        Kind::Assistant => Role::Assistant,
        Kind::ToolResult => Role::Tool,
        Kind::User | Kind::Note => Role::User,
        _ => {
            let payload = &line["systemPayload"];
            let text = first_text(payload, &["customTitle", "summary", "displayText"])?;
            return Some(Message::text(Role::System, text));
        }
    };
    let mut message = Message::new(role, content(&line["message"]));
    if kind == Kind::Assistant {
        message.model = line.text("model").map(str::to_owned);
        message.usage = usage(&line["usageMetadata"]);
    }
    Some(message)
}

fn usage(value: &Value) -> Option<Usage> {
    value.as_object()?;
    let cached = value.count("cachedContentTokenCount");
    let thoughts = value.count("thoughtsTokenCount");
    let output = value.count("candidatesTokenCount").saturating_add(thoughts);
    let input = value.count("promptTokenCount").saturating_sub(cached);
    Some(Usage { input, cached, created: 0, output })
}
