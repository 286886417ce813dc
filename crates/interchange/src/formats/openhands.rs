//! `OpenHands`: a JSON event per line, or one per file beside a `base_state.json`.
//!
//! `parent_id` names the event before, and where there is none it is the one before in the file; the
//! conversation stands at the state's `leaf_event_id`, or else at the last event. A condensation keeps from the first event after the last forgotten one.

use std::collections::HashMap;

use serde_json::Value;
use treering_tree::{Kind, Message, Role};

use super::shared::{Prompts, blocks, chat, first_text, thought};
use super::{About, Current, Format, Found, Hangs, Head, Meaning, Member, Reader, Stands};
use crate::frame::Frame;
use crate::json::{self, Fields};
use crate::time::time_ms;

/// The format.
pub(crate) struct OpenHands;

const BODY_FORMAT: &str = "openhands/1";

impl Format for OpenHands {
    fn name(&self) -> &'static str {
        "openhands"
    }

    fn recognize(&self, head: &Head<'_>) -> Option<Found> {
        let lines = head.records.iter().filter_map(|text| json::object(text));
        if let Some(event) = head.document.clone().into_iter().chain(lines).find(is_event) {
            let names: Vec<&str> = head.path.iter().filter_map(|name| name.to_str()).collect();
            let [.., folder, "events", name] = names[..] else { return Some(Found::main(None)) };
            if !name.starts_with("event-") || head.document.is_none() {
                return Some(Found::main(None));
            }
            let (name, order) = (format!("events/{name}"), name.to_owned());
            let id = event.text("id").map(str::to_owned);
            return Some(Found::member(
                Some(session(folder)),
                Member { name, order, id, of: None },
            ));
        }
        let state = head.document.as_ref().filter(|document| is_state(document))?;
        Some(Found::beside(state.text("id").map(session), "base_state.json"))
    }

    fn frame(&self, head: &Head<'_>) -> Frame {
        if head.document.as_ref().is_some_and(is_state) { Frame::State } else { Frame::Lines }
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

fn is_event(event: &Value) -> bool {
    let fields = ["id", "kind", "source", "timestamp"];
    fields.iter().all(|field| event.text(field).is_some())
}

/// Whether a document is the state that the tool keeps beside the events.
fn is_state(document: &Value) -> bool {
    document.text("id").is_some()
        && document.text("persistence_dir").is_some()
        && document["agent"].is_object()
}

/// The id of a session: its folder is called by the digits of it alone.
fn session(name: &str) -> String {
    if name.len() != 32 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return name.to_owned();
    }
    [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &name[part]).join("-")
}

#[derive(Default)]
struct Events {
    prompts: Prompts,
    /// Ids in file order, and the place of each.
    ids: Vec<String>,
    places: HashMap<String, usize>,
}

impl Reader for Events {
    fn read(&mut self, text: &str) -> Option<Meaning> {
        let event = json::object(text)?;
        if is_state(&event) {
            let stands = event.text("leaf_event_id").map(|id| Stands::At(id.to_owned()));
            return Some(Meaning { stands, ..Meaning::aside(BODY_FORMAT.to_owned()) });
        }
        let id = event.text("id")?;
        let kind = self.prompts.kind(entry_kind(&event)?);
        let hangs = match event.text("parent_id") {
            Some(parent) => Hangs::Under(parent.to_owned()),
            None => Hangs::Previous,
        };
        let about = (kind == Kind::Compaction).then(|| self.first_kept(&event));
        self.places.insert(id.to_owned(), self.ids.len());
        self.ids.push(id.to_owned());
        let message = if kind == Kind::Record { None } else { said(&event, kind) };
        let calls_in_one_answer = event.text("llm_response_id").map(str::to_owned);
        Some(Meaning {
            hangs,
            about,
            id: Some(id.to_owned()),
            at_ms: time_ms(&event["timestamp"]),
            group: calls_in_one_answer.filter(|_| kind == Kind::Assistant),
            continues: kind == Kind::ToolResult,
            ..Meaning::next(BODY_FORMAT, kind, message)
        })
    }
}

impl Events {
    fn first_kept(&self, event: &Value) -> About {
        let forgotten = event.list("forgotten_event_ids").iter().filter_map(Value::as_str);
        let last = forgotten.filter_map(|id| self.places.get(id)).max();
        let kept = last.and_then(|last| self.ids.get(last + 1));
        kept.map_or(About::Nothing, |id| About::Id(id.clone()))
    }
}

fn entry_kind(event: &Value) -> Option<Kind> {
    Some(match event.text("kind")? {
        "SystemPromptEvent" => Kind::SystemPrompt,
        "MessageEvent" => match chat::message(&event["llm_message"]) {
            Some((kind, _)) => kind,
            None => Kind::Record,
        },
        "ActionEvent" => Kind::Assistant,
        "ObservationEvent" | "UserRejectObservation" | "AgentErrorEvent" => Kind::ToolResult,
        "Condensation" if event.text("summary").is_some() => Kind::Compaction,
        _ => Kind::Record,
    })
}

fn said(event: &Value, kind: Kind) -> Option<Message> {
    match kind {
        Kind::Compaction => Some(Message::text(Role::User, event.text("summary")?)),
        _ if event["llm_message"].is_object() => {
            chat::message(&event["llm_message"]).map(|(_, message)| message)
        }
        Kind::SystemPrompt | Kind::Note => {
            Some(Message::new(Role::System, blocks::content(&event["system_prompt"])))
        }
        Kind::ToolResult => {
            let call = event.text("tool_call_id").unwrap_or_default();
            let observation = &event["observation"];
            let failed = observation.flag("is_error") || observation.is_null();
            let told = first_text(event, &["error", "rejection_reason"]);
            let parts = match (observation.get("content"), told) {
                (Some(content), _) => blocks::result(call, content, failed),
                (None, Some(text)) => blocks::result(call, &Value::from(text), true),
                (None, None) => blocks::result(call, &Value::from(observation.to_string()), failed),
            };
            Some(Message::new(Role::Tool, parts))
        }
        Kind::Assistant => {
            let mut parts = thought(event, &["reasoning_content"]);
            parts.extend(blocks::content(&event["thought"]));
            let call = &event["tool_call"];
            let id = first_text(event, &["tool_call_id"]).or(call.text("id"));
            let name = first_text(event, &["tool_name"]).or(call.text("name"));
            if let Some(id) = id {
                let shaped = call.get("arguments").or(call["function"].get("arguments"));
                let arguments = shaped.unwrap_or(&event["action"]);
                parts.push(blocks::call(id, name.unwrap_or_default(), arguments));
            }
            Some(Message::new(Role::Assistant, parts))
        }
        _ => None,
    }
}
