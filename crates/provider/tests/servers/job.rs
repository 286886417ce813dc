//! Jobs and models of the tests.

use std::time::Duration;

use serde_json::{Value, json};
use treering_provider::{JobEntry, Key, Limits, Model, SUMMARIZE, Settings, SummaryJob};
use treering_tree::{Id, Kind, Message, Role};

pub(crate) const SECRET: &str = "sk-never-to-be-seen";

/// A job of so many entries with so many words each.
pub(crate) fn job(entries: u8, words: usize) -> SummaryJob {
    let entry = |at: u8| JobEntry {
        id: Id::from_bytes([at; 32]),
        kind: Kind::User,
        turn: u64::from(at) + 1,
        tokens: 200,
        message: Message::text(Role::User, "Read src/parser.rs. ".repeat(words / 3)),
    };
    SummaryJob {
        entries: (0..entries).map(entry).collect(),
        budget_tokens: 400,
        ..SummaryJob::default()
    }
}

/// Settings that try again at once, and wait for an answer however busy the machine is: a test that
/// is about a limit sets it.
pub(crate) fn settings(url: &str) -> Settings {
    let mut settings = Settings::new(url, "tiny");
    settings.retries.first_wait = Duration::from_millis(5);
    let patient = Duration::from_secs(3_600);
    settings.limits =
        Limits { connect: patient, first_byte: patient, idle: patient, whole: patient };
    settings
}

pub(crate) fn with_key(url: &str, key: &str) -> Settings {
    let mut settings = settings(url);
    settings.key = Some(Key::new(key));
    settings
}

/// Random weights keep to a template when a grammar makes them.
pub(crate) fn templated(mut settings: Settings) -> Settings {
    let under = |heading: &&str| format!("\"{heading}\\n\" [a-z]{{3,8}} \"\\n\"");
    let lines: Vec<String> = SUMMARIZE.headings.iter().map(under).collect();
    let grammar = format!("root ::= {}", lines.join(" "));
    settings.extra.insert("grammar".into(), grammar.into());
    settings
}

/// Random weights end, and always in the same way.
pub(crate) fn ending(mut settings: Settings) -> Settings {
    settings.extra.insert("temperature".into(), json!(0));
    settings.extra.insert("stop_sequences".into(), json!(["e", "o", "a"]));
    settings
}

/// Both dialects that the real server speaks, made to give a summary.
pub(crate) fn both(settings: &Settings) -> [Model; 2] {
    [
        Model::openai(templated(settings.clone())).unwrap(),
        Model::anthropic(ending(settings.clone())).unwrap(),
    ]
}

/// What is recorded of how a summary was made.
pub(crate) fn made_by(summary: treering_tree::Summary) -> Value {
    summary.made_by.unwrap()
}
