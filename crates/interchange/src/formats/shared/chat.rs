//! Messages with a role, as Chat Completions and Anthropic Messages have them.

use serde_json::Value;
use treering_tree::{Kind, Message, Part, Role, Usage};

use super::{blocks, first_text};
use crate::json::Fields;

/// What a message is, and what it says; `None` where it has no role of these.
pub(in crate::formats) fn message(value: &Value) -> Option<(Kind, Message)> {
    let mut parts = blocks::content(&value["content"]);
    let role = value.text("role")?;
    let (kind, role) = match role {
        "system" | "developer" => (Kind::SystemPrompt, Role::System),
        "user" if holds_results(&parts) => (Kind::ToolResult, Role::Tool),
        "user" => (Kind::User, Role::User),
        "assistant" | "model" | "ai" => (Kind::Assistant, Role::Assistant),
        "tool" | "function" => (Kind::ToolResult, Role::Tool),
        _ => return None,
    };
    match (kind, value.text("role")) {
        (Kind::Assistant, _) => {
            if let Some(text) = first_text(value, &["reasoning_content", "reasoning"]) {
                parts.insert(0, Part::Reasoning { text: text.to_owned() });
            }
            parts.extend(value.list("tool_calls").iter().map(|call| {
                let function = &call["function"];
                let name = function.text("name").unwrap_or_default();
                blocks::call(call.text("id").unwrap_or_default(), name, &function["arguments"])
            }));
        }
        (Kind::ToolResult, Some("tool" | "function")) => {
            let ids = value.list("tool_call_ids").first().and_then(Value::as_str);
            let call = first_text(value, &["tool_call_id", "name"]).filter(|_| ids.is_none());
            let call = ids.or(call).unwrap_or_default();
            parts = blocks::result(call, &value["content"], false);
        }
        _ => {}
    }
    let mut message = Message::new(role, parts);
    if kind == Kind::Assistant {
        message.model = value.text("model").map(str::to_owned);
        message.stop = first_text(value, &["stop_reason", "finish_reason"]).map(str::to_owned);
        message.usage = usage(&value["usage"]);
    }
    Some((kind, message))
}

/// What the providers report, in the three shapes there are.
pub(in crate::formats) fn usage(value: &Value) -> Option<Usage> {
    value.as_object().filter(|fields| !fields.is_empty())?;
    let first = |keys: &[&str]| keys.iter().find_map(|key| value.get(key)?.as_u64()).unwrap_or(0);
    let read = first(&["cache_read_input_tokens", "cached_input_tokens", "cached_tokens"]);
    let read = read.max(value["prompt_tokens_details"].count("cached_tokens"));
    let read = read.max(value["input_tokens_details"].count("cached_tokens"));
    let created = first(&["cache_creation_input_tokens", "cache_write_input_tokens"]);
    let output = first(&["output_tokens", "completion_tokens"]);
    // Anthropic counts what was cached beside the input, the others inside it.
    let beside =
        value.get("cache_read_input_tokens").is_some() && value.get("input_tokens").is_some();
    let input = first(&["input_tokens", "prompt_tokens"]);
    let input = if beside { input } else { input.saturating_sub(read).saturating_sub(created) };
    Some(Usage { input, cached: read, created, output })
}

fn holds_results(parts: &[Part]) -> bool {
    parts.iter().any(|part| matches!(part, Part::ToolResult { .. }))
}
