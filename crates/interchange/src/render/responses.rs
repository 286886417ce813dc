//! `OpenAI` Responses: an array of input items. Calls and their outputs are items of their own.

use serde_json::{Value, json};
use treering_tree::Part;

use super::chat::{answer_text, result_text};
use super::losses::Losses;
use super::media::{image_url, placeholder};
use super::steps::{Step, What};
use super::to_json;

pub(super) fn write(steps: &[Step<'_>], losses: &mut Losses) -> Vec<u8> {
    let mut items: Vec<Value> = Vec::new();
    let message =
        |role: &str, content: Value| json!({"type": "message", "role": role, "content": content});
    for step in steps {
        match &step.what {
            What::System(text) => {
                items.push(message("developer", json!([{"type": "input_text", "text": text}])));
            }
            What::User(parts) => items.push(message("user", content(parts, losses))),
            What::Assistant(answer) => {
                items.extend(
                    answer_text(answer, losses).map(|text| message("assistant", json!(text))),
                );
                for call in &answer.calls {
                    let arguments = Value::Object(call.arguments.clone()).to_string();
                    items.push(json!({"type": "function_call", "call_id": call.id,
                        "name": call.name, "arguments": arguments}));
                }
                for call in &answer.calls {
                    let output = result_text(&call.result, losses);
                    items.push(json!({"type": "function_call_output", "call_id": call.id,
                        "output": output}));
                }
            }
            What::Compaction { .. } => {}
        }
    }
    to_json(&items)
}

fn content(parts: &[Part], losses: &mut Losses) -> Value {
    let part = |part: &Part| match part {
        Part::Text { text } => json!({"type": "input_text", "text": text}),
        other => match image_url(other, losses) {
            Some(url) => json!({"type": "input_image", "image_url": url, "detail": "auto"}),
            None => json!({"type": "input_text", "text": placeholder(other)}),
        },
    };
    parts.iter().map(part).collect()
}
