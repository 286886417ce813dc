//! Gemini CLI: a log of operations, a JSON line each; before that one JSON document.
//!
//! A message written again takes the place of the first one; `$rewindTo` drops a message and all
//! after it, or everything where it is not known; `$set` of `messages` replaces what was said. What
//! was dropped or replaced stays on a branch of its own. Calls and their results are in one record.

use std::collections::HashMap;

use serde_json::Value;
use treering_tree::{Kind, Message, Part, Role, Usage};

use super::shared::{blocks, first_text, transcript};
use super::{About, Current, Format, Found, Hangs, Head, Meaning, Reader};
use crate::frame::Frame;
use crate::json::{self, Fields};
use crate::time::time_ms;

/// The format.
pub(crate) struct Gemini;

const BODY_FORMAT: &str = "gemini/1";

impl Format for Gemini {
    fn name(&self) -> &'static str {
        "gemini"
    }

    fn recognize(&self, head: &Head<'_>) -> Option<Found> {
        let first = head.first()?;
        let is_own = first.text("sessionId").is_some()
            && first.text("projectHash").is_some()
            && first.text("startTime").is_some();
        is_own.then(|| Found::main(first.text("sessionId").map(str::to_owned)))
    }

    fn frame(&self, head: &Head<'_>) -> Frame {
        let is_document = head.document.as_ref().is_some_and(|all| all["messages"].is_array());
        if is_document { Frame::Document(&["messages"]) } else { Frame::Lines }
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Log::default())
    }

    fn message(&self, kind: Kind, text: &str) -> Option<Message> {
        said(&json::object(text)?, kind)
    }

    fn current(&self) -> Current {
        Current::LastRecord
    }
}

/// The messages so far, to replace one or go back to it.
#[derive(Default)]
struct Log {
    records: u64,
    /// Ids and marks of the messages that are shown.
    shown: Vec<(String, u64)>,
    /// Where in that list an id is.
    places: HashMap<String, usize>,
}

impl Reader for Log {
    fn read(&mut self, text: &str) -> Option<Meaning> {
        let record = json::object(text)?;
        let at_ms = time_ms(&record["timestamp"]);
        if let Some(id) = record.text("$rewindTo") {
            let hangs = self.rewind(id);
            return Some(Meaning { hangs, ..Meaning::next(BODY_FORMAT, Kind::Record, None) });
        }
        if record["$set"].is_object() {
            if !record["$set"]["messages"].is_array() {
                return Some(Meaning::aside(BODY_FORMAT.to_owned()));
            }
            self.shown.clear();
            self.places.clear();
            let message = said(&record, Kind::Compaction);
            return Some(Meaning::next(BODY_FORMAT, Kind::Compaction, message));
        }
        let is_header = record.text("sessionId").is_some() && record.text("type").is_none();
        if is_header {
            return Some(Meaning { at_ms, ..Meaning::aside(BODY_FORMAT.to_owned()) });
        }
        let kind = entry_kind(&record)?;
        let next = Meaning::next(BODY_FORMAT, kind, said(&record, kind));
        let place = self.place(record.text("id"));
        Some(match place {
            Place::New(mark) => {
                let id = record.text("id").map(str::to_owned);
                Meaning { id, at_ms, mark: Some(mark), ..next }
            }
            Place::Again(hangs, mark) => {
                let id = record.text("id").map(str::to_owned);
                Meaning { id, hangs, at_ms, mark: Some(mark), ..next }
            }
            Place::Inside(id) => {
                let about = Some(About::Id(id));
                Meaning { at_ms, about, ..Meaning::next(BODY_FORMAT, Kind::Record, None) }
            }
        })
    }
}

/// Where a message goes.
enum Place {
    /// At the end.
    New(u64),
    /// In the place of the last one.
    Again(Hangs, u64),
    /// In the place of one that others follow; it stays a record about that one.
    Inside(String),
}

impl Log {
    fn place(&mut self, id: Option<&str>) -> Place {
        let mark = self.records;
        self.records += 1;
        let Some(id) = id else { return Place::New(mark) };
        let last = self.shown.len().wrapping_sub(1);
        match self.places.get(id) {
            Some(at) if *at == last => {
                let before = std::mem::replace(&mut self.shown[last].1, mark);
                Place::Again(Hangs::Beside(before), mark)
            }
            Some(_) => Place::Inside(id.to_owned()),
            None => {
                self.places.insert(id.to_owned(), self.shown.len());
                self.shown.push((id.to_owned(), mark));
                Place::New(mark)
            }
        }
    }

    fn rewind(&mut self, id: &str) -> Hangs {
        let from = self.places.get(id).copied();
        let mut hangs = Hangs::Root;
        for (at, (dropped, mark)) in self.shown.drain(from.unwrap_or(0)..).enumerate() {
            self.places.remove(&dropped);
            if from.is_some() && at == 0 {
                hangs = Hangs::Beside(mark);
            }
        }
        hangs
    }
}

fn entry_kind(record: &Value) -> Option<Kind> {
    Some(match record.text("type")? {
        "user" if !said_parts(record).iter().all(|part| !is_result(part)) => Kind::ToolResult,
        "user" => Kind::User,
        "gemini" | "model" => Kind::Assistant,
        "info" | "error" | "warning" => Kind::Record,
        _ => return None,
    })
}

fn is_result(part: &Part) -> bool {
    matches!(part, Part::ToolResult { .. })
}

fn said_parts(record: &Value) -> Vec<Part> {
    let mut parts = blocks::content(&record["content"]);
    parts.extend(blocks::content(&record["parts"]));
    parts
}

fn said(record: &Value, kind: Kind) -> Option<Message> {
    let role = match kind {
        Kind::Compaction => {
            let all = record["$set"].list("messages").iter();
            let told = all.filter_map(|record| said(record, entry_kind(record)?));
            return Some(Message::text(Role::User, transcript(told)));
        }
        Kind::User => Role::User,
        Kind::ToolResult => Role::Tool,
        Kind::Assistant => Role::Assistant,
        _ => {
            let parts = said_parts(record);
            return (!parts.is_empty()).then(|| Message::new(Role::System, parts));
        }
    };
    let mut parts: Vec<Part> = record.list("thoughts").iter().map(thought).collect();
    parts.extend(said_parts(record));
    parts.extend(record.list("toolCalls").iter().flat_map(call));
    let mut message = Message::new(role, parts);
    if kind == Kind::Assistant {
        message.model = record.text("model").map(str::to_owned);
        message.usage = usage(&record["tokens"]);
    }
    Some(message)
}

fn thought(thought: &Value) -> Part {
    let texts = ["subject", "description"].iter().filter_map(|key| thought.text(key));
    Part::Reasoning { text: texts.collect::<Vec<_>>().join(": ") }
}

/// A call, and its result where it has one.
fn call(call: &Value) -> Vec<Part> {
    let id = call.text("id").unwrap_or_default();
    let mut parts = vec![blocks::call(id, call.text("name").unwrap_or_default(), &call["args"])];
    let results = call.list("result").iter().flat_map(blocks::content);
    let texts = results.filter_map(|part| match part {
        Part::ToolResult { text, .. } | Part::Text { text } => Some(text),
        _ => None,
    });
    let texts: Vec<String> = texts.collect();
    let shown = first_text(call, &["resultDisplay"]).map(str::to_owned);
    let text = if texts.is_empty() { shown } else { Some(texts.join("\n")) };
    let error = call.text("status") == Some("error");
    parts.extend(text.map(|text| Part::ToolResult { call: id.to_owned(), text, error }));
    parts
}

fn usage(value: &Value) -> Option<Usage> {
    value.as_object()?;
    let cached = value.count("cached");
    let output = value.count("output").saturating_add(value.count("thoughts"));
    let input = value.count("input").saturating_sub(cached);
    Some(Usage { input, cached, created: 0, output })
}
