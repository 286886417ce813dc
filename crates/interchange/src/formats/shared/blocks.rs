//! Content blocks of the Anthropic, `OpenAI` and Gemini interfaces, and of the tools that store them.

use serde_json::Value;
use treering_tree::Part;

use super::first_text;
use crate::formats::result_text;
use crate::json::{self, Fields};

/// Parts of a content that is a text, a block, or blocks.
pub(in crate::formats) fn content(value: &Value) -> Vec<Part> {
    match value {
        Value::String(text) if text.is_empty() => Vec::new(),
        Value::String(text) => vec![Part::Text { text: text.clone() }],
        Value::Array(blocks) => blocks.iter().flat_map(parts).collect(),
        Value::Object(_) => parts(value),
        _ => Vec::new(),
    }
}

/// A tool result, and what else its content holds.
pub(in crate::formats) fn result(call: &str, content_of: &Value, error: bool) -> Vec<Part> {
    let (text, rest) = result_text(content(content_of));
    let mut parts = vec![Part::ToolResult { call: call.to_owned(), text, error }];
    // A result inside a result is part of what it says, not another answer.
    parts.extend(
        rest.into_iter()
            .filter(|part| !matches!(part, Part::ToolResult { .. } | Part::ToolCall { .. })),
    );
    parts
}

/// A call whose arguments are JSON, or JSON in a string.
pub(in crate::formats) fn call(id: &str, name: &str, arguments: &Value) -> Part {
    let text = arguments.as_str().filter(|text| json::is_bounded(text));
    let parsed = text.and_then(|text| serde_json::from_str(text).ok());
    let arguments = parsed.unwrap_or_else(|| arguments.clone());
    Part::ToolCall { id: id.to_owned(), name: name.to_owned(), arguments }
}

fn parts(block: &Value) -> Vec<Part> {
    if let Value::String(text) = block {
        return vec![Part::Text { text: text.clone() }];
    }
    match block.text("type") {
        Some("tool_result") => {
            let call = block.text("tool_use_id").unwrap_or_default();
            result(call, &block["content"], block.flag("is_error"))
        }
        Some(kind) => vec![typed(kind, block)],
        None => vec![untyped(block)],
    }
}

fn typed(kind: &str, block: &Value) -> Part {
    let text = || first_text(block, &["text", "thinking", "think"]).unwrap_or_default().to_owned();
    let source = &block["source"];
    match kind {
        "text" | "input_text" | "output_text" => Part::Text { text: text() },
        "thinking" | "reasoning" | "think" | "summary_text" | "reasoning_text" => {
            Part::Reasoning { text: text() }
        }
        "tool_use" => call(
            block.text("id").unwrap_or_default(),
            block.text("name").unwrap_or_default(),
            &block["input"],
        ),
        "image" | "document" if source.is_object() => Part::Media {
            mime: source.string("media_type"),
            data: first_text(source, &["data", "url"]).unwrap_or_default().to_owned(),
        },
        "image_url" | "input_image" => {
            let inner = block["image_url"].text("url").or(block.text("image_url"));
            Part::Media { mime: "image".into(), data: inner.unwrap_or_default().to_owned() }
        }
        name => Part::Other { name: name.to_owned(), value: block.clone() },
    }
}

/// Gemini's parts are told apart by the field they have.
fn untyped(block: &Value) -> Part {
    let (asked, answered) = (&block["functionCall"], &block["functionResponse"]);
    let id = |value: &Value| first_text(value, &["id", "name"]).unwrap_or_default().to_owned();
    if asked.is_object() {
        return call(&id(asked), asked.text("name").unwrap_or_default(), &asked["args"]);
    }
    if answered.is_object() {
        let response = &answered["response"];
        let text = first_text(response, &["output", "error"]).map(str::to_owned);
        let text = text.unwrap_or_else(|| response.to_string());
        return Part::ToolResult {
            call: id(answered),
            text,
            error: response.get("error").is_some(),
        };
    }
    if block["inlineData"].is_object() {
        let data = &block["inlineData"];
        return Part::Media { mime: data.string("mimeType"), data: data.string("data") };
    }
    match block.text("text") {
        Some(text) if block.flag("thought") => Part::Reasoning { text: text.to_owned() },
        Some(text) => Part::Text { text: text.to_owned() },
        None => Part::Other { name: "unknown".into(), value: block.clone() },
    }
}
