//! Items of the Responses interface, which Codex stores one per line.

use serde_json::Value;
use treering_tree::{Kind, Message, Part, Role};

use super::{blocks, chat, first_text};
use crate::json::Fields;

/// What an item is, and what it says; `None` where it is none.
pub(in crate::formats) fn message(item: &Value) -> Option<(Kind, Message)> {
    let kind = match item.text("type") {
        None | Some("message") => return chat::message(item),
        Some(kind) => kind,
    };
    let call_id = item.text("call_id").filter(|id| !id.is_empty());
    let said = |parts| Some((Kind::Assistant, Message::new(Role::Assistant, parts)));
    match kind {
        "reasoning" => {
            let mut parts = blocks::content(&item["summary"]);
            parts.extend(blocks::content(&item["content"]));
            said(parts.into_iter().map(as_reasoning).collect())
        }
        "function_call" | "custom_tool_call" | "local_shell_call" | "tool_search_call"
        | "tool_call"
            if call_id.is_some() || kind != "tool_search_call" =>
        {
            let name = item.text("name").or(item["function"].text("name")).unwrap_or(kind);
            let arguments = ["arguments", "input", "action"].iter().find_map(|key| item.get(key));
            let id = call_id.or(item.text("id")).unwrap_or_default();
            said(vec![blocks::call(id, name, arguments.unwrap_or(&Value::Null))])
        }
        "function_call_output"
        | "custom_tool_call_output"
        | "tool_search_output"
        | "local_shell_call_output"
        | "tool_result" => {
            let output = ["output", "result", "tools"].iter().find_map(|key| item.get(key));
            let output = output.unwrap_or(&Value::Null);
            let shaped = output.get("type").is_some() || !output.is_object();
            let text = Value::String(output.to_string());
            let call = call_id.unwrap_or_default();
            let parts = blocks::result(call, if shaped { output } else { &text }, false);
            Some((Kind::ToolResult, Message::new(Role::Tool, parts)))
        }
        "agent_message" => {
            Some((Kind::Note, Message::new(Role::User, blocks::content(&item["content"]))))
        }
        "web_search_call"
        | "image_generation_call"
        | "file_search_call"
        | "code_interpreter_call"
        | "computer_call"
        | "mcp_call" => said(vec![Part::Other { name: kind.to_owned(), value: item.clone() }]),
        "compaction" | "compaction_summary" | "ghost_snapshot" | "item_reference"
        | "tool_search_call" | "mcp_list_tools" => {
            let part = Part::Other { name: kind.to_owned(), value: item.clone() };
            Some((Kind::Record, Message::new(Role::System, vec![part])))
        }
        _ => None,
    }
}

fn as_reasoning(part: Part) -> Part {
    match part {
        Part::Text { text } => Part::Reasoning { text },
        other => other,
    }
}

/// The text of the first block of an item.
pub(in crate::formats) fn first_line(item: &Value) -> &str {
    let content = &item["content"];
    let first = content.as_str().or_else(|| first_text(content.get(0)?, &["text"]));
    first.unwrap_or_default().trim_start()
}
