//! Reads any body as a message. It never fails: what no format can read is kept as it came.

use std::fmt::Write as _;

use serde_json::Value;
use treering_tree::context::Item;
use treering_tree::{
    Body, Entry, Kind, LABEL_FORMAT, Label, MESSAGE_FORMAT, Message, Part, Role, SUMMARY_FORMAT,
    Summary,
};

use crate::formats;
use crate::json;

/// What a body says, whichever known format it is in; the engine's own are among them.
///
/// Bodies that no format can read come back as one [`Part::Other`] that holds their JSON, or their
/// text where they are not JSON.
///
/// ```
/// use treering_interchange::{message, plain_text};
/// use treering_tree::{Body, Kind};
///
/// let line = r#"{"type":"user","uuid":"u1","sessionId":"s","message":{"content":"hello"}}"#;
/// let said = message(Kind::User, &Body::new("claude-code/1", line));
/// assert_eq!(plain_text(&said), "hello");
/// ```
pub fn message(kind: Kind, body: &Body) -> Message {
    let own = match body.format.as_str() {
        MESSAGE_FORMAT => Message::from_body(body).ok(),
        SUMMARY_FORMAT => {
            Summary::from_body(body).ok().map(|summary| Message::text(Role::User, summary.text))
        }
        LABEL_FORMAT => {
            Label::from_body(body).ok().map(|label| Message::text(Role::System, label.name))
        }
        _ => None,
    };
    let foreign = || {
        let text = json::text(&body.bytes);
        let text = Some(json::element(&text)).filter(|text| json::is_bounded(text))?;
        formats::of_body(&body.format)?.message(kind, text)
    };
    own.or_else(foreign).unwrap_or_else(|| unread(kind, body))
}

/// What an item of a context says once a compaction masks its entry.
pub fn masked(item: &Item) -> Message {
    let said = |entry: &Entry| {
        let envelope = entry.envelope();
        let erased = || Message::erased(envelope);
        entry.body().map_or_else(erased, |body| message(envelope.kind, body))
    };
    let callers: Vec<Message> = item.callers.iter().map(|caller| said(caller)).collect();
    let entry = &item.stored.entry;
    said(entry).masked(entry.id(), &callers)
}

/// The name that a label record gives to its target, whichever known format it is in; empty where
/// it takes the name away, `None` where the body is no label.
pub fn label(body: &Body) -> Option<String> {
    match Label::from_body(body) {
        Ok(label) => Some(label.name),
        Err(_) => formats::of_body(&body.format)?.label(&json::text(&body.bytes)),
    }
}

/// The text of a message as people and summaries read it: parts one under the other.
pub fn plain_text(message: &Message) -> String {
    let mut out = String::new();
    for part in &message.parts {
        if !out.is_empty() {
            out.push('\n');
        }
        // Writing to a string cannot fail.
        let _ = match part {
            Part::Text { text } | Part::Reasoning { text } | Part::ToolResult { text, .. } => {
                out.write_str(text)
            }
            Part::ToolCall { name, arguments, .. } => write!(out, "{name}({arguments})"),
            Part::Media { mime, .. } => write!(out, "[{mime}]"),
            Part::Other { name, .. } => write!(out, "[{name}]"),
            _ => Ok(()),
        };
    }
    out
}

fn unread(kind: Kind, body: &Body) -> Message {
    let role = match kind {
        Kind::Assistant => Role::Assistant,
        Kind::ToolResult => Role::Tool,
        Kind::User | Kind::Note | Kind::Compaction | Kind::BranchSummary => Role::User,
        _ => Role::System,
    };
    let text = json::text(&body.bytes);
    let readable = Some(json::element(&text)).filter(|text| json::is_bounded(text));
    let value = readable.and_then(|text| serde_json::from_str(text).ok());
    let value = value.unwrap_or_else(|| Value::String(text.into_owned()));
    let name = value.get("type").and_then(Value::as_str).unwrap_or(&body.format).to_owned();
    Message::new(role, vec![Part::Other { name, value }])
}
