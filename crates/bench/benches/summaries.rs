//! Counting and summarizing without a model: megabytes a second of one thread, over real sessions
//! where they are at hand, over made-up ones where they are not.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark stops where it fails and prints"
)]

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use treering_bench::{Row, compare, micros};
use treering_provider::{ByteClasses, JobEntry, Ledger, SummaryJob, TokenCounter};
use treering_tree::{Id, Kind, Message, Part, Role};

const BUDGET: Duration = Duration::from_millis(60);
const ROUNDS: usize = 9;
/// What a counter is given at once: what runtimes append.
const PIECE_BYTES: usize = 4_096;
const SESSION: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/samples/pi/large-session.jsonl");

fn main() {
    let entries = entries();
    let texts: Vec<String> = entries.iter().map(text).collect();
    let all = texts.concat();
    counters(&all);
    ledgers(&entries, texts.iter().map(String::len).sum());
}

fn counters(all: &str) {
    let pieces: Vec<&str> = pieces(all).collect();
    let speed = |count: &dyn Fn(&str) -> u32| {
        let micros = micros(BUDGET, || {
            black_box(pieces.iter().map(|piece| count(black_box(piece))).sum::<u32>());
        });
        megabytes_per_second(all.len(), micros)
    };
    let bytes = ByteClasses::default();
    let quarter = |piece: &str| u32::try_from(piece.chars().count() / 4).unwrap();
    let mut rows: Vec<Row<'_>> = vec![
        ("chars/4".to_owned(), Box::new(|| speed(&quarter))),
        ("byte classes".to_owned(), Box::new(|| speed(&|piece| bytes.count(piece)))),
    ];
    compare("tokens of a session in pieces of 4 KB", "MB/s", ROUNDS, &mut rows);
}

fn ledgers(entries: &[JobEntry], bytes: usize) {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for budget_tokens in [1_000, 4_000, 7_000] {
        let entries = entries.to_vec();
        let job = SummaryJob { entries, budget_tokens, ..SummaryJob::default() };
        rows.push((
            format!("ledger of {budget_tokens} tokens"),
            Box::new(move || {
                let micros = micros(BUDGET, || {
                    black_box(Ledger::new().of(black_box(&job)).unwrap());
                });
                megabytes_per_second(bytes, micros)
            }),
        ));
    }
    compare("summary of a session without a model", "MB/s", ROUNDS, &mut rows);
}

fn megabytes_per_second(bytes: usize, micros: f64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a few megabytes")]
    let bytes = bytes as f64;
    bytes / micros
}

/// Texts of at most so many bytes each.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut end = rest.len().min(PIECE_BYTES);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (piece, behind) = rest.split_at(end);
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

fn entries() -> Vec<JobEntry> {
    if let Ok(session) = std::fs::read_to_string(Path::new(SESSION)) {
        println!("a real session of {:.1} MB", megabytes_per_second(session.len(), 1e6));
        let records = session.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        return records.filter_map(|record| message(&record["message"])).map(entry).collect();
    }
    println!("no samples: a made-up session");
    let said = |at: usize| {
        let text = format!("Read src/part{at}/file{at}.rs and fix parseLine{at}, error E{at}.\n");
        Message::text(
            if at.is_multiple_of(2) { Role::User } else { Role::Assistant },
            text.repeat(40),
        )
    };
    (0..500).map(said).map(entry).collect()
}

/// A message of the session's format, as far as it is text.
fn message(record: &Value) -> Option<Message> {
    let role = match record["role"].as_str()? {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => Role::Tool,
    };
    let call = record["toolCallId"].as_str().unwrap_or_default();
    let part = |block: &Value| {
        let text = block["text"].as_str().map(str::to_owned);
        if block["type"] == "toolCall" {
            let word = |key: &str| block[key].as_str().unwrap_or_default().to_owned();
            let arguments = block["arguments"].clone();
            return Some(Part::ToolCall { id: word("id"), name: word("name"), arguments });
        }
        Some(match role {
            Role::Tool => Part::ToolResult {
                call: call.to_owned(),
                text: text?,
                error: record["isError"] == true,
            },
            _ => Part::Text { text: text? },
        })
    };
    let blocks = record["content"].as_array()?;
    Some(Message::new(role, blocks.iter().filter_map(part).collect()))
}

fn entry(message: Message) -> JobEntry {
    let kind = match message.role {
        Role::User => Kind::User,
        Role::Assistant => Kind::Assistant,
        _ => Kind::ToolResult,
    };
    JobEntry { id: Id::from_bytes([7; 32]), kind, turn: 1, tokens: 10, message }
}

/// Everything an entry says.
fn text(entry: &JobEntry) -> String {
    let text = |part: &Part| match part {
        Part::Text { text } | Part::ToolResult { text, .. } => text.clone(),
        Part::ToolCall { arguments, .. } => arguments.to_string(),
        _ => String::new(),
    };
    entry.message.parts.iter().map(text).collect()
}
