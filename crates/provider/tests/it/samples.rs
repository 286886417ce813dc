//! Real sessions as jobs, read as an import reads them. Skipped, with the reason printed, where the
//! folder of samples is not there.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use treering_interchange::{Input, Options, load, message};
use treering_provider::{ByteClasses, JobEntry, count_message};
use treering_tree::{Id, Message, Options as StoreOptions, Part, RedbStore, Session, Sources};

/// One real session.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) directory: Option<String>,
    pub(crate) entries: Vec<JobEntry>,
}

/// What the ledger was made with: its rules and shares were chosen over these.
const SEEN: [&str; 3] = [
    "pi/large-session.jsonl",
    "claude-code/episodic-long.jsonl",
    "claude-code/kimuson-5c0375b4.jsonl",
];
/// What it was never tried on while it was made, of every other runtime with a session long enough.
const HELD_OUT: [&str; 6] = [
    "swe-agent/marshmallow-1867-fc.traj",
    "kimi/kimi-code-large-100msgs-wire.jsonl",
    "cline/session.messages.json",
    "codex/agent-sessions-small.jsonl",
    "claude-code/kimuson-1af7fc5e.jsonl",
    "claude-code/agent-sessions-small.jsonl",
];

/// The samples that are large enough to be summarized; none where the folder is not there.
pub(crate) fn all() -> Vec<Sample> {
    read_all(&SEEN)
}

/// Those that had no part in making the ledger.
pub(crate) fn held_out() -> Vec<Sample> {
    read_all(&HELD_OUT)
}

fn read_all(names: &[&'static str]) -> Vec<Sample> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/samples"));
    if !folder.is_dir() {
        println!("skipped: no samples at {}", folder.display());
        return Vec::new();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    names.iter().map(|name| runtime.block_on(read(folder.join(name), name))).collect()
}

/// The active path of a session's file.
async fn read(path: PathBuf, name: &'static str) -> Sample {
    let text = fs::read_to_string(&path).unwrap();
    let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let directory = records
        .filter_map(|record| record["cwd"].as_str().map(str::to_owned))
        .find(|directory| directory.len() > 1);
    let sources = Sources::fixed(1);
    let store = RedbStore::in_memory(StoreOptions::new(sources.clone())).unwrap();
    let counter = ByteClasses::default();
    let count = |message: &Message| count_message(&counter, message).into();
    let options = Options { count: &count, format: None, at_ms: 0, progress: &mut |_| {} };
    let reports = load(&store, vec![Input::Path(path)], options).await.unwrap();
    let main = reports.into_iter().max_by_key(|report| report.added).unwrap();
    let session = Session::new(Arc::new(store), main.session, sources);
    let path = session.replay().await.unwrap().collect().await.unwrap();
    let said = path.iter().filter(|stored| stored.place.kind.has_place_in_context());
    let entries = said.map(|stored| JobEntry {
        id: stored.place.id,
        kind: stored.place.kind,
        turn: stored.place.turn,
        tokens: stored.place.tokens,
        message: message(stored.place.kind, stored.entry.body().unwrap()),
    });
    Sample { name, directory, entries: entries.collect() }
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
