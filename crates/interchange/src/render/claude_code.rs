//! A Claude Code session: lines that each name the one before as their parent. A compaction begins a
//! new tree with a boundary and the summary, behind which what it kept is written again, as the tool
//! itself does.

use serde_json::{Value, json};
use treering_tree::{Id, Kind};

use super::anthropic::{answer_blocks, content, result_blocks};
use super::losses::{LossKind, Losses};
use super::steps::{Answer, Step, What};
use super::to_lines;
use crate::time::write_iso;

const VERSION: &str = "2.0.0";

pub(super) fn write(session: &str, steps: &[Step<'_>], losses: &mut Losses) -> Vec<u8> {
    let mut lines = Lines { session, written: Vec::new(), parent: None };
    for (at, step) in steps.iter().enumerate() {
        if let What::Compaction { text, first_kept } = &step.what {
            lines.boundary(step, text);
            let line = first_kept.unwrap_or(usize::MAX);
            for kept in steps[..at].iter().filter(|kept| kept.line.number >= line) {
                // Counted where it stood first.
                lines.say(kept, &mut Losses::default());
            }
        } else {
            lines.say(step, losses);
        }
    }
    to_lines(&lines.written)
}

struct Lines<'s> {
    session: &'s str,
    written: Vec<Value>,
    parent: Option<String>,
}

impl Lines<'_> {
    fn say(&mut self, step: &Step<'_>, losses: &mut Losses) {
        match &step.what {
            What::System(_) => losses.add(LossKind::SystemPrompt),
            What::User(parts) => {
                let message = json!({"role": "user", "content": content(parts, losses)});
                let line = self.put("user", step.line.id, step.line.at_ms, message);
                if step.line.kind == Kind::Note {
                    line["isMeta"] = json!(true);
                }
            }
            What::Assistant(answer) => self.answer(step, answer, losses),
            What::Compaction { .. } => {}
        }
    }

    fn answer(&mut self, step: &Step<'_>, answer: &Answer<'_>, losses: &mut Losses) {
        let usage = answer.said.usage.unwrap_or_default();
        let id = step.line.id;
        let said = answer.said;
        let message = json!({"id": format!("msg_{}", id.short()), "type": "message",
            "role": "assistant", "model": said.model.as_deref().unwrap_or("unknown"),
            "content": answer_blocks(answer, losses),
            "stop_reason": said.stop, "stop_sequence": null,
            "usage": {"input_tokens": usage.input, "output_tokens": usage.output,
                "cache_read_input_tokens": usage.cached,
                "cache_creation_input_tokens": usage.created}});
        self.put("assistant", id, step.line.at_ms, message);
        if !answer.calls.is_empty() {
            let results = answer.calls.iter().filter_map(|call| call.result.at_ms);
            let at_ms = results.max().unwrap_or(step.line.at_ms);
            let message = json!({"role": "user", "content": result_blocks(answer, losses)});
            self.put("user", id, at_ms, message);
        }
    }

    fn boundary(&mut self, step: &Step<'_>, text: &str) {
        let logical = self.parent.take();
        let (id, at_ms) = (step.line.id, step.line.at_ms);
        let line = self.put("system", id, at_ms, Value::Null);
        line["subtype"] = json!("compact_boundary");
        line["content"] = json!("Conversation compacted");
        line["logicalParentUuid"] = json!(logical);
        line["compactMetadata"] = json!({"trigger": "auto", "preTokens": 0});
        let message = json!({"role": "user", "content": text});
        let line = self.put("user", id, at_ms, message);
        line["isCompactSummary"] = json!(true);
    }

    fn put(&mut self, kind: &str, id: Id, at_ms: i64, message: Value) -> &mut Value {
        let uuid = uuid(id, self.written.len());
        let parent = self.parent.replace(uuid.clone());
        let mut line = json!({"parentUuid": parent, "isSidechain": false, "userType": "external",
            "cwd": "/", "sessionId": self.session, "version": VERSION, "type": kind,
            "uuid": uuid, "timestamp": write_iso(at_ms)});
        if !message.is_null() {
            line["message"] = message;
        }
        let at = self.written.len();
        self.written.push(line);
        &mut self.written[at]
    }
}

/// A UUID of version 8: of the entry, and of the line.
fn uuid(id: Id, line: usize) -> String {
    let hex = id.to_string();
    let line = line & 0xFFFF_FFFF;
    format!(
        "{}-{}-8{}-8{}-{}{line:08x}",
        &hex[..8],
        &hex[8..12],
        &hex[12..15],
        &hex[15..18],
        &hex[18..22]
    )
}
