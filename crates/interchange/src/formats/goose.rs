//! goose: rows of a database, one per message; before that a JSON line per message behind a header.
//!
//! Messages stand in the order of their numbers. A compaction hides from the model what was before
//! and puts a message there that the user does not see: the summary. Everything after it is what the
//! model is given.

use serde_json::Value;
use treering_tree::{Kind, Message, Part, Role, Usage};

use super::shared::{blocks, first_text};
use super::{Current, Format, Found, Hangs, Head, Meaning, Reader, Table, Tables};
use crate::frame::Frame;
use crate::json::{self, Fields};
use crate::time::time_ms;

/// The format.
pub(crate) struct Goose;

const BODY_FORMAT: &str = "goose/1";
const TABLES: Tables = Tables {
    session: "sessions",
    record: Table { name: "messages", of: "session_id", order: &["id"], also: "content_json" },
    part: None,
};

impl Format for Goose {
    fn name(&self) -> &'static str {
        "goose"
    }

    fn recognize(&self, head: &Head<'_>) -> Option<Found> {
        let first = head.first()?;
        if let Some(session) = first["messages"].text("session_id") {
            let is_row = first["messages"].get("content_json").is_some();
            return is_row.then(|| Found::main(Some(session.to_owned())));
        }
        if is_state(&first) {
            let session = first["sessions"].text("id").map(str::to_owned);
            return Some(Found::beside(session, "session.jsonl"));
        }
        let is_own = is_header(&first) || (is_line(&first) && head.document.is_none());
        is_own.then(|| Found::main(None))
    }

    fn frame(&self, head: &Head<'_>) -> Frame {
        if head.first().is_some_and(|first| is_state(&first)) { Frame::State } else { Frame::Lines }
    }

    fn tables(&self) -> Option<&'static Tables> {
        Some(&TABLES)
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Messages::default())
    }

    fn message(&self, kind: Kind, text: &str) -> Option<Message> {
        Some(said(&Record::of(&json::object(text)?)?, kind))
    }

    fn current(&self) -> Current {
        Current::LastRecord
    }
}

/// The row of a session.
fn is_state(line: &Value) -> bool {
    let row = &line["sessions"];
    row.text("id").is_some()
        && row.get("working_dir").is_some()
        && row.get("tools_approved").is_none()
}

/// The first line of the older files.
fn is_header(line: &Value) -> bool {
    line.get("role").is_none()
        && line.text("working_dir").is_some()
        && line.get("message_count").or(line.get("description")).is_some()
}

/// A message of the older files.
fn is_line(line: &Value) -> bool {
    line.text("role").is_some() && line["created"].is_number() && line["content"].is_array()
}

/// A message, whichever way it was kept.
struct Record {
    id: Option<String>,
    role: String,
    at_ms: Option<i64>,
    content: Vec<Value>,
    metadata: Value,
}

impl Record {
    fn of(line: &Value) -> Option<Self> {
        let row = &line["messages"];
        if row.get("content_json").is_some() {
            let content = serde_json::from_str(row.text("content_json")?).ok()?;
            let id = first_text(row, &["message_id"]).map(str::to_owned);
            return Some(Self {
                id: id.or_else(|| Some(format!("message-{}", row["id"].as_i64()?))),
                role: row.string("role"),
                at_ms: time_ms(&row["created_timestamp"]),
                content,
                metadata: row.text("metadata_json").and_then(json::object).unwrap_or_default(),
            });
        }
        is_line(line).then(|| Self {
            id: first_text(line, &["id"]).map(str::to_owned),
            role: line.string("role"),
            at_ms: time_ms(&line["created"]),
            content: line.list("content").to_vec(),
            metadata: line["metadata"].clone(),
        })
    }

    /// Whether the metadata keeps it from whoever `who` names; where it says nothing all see it.
    fn is_hidden_from(&self, who: &str) -> bool {
        self.metadata.get(who).and_then(Value::as_bool) == Some(false)
    }

    fn has(&self, kind: &str) -> bool {
        self.content.iter().any(|block| block.text("type") == Some(kind))
    }

    fn kind(&self) -> Kind {
        let is_notice = |block: &Value| {
            let notices = ["systemNotification", "contextLengthExceeded", "summarizationRequested"];
            block.text("type").is_some_and(|kind| notices.contains(&kind))
        };
        match self.role.as_str() {
            _ if !self.content.is_empty() && self.content.iter().all(is_notice) => Kind::Record,
            "user" if self.has("toolResponse") => Kind::ToolResult,
            "user" if self.metadata.flag("turnContext") => Kind::Note,
            "user" => Kind::User,
            "assistant" => Kind::Assistant,
            _ => Kind::Record,
        }
    }
}

#[derive(Default)]
struct Messages {
    /// Whether messages before were taken from the model, and nothing was put in their place yet.
    compacts: bool,
}

impl Reader for Messages {
    fn read(&mut self, text: &str) -> Option<Meaning> {
        let line = json::object(text)?;
        if is_header(&line) || is_state(&line) {
            return Some(Meaning::aside(BODY_FORMAT.to_owned()));
        }
        let record = Record::of(&line)?;
        let mut kind = record.kind();
        let told = !record.is_hidden_from("agentVisible");
        let is_summary =
            kind == Kind::User && told && self.compacts && record.is_hidden_from("userVisible");
        if is_summary {
            kind = Kind::Compaction;
        } else if kind == Kind::User && told && record.is_hidden_from("userVisible") {
            kind = Kind::Note;
        }
        self.compacts = !is_summary && (self.compacts || (!told && kind != Kind::Record));
        let next = Meaning::next(BODY_FORMAT, kind, Some(said(&record, kind)));
        Some(Meaning { id: record.id, at_ms: record.at_ms, hangs: Hangs::Previous, ..next })
    }
}

fn said(record: &Record, kind: Kind) -> Message {
    let role = match kind {
        Kind::Assistant => Role::Assistant,
        Kind::ToolResult => Role::Tool,
        Kind::Record => Role::System,
        _ => Role::User,
    };
    let mut message = Message::new(role, record.content.iter().flat_map(parts).collect());
    if kind == Kind::Assistant {
        let metadata = &record.metadata;
        message.model = metadata["inference"].text("requestedModel").map(str::to_owned);
        message.usage = usage(&metadata["usage"]);
    }
    message
}

fn parts(block: &Value) -> Vec<Part> {
    let id = || block.string("id");
    match block.text("type").unwrap_or_default() {
        "toolRequest" | "frontendToolRequest" => {
            let call = &block["toolCall"]["value"];
            vec![blocks::call(&id(), call.text("name").unwrap_or_default(), &call["arguments"])]
        }
        "toolResponse" => {
            let result = &block["toolResult"];
            let value = &result["value"];
            let failed = result.text("status") == Some("error") || value.flag("isError");
            // The newest versions wrap the list in an object.
            let content = value.get("content").unwrap_or(value);
            let content = if content.is_null() { &result["error"] } else { content };
            blocks::result(&id(), content, failed)
        }
        "image" if block.text("data").is_some() => {
            vec![Part::Media { mime: block.string("mimeType"), data: block.string("data") }]
        }
        "systemNotification" => vec![Part::Text { text: block.string("msg") }],
        _ => blocks::content(block),
    }
}

fn usage(value: &Value) -> Option<Usage> {
    value.as_object()?;
    let (cached, created) = (value.count("cacheReadTokens"), value.count("cacheWriteTokens"));
    let input = value.count("inputTokens").saturating_sub(cached).saturating_sub(created);
    Some(Usage { input, cached, created, output: value.count("outputTokens") })
}
