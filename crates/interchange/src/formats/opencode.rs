//! opencode: messages and their parts, which it kept as a JSON file each and later as rows of a
//! database. A record is a message with all its parts: the message's file and those of its parts one
//! after the other, or one line of rows. A part that comes later is a record of its own.
//!
//! Messages follow each other in the order of their names. A compaction is the answer that is marked
//! as a summary; the request before it, which the user never wrote, names what is kept. A session
//! that was reverted stands before the message that its state names.

use serde_json::Value;
use treering_tree::{Kind, Message, Part, Role, Usage};

use super::shared::first_text;
use super::{About, Current, Format, Found, Head, Meaning, Member, Reader, Stands, Table, Tables};
use crate::frame::Frame;
use crate::json::{self, Fields};
use crate::time::time_ms;

/// The format.
pub(crate) struct OpenCode;

const BODY_FORMAT: &str = "opencode/1";
const TABLES: Tables = Tables {
    session: "session",
    record: Table {
        name: "message",
        of: "session_id",
        order: &["time_created", "id"],
        also: "data",
    },
    part: Some(Table { name: "part", of: "message_id", order: &["id"], also: "data" }),
};

impl Format for OpenCode {
    fn name(&self) -> &'static str {
        "opencode"
    }

    fn recognize(&self, head: &Head<'_>) -> Option<Found> {
        let first = head.first()?;
        if let Some(row) = Row::of(&first) {
            return Some(row.found());
        }
        let names: Vec<&str> = head.path.iter().filter_map(|name| name.to_str()).collect();
        let (name, above) = names.split_last()?;
        let folder = above.last().copied().unwrap_or_default();
        let id = first.text("id").map(str::to_owned);
        let session = first.text("sessionID").map(str::to_owned);
        if is_session(&first) {
            let part = format!("session/{}/{name}", first.string("projectID"));
            return Some(Found::beside(id, part));
        }
        if session.is_some() && is_message(&first) {
            let name = format!("message/{}/{name}", session.as_deref().unwrap_or_default());
            let member = Member { order: name.clone(), name, id, of: None };
            return Some(Found::member(session, member));
        }
        let is_inside = above.iter().rev().take(2).any(|folder| *folder == "part");
        if is_inside && id.is_some() && first.text("type").is_some() {
            // The oldest files have their message in the name of their folder alone.
            let of = first.text("messageID").unwrap_or(folder).to_owned();
            let name =
                if folder == "part" { format!("part/{name}") } else { format!("part/{of}/{name}") };
            let member = Member { order: first.string("id"), name, id: None, of: Some(of) };
            return Some(Found::member(session, member));
        }
        let is_beside = matches!(folder, "todo" | "session_diff") && name.starts_with("ses_");
        let session = name.strip_suffix(".json").map(str::to_owned);
        is_beside.then(|| Found::kept(session, format!("{folder}/{name}")))
    }

    fn frame(&self, head: &Head<'_>) -> Frame {
        let is_state = |first: Value| match Row::of(&first) {
            Some(row) => matches!(row, Row::Session(_)),
            None => !is_message(&first),
        };
        if head.first().is_some_and(is_state) { Frame::State } else { Frame::Lines }
    }

    fn tables(&self) -> Option<&'static Tables> {
        Some(&TABLES)
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Messages::default())
    }

    fn message(&self, kind: Kind, text: &str) -> Option<Message> {
        Some(said(&Record::read(text)?, kind))
    }

    fn current(&self) -> Current {
        Current::LastRecord
    }
}

fn is_session(value: &Value) -> bool {
    value.text("id").is_some()
        && value["time"]["created"].is_number()
        && value.text("version").is_some()
        && value.text("directory").or(value.text("projectID")).is_some()
}

fn is_message(value: &Value) -> bool {
    value.text("id").is_some()
        && matches!(value.text("role"), Some("user" | "assistant"))
        && value["time"]["created"].is_number()
}

/// A line of rows of the database.
enum Row<'v> {
    Session(&'v Value),
    Message(&'v Value),
    /// Parts whose message is not there.
    Parts(&'v Value),
}

impl<'v> Row<'v> {
    fn of(line: &'v Value) -> Option<Self> {
        let has =
            |row: &Value, fields: &[&str]| fields.iter().all(|field| row.get(field).is_some());
        let (session, message, part) = (&line["session"], &line["message"], &line["part"][0]);
        if has(session, &["id", "directory", "version"]) {
            return Some(Self::Session(session));
        }
        if has(message, &["id", "session_id", "data"]) {
            return Some(Self::Message(message));
        }
        has(part, &["id", "message_id", "data"]).then_some(Self::Parts(part))
    }

    fn found(&self) -> Found {
        let text = |row: &Value, field| row.text(field).map(str::to_owned);
        match self {
            Self::Session(row) => Found::beside(text(row, "id"), "session.jsonl"),
            Self::Message(row) | Self::Parts(row) => Found::main(text(row, "session_id")),
        }
    }
}

/// A row as the older files have it: its `data`, with the columns that name it.
fn unpacked(row: &Value, names: &[(&str, &str)]) -> Value {
    let mut data = row.text("data").and_then(json::object).unwrap_or(Value::Null);
    for (column, name) in names {
        if let (Some(fields), Some(value)) = (data.as_object_mut(), row.get(column)) {
            fields.insert((*name).to_owned(), value.clone());
        }
    }
    data
}

/// A message and its parts, whichever way they were kept.
struct Record {
    /// Null where the parts came without it.
    info: Value,
    parts: Vec<Value>,
}

impl Record {
    fn read(text: &str) -> Option<Self> {
        let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        let mut values = values.collect::<Result<Vec<_>, _>>().ok()?;
        let first = values.first().filter(|first| first.is_object())?;
        if Row::of(first).is_some() {
            let info = unpacked(&first["message"], &[("id", "id"), ("session_id", "sessionID")]);
            let part = |row| unpacked(row, &[("id", "id"), ("message_id", "messageID")]);
            return Some(Self { info, parts: first.list("part").iter().map(part).collect() });
        }
        let info = if is_message(first) { values.remove(0) } else { Value::Null };
        let are_parts = values.iter().all(|part| part.text("type").is_some());
        are_parts.then_some(Self { info, parts: values })
    }

    /// Whether the tool is still writing the answer.
    fn is_unfinished(&self) -> bool {
        let info = &self.info;
        let is_open =
            |part: &Value| matches!(part["state"].text("status"), Some("pending" | "running"));
        info.text("role") == Some("assistant")
            && !info["time"]["completed"].is_number()
            && info["error"].is_null()
            && (info.get("finish").is_none() || self.parts.iter().any(is_open))
    }

    fn part(&self, kind: &str) -> Option<&Value> {
        self.parts.iter().find(|part| part.text("type") == Some(kind))
    }

    fn kind(&self) -> Kind {
        let is_summary = self.info.flag("summary");
        let is_whole = self.info["error"].is_null() && !self.is_unfinished();
        match self.info.text("role") {
            Some("user") if self.part("compaction").is_some() => Kind::Record,
            Some("user") => Kind::User,
            Some(_) if is_summary && is_whole => Kind::Compaction,
            Some(_) if is_summary => Kind::Record,
            Some(_) => Kind::Assistant,
            None => Kind::Record,
        }
    }
}

#[derive(Default)]
struct Messages {
    /// From which message on the compaction that was asked for last keeps.
    tail: Option<String>,
    /// Id of the message before, and what it was.
    last: Option<(String, Kind)>,
}

impl Reader for Messages {
    fn read(&mut self, text: &str) -> Option<Meaning> {
        if let Some(state) = json::object(text) {
            let row = match Row::of(&state) {
                Some(Row::Session(row)) => Some(row),
                _ => Some(&state).filter(|state| is_session(state)),
            };
            if let Some(row) = row {
                return Some(session_state(row));
            }
        }
        let record = Record::read(text)?;
        if record.info.is_null() {
            return Some(self.late(&record));
        }
        let kind = record.kind();
        self.last = Some((record.info.string("id"), kind));
        if let Some(asked) = record.part("compaction") {
            self.tail = asked.text("tail_start_id").map(str::to_owned);
        }
        let next = Meaning::next(BODY_FORMAT, kind, Some(said(&record, kind)));
        let tail = if kind == Kind::Compaction { self.tail.take() } else { None };
        Some(Meaning {
            id: record.info.text("id").map(str::to_owned),
            at_ms: time_ms(&record.info["time"]["created"]),
            about: tail.map(About::Id).or(next.about),
            unfinished: record.is_unfinished(),
            ..next
        })
    }
}

impl Messages {
    /// Parts that came after their message was loaded; beside the tree where there is none.
    fn late(&self, record: &Record) -> Meaning {
        let of = record.parts.first().and_then(|part| part.text("messageID"));
        let last = self.last.as_ref().filter(|(id, _)| of.is_none_or(|of| of == id));
        let kind = match last {
            Some((_, Kind::User)) => Kind::Note,
            Some((_, Kind::Assistant)) => Kind::Assistant,
            Some(_) => Kind::Record,
            None => {
                let aside = Meaning::aside(BODY_FORMAT.to_owned());
                return Meaning { misplaced: true, ..aside };
            }
        };
        Meaning::next(BODY_FORMAT, kind, Some(said(record, kind)))
    }
}

/// The state of a session, as a file or as a row.
fn session_state(state: &Value) -> Meaning {
    let revert = match &state["revert"] {
        Value::String(text) => json::object(text).unwrap_or_default(),
        other => other.clone(),
    };
    let stands = revert.text("messageID").map(|id| Stands::Before(id.to_owned()));
    let at_ms = time_ms(&state["time"]["created"]).or(time_ms(&state["time_created"]));
    Meaning { at_ms, stands, ..Meaning::aside(BODY_FORMAT.to_owned()) }
}

fn said(record: &Record, kind: Kind) -> Message {
    let role = match kind {
        Kind::Assistant => Role::Assistant,
        Kind::Record => Role::System,
        _ => Role::User,
    };
    if kind == Kind::Compaction {
        let texts = record.parts.iter().filter(|part| part.text("type") == Some("text"));
        let texts: Vec<&str> = texts.filter_map(|part| part.text("text")).collect();
        return Message::text(role, texts.join("\n"));
    }
    let mut message = Message::new(role, record.parts.iter().flat_map(parts).collect());
    if kind == Kind::Assistant && !record.info.is_null() {
        let info = &record.info;
        message.model = first_text(info, &["modelID"]).map(str::to_owned);
        message.stop = info.text("finish").map(str::to_owned);
        message.usage = usage(&info["tokens"]);
    }
    message
}

fn parts(part: &Value) -> Vec<Part> {
    let text = || part.string("text");
    match part.text("type").unwrap_or_default() {
        "text" if part.flag("ignored") => Vec::new(),
        "text" => vec![Part::Text { text: text() }],
        "reasoning" => vec![Part::Reasoning { text: text() }],
        "file" => vec![Part::Media { mime: part.string("mime"), data: part.string("url") }],
        "tool" => tool(part),
        "step-start" | "step-finish" | "snapshot" | "patch" | "retry" | "compaction" => Vec::new(),
        name => vec![Part::Other { name: name.to_owned(), value: part.clone() }],
    }
}

/// A call, and its result once it has one.
fn tool(part: &Value) -> Vec<Part> {
    let state = &part["state"];
    let (id, name) = (part.string("callID"), part.string("tool"));
    let call = Part::ToolCall { id: id.clone(), name, arguments: state["input"].clone() };
    let failed = state.text("status") == Some("error");
    let text = if failed { state.text("error") } else { state.text("output") };
    let result =
        text.map(|text| Part::ToolResult { call: id, text: text.to_owned(), error: failed });
    std::iter::once(call).chain(result).collect()
}

fn usage(tokens: &Value) -> Option<Usage> {
    tokens.as_object()?;
    Some(Usage {
        input: tokens.count("input"),
        cached: tokens["cache"].count("read"),
        created: tokens["cache"].count("write"),
        output: tokens.count("output") + tokens.count("reasoning"),
    })
}
