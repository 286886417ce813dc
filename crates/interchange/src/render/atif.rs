//! ATIF v1.7: one trajectory of numbered steps. What is behind a compaction but was said before it
//! is marked as copied.

use serde_json::{Value, json};
use treering_tree::{Kind, Part};

use super::losses::{LossKind, Losses};
use super::media::placeholder;
use super::steps::{Answer, Step, What};
use super::to_json;
use crate::time::write_iso;

pub(super) fn write(session: &str, steps: &[Step<'_>], losses: &mut Losses) -> Vec<u8> {
    let mut all: Vec<Value> = Vec::new();
    for step in steps {
        let mut row = json!({"step_id": all.len() + 1, "timestamp": write_iso(step.line.at_ms)});
        match &step.what {
            What::System(text) => {
                row["source"] = json!("system");
                row["message"] = json!(text);
            }
            What::User(parts) => {
                let from = if step.line.kind == Kind::Note { "system" } else { "user" };
                row["source"] = json!(from);
                row["message"] = json!(text(parts, losses));
            }
            What::Assistant(answer) => agent(answer, &mut row, losses),
            What::Compaction { .. } => continue,
        }
        if step.line.copied {
            row["is_copied_context"] = json!(true);
        }
        row["extra"] = json!({"entry": step.line.id.to_string()});
        all.push(row);
    }
    to_json(&json!({"schema_version": "ATIF-v1.7", "session_id": session,
        "agent": {"name": "treering", "version": env!("CARGO_PKG_VERSION")}, "steps": all}))
}

fn agent(answer: &Answer<'_>, row: &mut Value, losses: &mut Losses) {
    let is_reasoning = |part: &&Part| matches!(part, Part::Reasoning { .. });
    let (reasoning, said): (Vec<&Part>, Vec<&Part>) = answer.parts.iter().partition(is_reasoning);
    row["source"] = json!("agent");
    if let Some(model) = &answer.said.model {
        row["model_name"] = json!(model);
    }
    row["message"] = json!(text(said, losses));
    if !reasoning.is_empty() {
        row["reasoning_content"] = json!(text(reasoning, losses));
    }
    if !answer.calls.is_empty() {
        row["tool_calls"] = answer
            .calls
            .iter()
            .map(|call| {
                json!({"tool_call_id": call.id, "function_name": call.name,
                    "arguments": call.arguments})
            })
            .collect();
        let result = |call: &super::steps::Call| {
            let text = super::chat::result_text(&call.result, losses);
            json!({"source_call_id": call.id, "content": text})
        };
        let results: Vec<Value> = answer.calls.iter().map(result).collect();
        row["observation"] = json!({"results": results});
    }
    if let Some(usage) = answer.said.usage {
        row["metrics"] = json!({"prompt_tokens": usage.prompt(),
            "completion_tokens": usage.output, "cached_tokens": usage.cached});
    }
}

fn text<'p>(parts: impl IntoIterator<Item = &'p Part>, losses: &mut Losses) -> String {
    let line = |part: &Part| match part {
        Part::Text { text } | Part::Reasoning { text } => text.clone(),
        other => {
            losses.add(LossKind::Media);
            placeholder(other)
        }
    };
    parts.into_iter().map(line).collect::<Vec<_>>().join("\n")
}
