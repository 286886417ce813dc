//! A pi session of version 3: a header, then entries that each name the one before as their parent.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use treering_tree::{Kind, Message, Part};

use super::losses::{LossKind, Losses};
use super::media::placeholder;
use super::steps::{Answer, Call, Step, What};
use super::to_lines;
use crate::time::write_iso;

pub(super) fn write(session: &str, steps: &[Step<'_>], losses: &mut Losses) -> Vec<u8> {
    if steps.is_empty() {
        return Vec::new();
    }
    let at_ms = steps.first().map_or(0, |step| step.line.at_ms);
    let header = json!({"type": "session", "version": 3, "id": session,
        "timestamp": write_iso(at_ms), "cwd": "/"});
    let mut entries = Entries { lines: vec![header], names: BTreeMap::new() };
    // What the newest compaction keeps from: where entries that do not show lie between, the next one
    // must still go past it.
    let mut cut = String::new();
    for step in steps {
        let from = entries.lines.len();
        let at_ms = step.line.at_ms;
        match &step.what {
            What::System(_) => losses.add(LossKind::SystemPrompt),
            What::User(parts) => user(step, parts, &mut entries, losses),
            What::Assistant(answer) => {
                let message = assistant(answer, at_ms, losses);
                entries.put("message", at_ms, json!({"message": message}));
                for call in &answer.calls {
                    let at_ms = call.result.at_ms.unwrap_or(at_ms);
                    let message = result(call, at_ms, losses);
                    entries.put("message", at_ms, json!({"message": message}));
                }
            }
            What::Compaction { text, first_kept } => {
                let shown = first_kept.map(|line| entries.names.range(line..));
                let kept = shown.and_then(|mut shown| shown.find(|(_, name)| **name > cut));
                let kept = kept.map(|(_, name)| name.clone());
                cut = kept.clone().unwrap_or_else(|| name(from));
                let mut fields = json!({"summary": text, "tokensBefore": 0});
                if let Some(kept) = kept {
                    fields["firstKeptEntryId"] = json!(kept);
                }
                entries.put("compaction", at_ms, fields);
            }
        }
        if entries.lines.len() > from {
            entries.names.insert(step.line.number, name(from));
        }
    }
    to_lines(&entries.lines)
}

struct Entries {
    lines: Vec<Value>,
    /// What the entries of lines are called in the file.
    names: BTreeMap<usize, String>,
}

/// The id of the entry on a line: eight hex digits.
fn name(line: usize) -> String {
    format!("{line:08x}")
}

impl Entries {
    fn put(&mut self, kind: &str, at_ms: i64, fields: Value) {
        let line = self.lines.len();
        let parent = (line > 1).then(|| name(line - 1));
        let mut entry = Map::new();
        entry.insert("type".into(), json!(kind));
        entry.insert("id".into(), json!(name(line)));
        entry.insert("parentId".into(), json!(parent));
        entry.insert("timestamp".into(), json!(write_iso(at_ms)));
        if let Value::Object(fields) = fields {
            entry.extend(fields);
        }
        self.lines.push(Value::Object(entry));
    }
}

fn user(step: &Step<'_>, parts: &[Part], entries: &mut Entries, losses: &mut Losses) {
    let at_ms = step.line.at_ms;
    let content = content(parts, losses);
    let fields = match step.line.kind {
        Kind::User => {
            json!({"message": {"role": "user", "content": content, "timestamp": at_ms}})
        }
        Kind::BranchSummary => {
            let said = Message::new(treering_tree::Role::User, parts.to_vec());
            let text = crate::message::plain_text(&said);
            let from = entries.lines.len() - 1;
            let from = if from > 0 { name(from) } else { "root".to_owned() };
            return entries.put("branch_summary", at_ms, json!({"fromId": from, "summary": text}));
        }
        kind => {
            let fields = json!({"customType": kind.name(), "content": content, "display": true});
            return entries.put("custom_message", at_ms, fields);
        }
    };
    entries.put("message", at_ms, fields);
}

fn content(parts: &[Part], losses: &mut Losses) -> Vec<Value> {
    let block = |part: &Part| match part {
        Part::Text { text } => json!({"type": "text", "text": text}),
        Part::Reasoning { text } => json!({"type": "thinking", "thinking": text}),
        Part::Media { mime, data } if mime.starts_with("image/") && !data.contains(':') => {
            json!({"type": "image", "data": data, "mimeType": mime})
        }
        other => {
            losses.add(LossKind::Media);
            json!({"type": "text", "text": placeholder(other)})
        }
    };
    parts.iter().map(block).collect()
}

fn assistant(answer: &Answer<'_>, at_ms: i64, losses: &mut Losses) -> Value {
    let mut blocks = content(&answer.parts, losses);
    blocks.extend(answer.calls.iter().map(|call| {
        json!({"type": "toolCall", "id": call.id, "name": call.name, "arguments": call.arguments})
    }));
    let usage = answer.said.usage.unwrap_or_default();
    let total = usage.prompt().saturating_add(usage.output);
    let stop = match answer.said.stop.as_deref() {
        Some("length" | "max_tokens") => "length",
        Some("error") => "error",
        Some("aborted") => "aborted",
        _ if !answer.calls.is_empty() => "toolUse",
        _ => "stop",
    };
    json!({"role": "assistant", "content": blocks, "api": "unknown", "provider": "unknown",
        "model": answer.said.model.as_deref().unwrap_or("unknown"),
        "usage": {"input": usage.input, "output": usage.output, "cacheRead": usage.cached,
            "cacheWrite": usage.created, "totalTokens": total,
            "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0, "total": 0}},
        "stopReason": stop, "timestamp": at_ms})
}

fn result(call: &Call, at_ms: i64, losses: &mut Losses) -> Value {
    let mut parts = vec![Part::Text { text: call.result.text.clone() }];
    parts.extend(call.result.media.iter().cloned());
    json!({"role": "toolResult", "toolCallId": call.id, "toolName": call.name,
        "content": content(&parts, losses), "isError": call.result.error, "timestamp": at_ms})
}
