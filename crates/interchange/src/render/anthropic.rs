//! Anthropic Messages: `system` and `messages`. Roles alternate and begin with the user; the results
//! of an answer's calls are the first blocks of the very next user message.

use serde_json::{Value, json};
use treering_tree::Part;

use super::losses::{LossKind, Losses};
use super::media::{anthropic, placeholder};
use super::steps::{Answer, CallResult, Step, What};
use super::to_json;

const BEGINNING: &str = "[the conversation begins with an answer]";

pub(super) fn write(steps: &[Step<'_>], losses: &mut Losses) -> Vec<u8> {
    let mut messages = Messages::default();
    for step in steps {
        match &step.what {
            What::System(_) | What::Compaction { .. } => {}
            What::User(parts) => messages.push("user", content(parts, losses), losses),
            What::Assistant(answer) => {
                if messages.0.is_empty() {
                    losses.add(LossKind::LeadingUser);
                    messages.push("user", vec![text_block(BEGINNING)], losses);
                }
                messages.push("assistant", answer_blocks(answer, losses), losses);
                if !answer.calls.is_empty() {
                    messages.push("user", result_blocks(answer, losses), losses);
                }
            }
        }
    }
    messages.trim_end(losses);
    let blocks: Vec<Value> = prompts(steps, losses).into_iter().map(text_block).collect();
    let all: Vec<Value> = messages
        .0
        .into_iter()
        .map(|(role, content)| json!({"role": role, "content": content}))
        .collect();
    let mut whole = json!({});
    if !blocks.is_empty() {
        whole["system"] = Value::Array(blocks);
    }
    whole["messages"] = Value::Array(all);
    to_json(&whole)
}

/// The newest prompt of each slot, in order.
fn prompts<'s>(steps: &'s [Step<'_>], losses: &mut Losses) -> Vec<&'s str> {
    let mut found: Vec<(Option<&str>, &str)> = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let What::System(text) = &step.what else { continue };
        let slot = step.line.slot.as_deref();
        let leads = steps[..at].iter().all(|step| matches!(step.what, What::System(_)));
        losses.add_if(!leads, LossKind::HoistedPrompt);
        let before = found.len();
        found.retain(|(known, _)| slot.is_none() || *known != slot);
        losses.add_if(found.len() < before, LossKind::SupersededPrompt);
        found.push((slot, text));
    }
    found.into_iter().map(|(_, text)| text).collect()
}

/// Messages of alternating roles.
#[derive(Default)]
struct Messages(Vec<(&'static str, Vec<Value>)>);

impl Messages {
    fn push(&mut self, role: &'static str, content: Vec<Value>, losses: &mut Losses) {
        match self.0.last_mut() {
            Some((last, blocks)) if *last == role => {
                losses.add(LossKind::Merged);
                blocks.extend(content);
            }
            _ => self.0.push((role, content)),
        }
    }

    /// The last answer must not end with blanks.
    fn trim_end(&mut self, losses: &mut Losses) {
        let Some(("assistant", blocks)) = self.0.last_mut() else { return };
        let Some(Value::String(text)) = blocks.last_mut().map(|block| &mut block["text"]) else {
            return;
        };
        let len = text.trim_end().len();
        losses.add_if(len < text.len(), LossKind::TrimmedEnd);
        text.truncate(len);
    }
}

fn text_block(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

/// Texts and media of a user message.
pub(super) fn content(parts: &[Part], losses: &mut Losses) -> Vec<Value> {
    let block = |part: &Part| match part {
        Part::Text { text } => text_block(text),
        other => anthropic(other, losses).unwrap_or_else(|| text_block(&placeholder(other))),
    };
    parts.iter().map(block).collect()
}

/// Texts and calls of an answer.
pub(super) fn answer_blocks(answer: &Answer<'_>, losses: &mut Losses) -> Vec<Value> {
    let block = |part: &Part| match part {
        Part::Text { text } => text_block(text),
        other => {
            losses.add(LossKind::Media);
            text_block(&placeholder(other))
        }
    };
    let mut blocks: Vec<Value> = answer.parts.iter().map(block).collect();
    blocks.extend(answer.calls.iter().map(|call| {
        json!({"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments})
    }));
    blocks
}

/// Results of an answer's calls.
pub(super) fn result_blocks(answer: &Answer<'_>, losses: &mut Losses) -> Vec<Value> {
    let mut blocks = Vec::new();
    for call in &answer.calls {
        let content = result_content(&call.result, losses);
        let mut block = json!({"type": "tool_result", "tool_use_id": call.id, "content": content});
        if call.result.error {
            block["is_error"] = json!(true);
        }
        blocks.push(block);
    }
    blocks
}

fn result_content(result: &CallResult, losses: &mut Losses) -> Value {
    let text = result.text_or_none(losses);
    if result.media.is_empty() {
        return json!(text);
    }
    let mut blocks = Vec::new();
    if !text.trim().is_empty() {
        blocks.push(text_block(&text));
    }
    blocks.extend(content(&result.media, losses));
    Value::Array(blocks)
}
