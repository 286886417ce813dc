//! Copilot CLI: a JSON line per event; `id` and `parentId` chain them one behind the other.
//!
//! Events of subagents stand in the same chain and are records: they are not what the model of the
//! session was told. The tool opens a session at the last event.

use serde_json::Value;
use treering_tree::{Kind, Message, Role, Usage};

use super::shared::{Prompts, blocks, first_text, thought};
use super::{Current, Format, Found, Hangs, Head, Meaning, Reader};
use crate::json::{self, Fields};
use crate::time::time_ms;

/// The format.
pub(crate) struct CopilotCli;

const BODY_FORMAT: &str = "copilot-cli/1";

impl Format for CopilotCli {
    fn name(&self) -> &'static str {
        "copilot-cli"
    }

    fn recognize(&self, head: &Head<'_>) -> Option<Found> {
        let mut lines = head.records.iter().filter_map(|text| json::object(text));
        let start = lines.find(|line| {
            line.text("type") == Some("session.start") && line["data"].text("sessionId").is_some()
        })?;
        Some(Found::main(start["data"].text("sessionId").map(str::to_owned)))
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Events::default())
    }

    fn message(&self, kind: Kind, text: &str) -> Option<Message> {
        said(&json::object(text)?, kind)
    }

    fn current(&self) -> Current {
        Current::LastRecord
    }
}

#[derive(Default)]
struct Events {
    prompts: Prompts,
}

impl Reader for Events {
    fn read(&mut self, text: &str) -> Option<Meaning> {
        let event = json::object(text)?;
        let kind = self.prompts.kind(entry_kind(event.text("type")?, &event["data"]));
        let at_ms = time_ms(&event["timestamp"]);
        let message = if kind == Kind::Record { None } else { said(&event, kind) };
        let next = Meaning::next(BODY_FORMAT, kind, message);
        let id = event.text("id").map(str::to_owned);
        let hangs = match (&id, event.text("parentId")) {
            (None, _) => {
                let misplaced = kind != Kind::Record;
                let aside = Meaning::aside(BODY_FORMAT.to_owned());
                return Some(Meaning { at_ms, misplaced, ..aside });
            }
            (Some(_), Some(parent)) => Hangs::Under(parent.to_owned()),
            (Some(_), None) => Hangs::Root,
        };
        Some(Meaning { id, hangs, at_ms, ..next })
    }
}

fn entry_kind(event_type: &str, data: &Value) -> Kind {
    let is_subagents = data.text("parentToolCallId").is_some_and(|call| !call.is_empty());
    let has_summary = first_text(data, &["summaryContent", "summary"]).is_some();
    match event_type {
        _ if is_subagents => Kind::Record,
        "user.message" => Kind::User,
        "assistant.message" => Kind::Assistant,
        "tool.execution_complete" => Kind::ToolResult,
        "system.message" => Kind::SystemPrompt,
        "session.compaction_complete" if has_summary => Kind::Compaction,
        _ => Kind::Record,
    }
}

fn said(event: &Value, kind: Kind) -> Option<Message> {
    let data = &event["data"];
    let content = || blocks::content(&data["content"]);
    match kind {
        Kind::User => Some(Message::new(Role::User, content())),
        Kind::SystemPrompt | Kind::Note => Some(Message::new(Role::System, content())),
        Kind::Compaction => {
            let summary = first_text(data, &["summaryContent", "summary"])?;
            Some(Message::text(Role::User, summary))
        }
        Kind::ToolResult => {
            let call = data.text("toolCallId").unwrap_or_default();
            let failed = data.get("success").and_then(Value::as_bool) == Some(false);
            let result = &data["result"];
            let content = result.get("content").unwrap_or(result);
            let content = if content.is_null() { &data["error"]["message"] } else { content };
            Some(Message::new(Role::Tool, blocks::result(call, content, failed)))
        }
        Kind::Assistant => {
            let mut parts = thought(data, &["reasoningText"]);
            parts.extend(content());
            parts.extend(data.list("toolRequests").iter().map(|call| {
                let (id, name) = (call.text("toolCallId"), call.text("name"));
                let (id, name) = (id.unwrap_or_default(), name.unwrap_or_default());
                blocks::call(id, name, &call["arguments"])
            }));
            let mut message = Message::new(Role::Assistant, parts);
            message.model = data.text("model").map(str::to_owned);
            let output = data.count("outputTokens");
            message.usage = (output > 0).then(|| Usage { output, ..Usage::default() });
            Some(message)
        }
        _ => None,
    }
}
