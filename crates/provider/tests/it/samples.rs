//! Real sessions as jobs: just enough of two formats to read what was said. Skipped, with the
//! reason printed, where the folder of samples is not there.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use treering_provider::{ByteClasses, JobEntry, count_message};
use treering_tree::{Id, Kind, Message, Part, Role, Usage};

/// One real session.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) directory: Option<String>,
    pub(crate) entries: Vec<JobEntry>,
}

const SAMPLES: [&str; 3] = [
    "pi/large-session.jsonl",
    "claude-code/episodic-long.jsonl",
    "claude-code/kimuson-5c0375b4.jsonl",
];

/// The samples that are large enough to be summarized; none where the folder is not there.
pub(crate) fn all() -> Vec<Sample> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/samples"));
    if !folder.is_dir() {
        println!("skipped: no samples at {}", folder.display());
        return Vec::new();
    }
    SAMPLES.iter().map(|name| read(folder.join(name), name)).collect()
}

fn read(path: PathBuf, name: &'static str) -> Sample {
    let mut sample = Sample { name, directory: None, entries: Vec::new() };
    for line in fs::read_to_string(path).unwrap().lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        if sample.directory.is_none() {
            sample.directory = record["cwd"].as_str().map(str::to_owned);
        }
        let sidechain = record["isSidechain"] == true;
        if let (Some(message), false) = (record.get("message"), sidechain)
            && let Some(entry) = entry(message, sample.entries.len())
        {
            sample.entries.push(entry);
        }
    }
    sample
}

/// A message of pi or Claude Code.
fn entry(record: &Value, at: usize) -> Option<JobEntry> {
    let role = match record["role"].as_str()? {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "toolResult" => Role::Tool,
        _ => return None,
    };
    let mut parts = match &record["content"] {
        Value::String(text) => vec![Part::Text { text: text.clone() }],
        Value::Array(blocks) => blocks.iter().filter_map(part).collect(),
        _ => Vec::new(),
    };
    if role == Role::Tool {
        parts = vec![Part::ToolResult {
            call: record["toolCallId"].as_str()?.to_owned(),
            text: plain(&record["content"]),
            error: record["isError"] == true,
        }];
    }
    let answers = parts.iter().any(|part| matches!(part, Part::ToolResult { .. }));
    let kind = match role {
        Role::Assistant => Kind::Assistant,
        _ if answers => Kind::ToolResult,
        _ => Kind::User,
    };
    let mut message = Message::new(role, parts);
    message.usage = usage(&record["usage"]);
    message.model = record["model"].as_str().map(str::to_owned);
    message.stop = record["stopReason"].as_str().map(str::to_owned);
    Some(JobEntry {
        id: id(at),
        kind,
        turn: 0,
        tokens: count_message(&ByteClasses::default(), &message),
        message,
    })
}

fn part(block: &Value) -> Option<Part> {
    let text = |key: &str| block[key].as_str().map(str::to_owned);
    Some(match block["type"].as_str()? {
        "text" => Part::Text { text: text("text")? },
        "thinking" => Part::Reasoning { text: text("thinking")? },
        "toolCall" | "tool_use" => Part::ToolCall {
            id: text("id")?,
            name: text("name")?,
            arguments: block.get("arguments").or(block.get("input"))?.clone(),
        },
        "tool_result" => Part::ToolResult {
            call: text("tool_use_id")?,
            text: plain(&block["content"]),
            error: block["is_error"] == true,
        },
        kind => Part::Media {
            mime: block["source"]["media_type"].as_str().unwrap_or(kind).to_owned(),
            data: block["source"]["data"].as_str().unwrap_or_default().to_owned(),
        },
    })
}

fn plain(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let texts: Vec<&str> =
                blocks.iter().filter_map(|block| block["text"].as_str()).collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}

fn usage(usage: &Value) -> Option<Usage> {
    let tokens =
        |pi: &str, claude: &str| usage[pi].as_u64().or(usage[claude].as_u64()).unwrap_or(0);
    usage.is_object().then(|| Usage {
        input: tokens("input", "input_tokens"),
        cached: tokens("cacheRead", "cache_read_input_tokens"),
        created: tokens("cacheWrite", "cache_creation_input_tokens"),
        output: tokens("output", "output_tokens"),
    })
}

/// An id that looks like a hash and tells where the entry stands.
pub(crate) fn id(at: usize) -> Id {
    let mut bytes = [0; 32];
    for (chunk, salt) in bytes.chunks_mut(8).zip(1..) {
        let mixed = (at as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(salt * 7);
        chunk.copy_from_slice(&(mixed ^ (mixed >> 29)).to_le_bytes());
    }
    Id::from_bytes(bytes)
}

/// Everything an entry says, as text.
pub(crate) fn everything(entry: &JobEntry) -> String {
    let text = |part: &Part| match part {
        Part::Text { text } | Part::Reasoning { text } | Part::ToolResult { text, .. } => {
            text.clone()
        }
        Part::ToolCall { name, arguments, .. } => format!("{name} {}", strings(arguments)),
        _ => String::new(),
    };
    let texts: Vec<String> = entry.message.parts.iter().map(text).collect();
    texts.join("\n") + "\n"
}

/// The strings in a value, without JSON's escapes.
pub(crate) fn strings(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(strings).collect::<Vec<_>>().join("\n"),
        Value::Object(fields) => fields.values().map(strings).collect::<Vec<_>>().join("\n"),
        other => other.to_string(),
    }
}
