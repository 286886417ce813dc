//! ATIF trajectories: one document; its `steps` are the conversation. A step of the agent holds its
//! calls and what was observed, in one entry.

use serde_json::Value;
use treering_tree::{Kind, Message, Role, Usage};

use super::shared::{Prompts, blocks, first_text, thought};
use super::{Current, Format, Found, Head, Meaning, Reader};
use crate::frame::Frame;
use crate::json::{self, Fields};
use crate::time::time_ms;

/// The format.
pub(crate) struct Atif;

const BODY_FORMAT: &str = "atif/1";

impl Format for Atif {
    fn name(&self) -> &'static str {
        "atif"
    }

    fn recognize(&self, head: &Head<'_>) -> Option<Found> {
        let document = head.document.as_ref()?;
        document.text("schema_version")?.strip_prefix("ATIF-")?;
        let name = first_text(document, &["session_id", "trajectory_id"]);
        Some(Found::main(name.map(str::to_owned)))
    }

    fn frame(&self, _head: &Head<'_>) -> Frame {
        Frame::Document(&["steps"])
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Steps::default())
    }

    fn message(&self, _kind: Kind, text: &str) -> Option<Message> {
        said(&json::object(text)?).map(|(_, message)| message)
    }

    fn current(&self) -> Current {
        Current::LastRecord
    }
}

#[derive(Default)]
struct Steps {
    prompts: Prompts,
}

impl Reader for Steps {
    fn read(&mut self, text: &str) -> Option<Meaning> {
        let step = json::object(text)?;
        let (kind, message) = said(&step)?;
        let kind = self.prompts.kind(kind);
        // A step that was copied from before a compaction is not said again.
        let kind = if step.flag("is_copied_context") { Kind::Note } else { kind };
        let at_ms = time_ms(&step["timestamp"]);
        let id = step.get("step_id").and_then(Value::as_u64).map(|id| format!("step-{id}"));
        Some(Meaning { id, at_ms, ..Meaning::next(BODY_FORMAT, kind, Some(message)) })
    }
}

fn said(step: &Value) -> Option<(Kind, Message)> {
    let (kind, role) = match step.text("source")? {
        "system" => (Kind::SystemPrompt, Role::System),
        "user" => (Kind::User, Role::User),
        "agent" => (Kind::Assistant, Role::Assistant),
        _ => return None,
    };
    let mut parts = thought(step, &["reasoning_content"]);
    parts.extend(blocks::content(&step["message"]));
    parts.extend(step.list("tool_calls").iter().map(|call| {
        let (id, name) = (call.text("tool_call_id"), call.text("function_name"));
        blocks::call(id.unwrap_or_default(), name.unwrap_or_default(), &call["arguments"])
    }));
    for result in step["observation"].list("results") {
        match result.text("source_call_id") {
            Some(call) => parts.extend(blocks::result(call, &result["content"], false)),
            None => parts.extend(blocks::content(&result["content"])),
        }
    }
    let mut message = Message::new(role, parts);
    if kind == Kind::Assistant {
        message.model = step.text("model_name").map(str::to_owned);
        let metrics = &step["metrics"];
        let cached = metrics.count("cached_tokens");
        let input = metrics.count("prompt_tokens").saturating_sub(cached);
        let output = metrics.count("completion_tokens");
        message.usage = metrics.is_object().then_some(Usage { input, cached, created: 0, output });
    }
    Some((kind, message))
}
