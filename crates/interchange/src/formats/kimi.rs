//! Kimi Code's wire log: a JSON line per operation, no ids, in file order.
//!
//! A turn begins with what the user said; each piece of an answer, each call and each result is a
//! line of its own. What subagents did is kept as records: their log is another file.

use serde_json::Value;
use treering_tree::{Kind, Message, Role, Usage};

use super::shared::{Prompts, blocks, chat};
use super::{Current, Format, Found, Head, Meaning, Reader};
use crate::json::{self, Fields};
use crate::time::time_ms;

/// The format.
pub(crate) struct Kimi;

const BODY_FORMAT: &str = "kimi/1";
/// What every session calls its file; the folder around it has the name.
const FILE: &str = "wire.jsonl";

impl Format for Kimi {
    fn name(&self) -> &'static str {
        "kimi"
    }

    fn recognize(&self, head: &Head<'_>) -> Option<Found> {
        let first = json::object(head.records.first()?)?;
        let is_own =
            first.text("type") == Some("metadata") && first.text("protocol_version").is_some();
        let folder = head.path.parent().and_then(|folder| folder.file_name()?.to_str());
        let is_usual = head.path.file_name().is_some_and(|name| name == FILE);
        is_own.then(|| Found::main(folder.filter(|_| is_usual).map(str::to_owned)))
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Wire::default())
    }

    fn message(&self, kind: Kind, text: &str) -> Option<Message> {
        said(&json::object(text)?, kind)
    }

    fn current(&self) -> Current {
        Current::LastRecord
    }
}

#[derive(Default)]
struct Wire {
    prompts: Prompts,
}

impl Reader for Wire {
    fn read(&mut self, text: &str) -> Option<Meaning> {
        let line = json::object(text)?;
        let operation = operation(&line)?;
        if operation == "metadata" {
            return Some(Meaning::aside(BODY_FORMAT.to_owned()));
        }
        let kind = self.prompts.kind(entry_kind(operation, &line));
        let message = if kind == Kind::Record { None } else { said(&line, kind) };
        let at_ms = ["timestamp", "time"].iter().find_map(|key| time_ms(&line[*key]));
        Some(Meaning { at_ms, ..Meaning::next(BODY_FORMAT, kind, message) })
    }
}

fn operation(line: &Value) -> Option<&str> {
    line["message"].text("type").or(line.text("type"))
}

fn entry_kind(operation: &str, line: &Value) -> Kind {
    match operation {
        "TurnBegin" | "SteerInput" => Kind::User,
        "ContentPart" | "ToolCall" => Kind::Assistant,
        "ToolResult" => Kind::ToolResult,
        "context.append_message" => {
            chat::message(&line["message"]).map_or(Kind::Record, |(kind, _)| kind)
        }
        _ => Kind::Record,
    }
}

fn said(line: &Value, kind: Kind) -> Option<Message> {
    let payload = &line["message"]["payload"];
    let id = |key: &str| payload.text(key).unwrap_or_default();
    Some(match operation(line)? {
        "TurnBegin" | "SteerInput" => {
            Message::new(Role::User, blocks::content(&payload["user_input"]))
        }
        "ContentPart" => Message::new(Role::Assistant, blocks::content(payload)),
        "ToolCall" => {
            let function = &payload["function"];
            let name = function.text("name").unwrap_or_default();
            let call = blocks::call(id("id"), name, &function["arguments"]);
            Message::new(Role::Assistant, vec![call])
        }
        "ToolResult" => {
            let value = &payload["return_value"];
            let failed = value.flag("is_error");
            let is_told = !blocks::content(&value["output"]).is_empty();
            let output = if is_told { &value["output"] } else { &value["message"] };
            Message::new(Role::Tool, blocks::result(id("tool_call_id"), output, failed))
        }
        "context.append_message" => return chat::message(&line["message"]).map(|(_, said)| said),
        "StatusUpdate" if kind == Kind::Record => {
            let mut message = Message::new(Role::System, Vec::new());
            message.usage = usage(&payload["token_usage"]);
            message
        }
        _ => return None,
    })
}

fn usage(value: &Value) -> Option<Usage> {
    value.as_object()?;
    Some(Usage {
        input: value.count("input_other"),
        cached: value.count("input_cache_read"),
        created: value.count("input_cache_creation"),
        output: value.count("output"),
    })
}
