//! `OpenAI` Chat Completions: an array of messages. A `tool` message follows the assistant message
//! whose call it answers, in call order.

use serde_json::{Value, json};
use treering_tree::Part;

use super::losses::{LossKind, Losses};
use super::media::{image_url, placeholder};
use super::steps::{Answer, Step, What};
use super::to_json;

pub(super) fn write(steps: &[Step<'_>], losses: &mut Losses) -> Vec<u8> {
    let mut messages = Vec::new();
    for step in steps {
        match &step.what {
            What::System(text) => messages.push(json!({"role": "system", "content": text})),
            What::User(parts) => {
                messages.push(json!({"role": "user", "content": content(parts, losses)}));
            }
            What::Assistant(answer) => assistant(answer, &mut messages, losses),
            What::Compaction { .. } => {}
        }
    }
    to_json(&messages)
}

/// A string where there is only text, else parts.
fn content(parts: &[Part], losses: &mut Losses) -> Value {
    if let [Part::Text { text }] = parts {
        return json!(text);
    }
    let part = |part: &Part| match part {
        Part::Text { text } => json!({"type": "text", "text": text}),
        other => match image_url(other, losses) {
            Some(url) => json!({"type": "image_url", "image_url": {"url": url}}),
            None => json!({"type": "text", "text": placeholder(other)}),
        },
    };
    parts.iter().map(part).collect()
}

fn assistant(answer: &Answer<'_>, messages: &mut Vec<Value>, losses: &mut Losses) {
    let text = answer_text(answer, losses);
    let mut message = json!({"role": "assistant", "content": text});
    if !answer.calls.is_empty() {
        let call = |call: &super::steps::Call| {
            let arguments = Value::Object(call.arguments.clone()).to_string();
            json!({"id": call.id, "type": "function",
                "function": {"name": call.name, "arguments": arguments}})
        };
        message["tool_calls"] = answer.calls.iter().map(call).collect();
    }
    messages.push(message);
    for call in &answer.calls {
        let text = result_text(&call.result, losses);
        messages.push(json!({"role": "tool", "tool_call_id": call.id, "content": text}));
    }
}

/// The text of an answer; `None` where it only calls tools.
pub(super) fn answer_text(answer: &Answer<'_>, losses: &mut Losses) -> Option<String> {
    let mut texts = Vec::new();
    for part in &answer.parts {
        match part {
            Part::Text { text } => texts.push(text.clone()),
            other => {
                losses.add(LossKind::Media);
                texts.push(placeholder(other));
            }
        }
    }
    (!texts.is_empty()).then(|| texts.join("\n"))
}

/// A result as text, with a line in place of each image.
pub(super) fn result_text(result: &super::steps::CallResult, losses: &mut Losses) -> String {
    let mut text = result.text_or_none(losses);
    for part in &result.media {
        losses.add(LossKind::Media);
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&placeholder(part));
    }
    text
}
