//! Codex rollouts of all generations: a JSON line per item, no ids, in file order.
//!
//! A line is `{timestamp, type, payload}`; the oldest files hold the payload itself, without a type
//! around it. Conversation items are on the path, events and settings are records between them,
//! `compacted` is a compaction whose replacement history is its summary, and `thread_rolled_back`
//! goes back to before the last turns. The first `session_meta` names the session.

use serde_json::Value;
use treering_tree::{Kind, Message, Part, Role};

use super::shared::{chat, items, transcript};
use super::{Current, Format, Found, Hangs, Head, Meaning, Reader};
use crate::json::{self, Fields};
use crate::time::time_ms;

/// The format.
pub(crate) struct Codex;

/// Types of lines.
const TYPES: [&str; 8] = [
    "session_meta",
    "response_item",
    "event_msg",
    "turn_context",
    "compacted",
    "world_state",
    "inter_agent_communication",
    "inter_agent_communication_metadata",
];
/// What the tool itself says in the user's name begins like this.
const CONTEXT: [&str; 6] = [
    "<environment_context>",
    "<user_instructions>",
    "# AGENTS.md instructions",
    "<turn_aborted>",
    "<user_shell_command>",
    "<skill>",
];

impl Format for Codex {
    fn name(&self) -> &'static str {
        "codex"
    }

    fn recognize(&self, head: &Head<'_>) -> Option<Found> {
        let mut lines = head.records.iter().filter_map(|text| json::object(text));
        let first = lines.next()?;
        if is_enveloped(&first) {
            let meta = |line: &Value| line.text("type") == Some("session_meta");
            let meta = Some(first).filter(meta).or_else(|| lines.find(meta));
            let id = meta.and_then(|line| line["payload"].text("id").map(str::to_owned));
            return Some(Found::main(id));
        }
        // The header of the oldest files has no type; what follows are bare items.
        let is_header = first.get("type").is_none()
            && first.text("timestamp").is_some()
            && (first.get("instructions").is_some() || first.get("git").is_some());
        is_header.then(|| Found::main(first.text("id").map(str::to_owned)))
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Rollout::default())
    }

    fn message(&self, kind: Kind, text: &str) -> Option<Message> {
        said(&json::object(text)?, kind)
    }

    fn current(&self) -> Current {
        Current::LastRecord
    }
}

fn is_enveloped(line: &Value) -> bool {
    let known = line.text("type").is_some_and(|kind| TYPES.contains(&kind));
    known && line["payload"].is_object()
}

/// The turns so far, to go back to.
#[derive(Default)]
struct Rollout {
    records: u64,
    /// Marks of the first record of each turn on the path.
    turns: Vec<u64>,
    /// Where the turn that is going on began, until a user speaks in it.
    begun: Option<u64>,
    /// Whether the tool marks where turns begin and this one has begun.
    inside: bool,
}

impl Reader for Rollout {
    fn read(&mut self, text: &str) -> Option<Meaning> {
        let line = json::object(text)?;
        let (body_format, kind) = if is_enveloped(&line) {
            ("codex/2", entry_kind(&line))
        } else if line.get("payload").is_some() {
            return None;
        } else {
            ("codex/1", items::message(&line).map_or(Kind::Record, |_| item_kind(&line)))
        };
        let known = body_format == "codex/2"
            || line.get("record_type").is_some()
            || line.get("type").is_some()
            || line.get("instructions").is_some();
        if !known {
            return None;
        }
        let mark = self.records;
        self.records += 1;
        let hangs = self.hangs(&line, kind, mark);
        let message = if kind == Kind::Record { None } else { said(&line, kind) };
        Some(Meaning {
            hangs,
            at_ms: time_ms(&line["timestamp"]),
            mark: Some(mark),
            ..Meaning::next(body_format, kind, message)
        })
    }
}

impl Rollout {
    /// Where a record hangs; keeps count of turns on the way.
    fn hangs(&mut self, line: &Value, kind: Kind, mark: u64) -> Hangs {
        let payload = &line["payload"];
        match (line.text("type"), payload.text("type")) {
            (Some("event_msg"), Some("task_started" | "turn_started")) => {
                (self.begun, self.inside) = (Some(mark), true);
            }
            (Some("event_msg"), Some("task_complete" | "turn_complete" | "turn_aborted")) => {
                (self.begun, self.inside) = (None, false);
            }
            (Some("event_msg"), Some("thread_rolled_back")) => {
                let turns = usize::try_from(payload.count("num_turns")).unwrap_or(usize::MAX);
                let keep = self.turns.len().saturating_sub(turns);
                (self.begun, self.inside) = (None, false);
                return match self.turns.drain(keep..).next() {
                    Some(first) => Hangs::Beside(first),
                    None => Hangs::Previous,
                };
            }
            _ if kind == Kind::User => match (self.begun.take(), self.inside) {
                (None, true) => {}
                (begun, _) => self.turns.push(begun.unwrap_or(mark)),
            },
            _ => {}
        }
        Hangs::Previous
    }
}

fn entry_kind(line: &Value) -> Kind {
    match line.text("type") {
        Some("response_item") => item_kind(&line["payload"]),
        Some("compacted") => Kind::Compaction,
        Some("inter_agent_communication") => Kind::Note,
        _ => Kind::Record,
    }
}

fn item_kind(item: &Value) -> Kind {
    match items::message(item) {
        // Instructions of the tool, and what it says in the user's name.
        Some((Kind::SystemPrompt, _)) => Kind::Note,
        Some((Kind::User, _)) if is_context(item) => Kind::Note,
        Some((kind, _)) => kind,
        None => Kind::Record,
    }
}

fn is_context(item: &Value) -> bool {
    let first = items::first_line(item);
    CONTEXT.iter().any(|begin| first.starts_with(begin))
}

fn said(line: &Value, kind: Kind) -> Option<Message> {
    let payload = if is_enveloped(line) { &line["payload"] } else { line };
    if kind == Kind::Compaction {
        let kept = payload.list("replacement_history");
        let told = transcript(kept.iter().filter_map(items::message).map(|(_, said)| said));
        let text = if told.is_empty() { payload.string("message") } else { told };
        return Some(Message::text(Role::User, text));
    }
    if line.text("type") == Some("event_msg") {
        return event(payload);
    }
    items::message(payload).map(|(_, message)| message)
}

/// Events say nothing to the model; one kind tells what the provider reported.
fn event(payload: &Value) -> Option<Message> {
    let name = payload.text("type")?.to_owned();
    let usage = chat::usage(&payload["info"]["last_token_usage"]);
    let part = Part::Other { name, value: payload.clone() };
    Some(Message { usage, ..Message::new(Role::System, vec![part]) })
}
