//! Sessions of other tools, made up: turns of a question, a call, its result and an answer, with a
//! compaction now and then, as large as asked for. The content is our own, the shapes are the tools'.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::body;

/// A format that sessions can be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// pi, version 3.
    Pi,
    /// Claude Code.
    ClaudeCode,
    /// Codex.
    Codex,
    /// One JSON document: an array of Chat Completions messages.
    Chat,
}

impl Tool {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pi, Self::ClaudeCode, Self::Codex, Self::Chat];

    /// The format's name, as import takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pi => "pi",
            Self::ClaudeCode => "claude-code",
            Self::Codex => "codex",
            Self::Chat => "openai-chat",
        }
    }
}

/// Turns between two compactions, where the format has any.
const TURNS_PER_COMPACTION: u64 = 40;
/// Bytes of what each record of a turn says: question, call, result, answer.
const SAID_BYTES: [usize; 4] = [200, 300, 3_000, 900];

/// Writes a session of at least `bytes` bytes; answers how many it has.
///
/// # Errors
/// Those of `out`.
pub fn write(tool: Tool, bytes: u64, out: &mut impl Write) -> io::Result<u64> {
    let mut session = Session { tool, written: 0, records: 0, last: None };
    session.begin(out)?;
    let mut turn = 0;
    // It ends some turns behind a compaction, as sessions do.
    while session.written < bytes || turn % TURNS_PER_COMPACTION != TURNS_PER_COMPACTION / 2 {
        if turn > 0 && turn % TURNS_PER_COMPACTION == 0 {
            session.compact(turn, out)?;
        }
        for (role, len) in SAID_BYTES.into_iter().enumerate() {
            let text = words(turn * 4 + role as u64, len);
            session.say(role, turn, &text, out)?;
        }
        turn += 1;
    }
    if tool == Tool::Chat {
        session.put("]\n", out)?;
    }
    Ok(session.written)
}

struct Session {
    tool: Tool,
    written: u64,
    records: u64,
    /// Id of the record before.
    last: Option<String>,
}

impl Session {
    fn put(&mut self, text: &str, out: &mut impl Write) -> io::Result<()> {
        self.written += text.len() as u64;
        out.write_all(text.as_bytes())
    }

    fn line(&mut self, value: &Value, out: &mut impl Write) -> io::Result<()> {
        let mut text = value.to_string();
        if self.tool == Tool::Chat {
            text.insert_str(0, if self.records == 1 { "[" } else { ",\n" });
        } else {
            text.push('\n');
        }
        self.put(&text, out)
    }

    /// The id of the next record, and that of the one before.
    fn next(&mut self) -> (String, Option<String>) {
        self.records += 1;
        let id = match self.tool {
            Tool::Pi => format!("{:08x}", self.records),
            _ => format!("00000000-0000-4000-8000-{:012x}", self.records),
        };
        let before = self.last.replace(id.clone());
        (id, before)
    }

    fn begin(&mut self, out: &mut impl Write) -> io::Result<()> {
        let id = "10000000-0000-4000-8000-000000000000";
        let header = match self.tool {
            Tool::Pi => {
                json!({ "type": "session", "version": 3, "id": id, "timestamp": AT, "cwd": "/w" })
            }
            Tool::Codex => {
                let meta = json!({ "id": id, "timestamp": AT, "cwd": "/w", "originator": "bench" });
                json!({ "timestamp": AT, "type": "session_meta", "payload": meta })
            }
            Tool::ClaudeCode | Tool::Chat => return Ok(()),
        };
        self.line(&header, out)
    }

    /// The record of a turn's question (0), call (1), result (2) or answer (3).
    fn say(&mut self, role: usize, turn: u64, text: &str, out: &mut impl Write) -> io::Result<()> {
        let (id, parent) = self.next();
        let call = format!("call_{turn}");
        let arguments = json!({ "path": format!("src/part_{}.rs", turn % 97), "why": text });
        let record = match self.tool {
            Tool::Pi => {
                let said = match role {
                    0 => json!({ "role": "user", "content": text }),
                    1 => json!({ "role": "assistant", "model": "m", "content":
                        [{ "type": "toolCall", "id": call, "name": "read", "arguments": arguments }] }),
                    2 => json!({ "role": "toolResult", "toolCallId": call, "toolName": "read",
                        "content": [{ "type": "text", "text": text }], "isError": false }),
                    _ => json!({ "role": "assistant", "model": "m", "stopReason": "stop",
                        "usage": { "input": 1000, "output": 200, "cacheRead": 0, "cacheWrite": 0 },
                        "content": [{ "type": "text", "text": text }] }),
                };
                json!({ "type": "message", "id": id, "parentId": parent, "timestamp": AT, "message": said })
            }
            Tool::ClaudeCode => {
                let (kind, content) = match role {
                    0 => ("user", json!(text)),
                    1 => (
                        "assistant",
                        json!([{ "type": "tool_use", "id": call, "name": "Read", "input": arguments }]),
                    ),
                    2 => (
                        "user",
                        json!([{ "type": "tool_result", "tool_use_id": call, "content": text }]),
                    ),
                    _ => ("assistant", json!([{ "type": "text", "text": text }])),
                };
                claude_code(kind, &id, parent.as_deref(), &content, false)
            }
            Tool::Codex => {
                let item = match role {
                    0 => json!({ "type": "message", "role": "user",
                        "content": [{ "type": "input_text", "text": text }] }),
                    1 => json!({ "type": "function_call", "name": "read", "call_id": call,
                        "arguments": arguments.to_string() }),
                    2 => json!({ "type": "function_call_output", "call_id": call, "output": text }),
                    _ => json!({ "type": "message", "role": "assistant",
                        "content": [{ "type": "output_text", "text": text }] }),
                };
                json!({ "timestamp": AT, "type": "response_item", "payload": item })
            }
            Tool::Chat => match role {
                0 => json!({ "role": "user", "content": text }),
                1 => json!({ "role": "assistant", "content": null, "tool_calls": [{ "id": call,
                    "type": "function", "function": { "name": "read", "arguments": arguments.to_string() } }] }),
                2 => json!({ "role": "tool", "tool_call_id": call, "content": text }),
                _ => json!({ "role": "assistant", "content": text }),
            },
        };
        self.line(&record, out)
    }

    fn compact(&mut self, turn: u64, out: &mut impl Write) -> io::Result<()> {
        let summary = words(turn, 2_000);
        match self.tool {
            Tool::Pi => {
                let (id, parent) = self.next();
                let kept = parent.clone();
                self.line(
                    &json!({ "type": "compaction", "id": id, "parentId": parent, "timestamp": AT,
                        "summary": summary, "firstKeptEntryId": kept, "tokensBefore": 100_000 }),
                    out,
                )
            }
            Tool::ClaudeCode => {
                let (boundary, before) = self.next();
                let meta = json!({ "trigger": "auto", "preTokens": 100_000 });
                self.line(
                    &json!({ "type": "system", "subtype": "compact_boundary", "uuid": boundary,
                        "parentUuid": null, "logicalParentUuid": before, "sessionId": SESSION,
                        "timestamp": AT, "content": "Conversation compacted", "compactMetadata": meta }),
                    out,
                )?;
                let (id, parent) = self.next();
                self.line(&claude_code("user", &id, parent.as_deref(), &json!(summary), true), out)
            }
            Tool::Codex => {
                let history = json!([{ "type": "message", "role": "user",
                    "content": [{ "type": "input_text", "text": summary }] }]);
                let payload = json!({ "message": "", "replacement_history": history });
                self.line(&json!({ "timestamp": AT, "type": "compacted", "payload": payload }), out)
            }
            Tool::Chat => Ok(()),
        }
    }
}

const AT: &str = "2026-01-01T00:00:00.000Z";
const SESSION: &str = "20000000-0000-4000-8000-000000000000";

fn claude_code(
    kind: &str,
    id: &str,
    parent: Option<&str>,
    content: &Value,
    is_summary: bool,
) -> Value {
    let mut message = json!({ "role": kind, "content": content });
    if kind == "assistant" {
        message["id"] = json!(format!("msg_{id}"));
        message["usage"] = json!({ "input_tokens": 1000, "output_tokens": 200 });
    }
    let mut line = json!({ "parentUuid": parent, "isSidechain": false, "userType": "external",
        "cwd": "/w", "sessionId": SESSION, "version": "2.0.5", "type": kind, "message": message,
        "uuid": id, "timestamp": AT });
    if is_summary {
        line["isCompactSummary"] = json!(true);
    }
    line
}

/// Words, lines, and the quotes and backslashes that JSON escapes: about what tools say.
fn words(seed: u64, bytes: usize) -> String {
    const WORDS: [&str; 16] = [
        "the ",
        "reader ",
        "of ",
        "gauge ",
        "returns ",
        "late ",
        "self.queue",
        "(\"tide\")",
        "; ",
        "->\n",
        "station ",
        "14 ",
        "let bound = ",
        "error: ",
        "src/collector.rs ",
        "and ",
    ];
    let mut text = String::with_capacity(bytes + 16);
    for pick in body(seed, bytes / 5) {
        text.push_str(WORDS[usize::from(pick) % WORDS.len()]);
        if text.len() >= bytes {
            break;
        }
    }
    text
}
