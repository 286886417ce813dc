//! docker-agent (cagent before): rows of a database, one per item of a session.
//!
//! An item is a message in the shape of Chat Completions, a summary, or the place of a session of a
//! subagent, which is a session of its own. A summary keeps from the item whose number it names,
//! counted from 0, and nothing where it names none.

use serde_json::Value;
use treering_tree::{Kind, Message, Role};

use super::shared::{Prompts, chat};
use super::{About, Current, Format, Found, Head, Meaning, Reader, Table, Tables};
use crate::frame::Frame;
use crate::json::{self, Fields};
use crate::time::time_ms;

/// The format.
pub(crate) struct DockerAgent;

const BODY_FORMAT: &str = "docker-agent/1";
const TABLES: Tables = Tables {
    session: "sessions",
    record: Table {
        name: "session_items",
        of: "session_id",
        order: &["position", "id"],
        also: "message_json",
    },
    part: None,
};

impl Format for DockerAgent {
    fn name(&self) -> &'static str {
        "docker-agent"
    }

    fn recognize(&self, head: &Head<'_>) -> Option<Found> {
        let first = head.first()?;
        if is_state(&first) {
            let session = first["sessions"].text("id").map(str::to_owned);
            return Some(Found::beside(session, "session.jsonl"));
        }
        let item = item(&first)?;
        Some(Found::main(item.text("session_id").map(str::to_owned)))
    }

    fn frame(&self, head: &Head<'_>) -> Frame {
        if head.first().is_some_and(|first| is_state(&first)) { Frame::State } else { Frame::Lines }
    }

    fn tables(&self) -> Option<&'static Tables> {
        Some(&TABLES)
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Items::default())
    }

    fn message(&self, kind: Kind, text: &str) -> Option<Message> {
        said(item(&json::object(text)?)?, kind)
    }

    fn current(&self) -> Current {
        Current::LastRecord
    }
}

/// The row of a session.
fn is_state(line: &Value) -> bool {
    let row = &line["sessions"];
    row.text("id").is_some() && row.get("tools_approved").is_some()
}

fn item(line: &Value) -> Option<&Value> {
    let item = &line["session_items"];
    item.text("item_type").filter(|_| item.get("message_json").is_some()).map(|_| item)
}

#[derive(Default)]
struct Items {
    prompts: Prompts,
    /// Ids of the items so far.
    ids: Vec<String>,
}

impl Reader for Items {
    fn read(&mut self, text: &str) -> Option<Meaning> {
        let line = json::object(text)?;
        if is_state(&line) {
            return Some(Meaning::aside(BODY_FORMAT.to_owned()));
        }
        let item = item(&line)?;
        let kind = self.prompts.kind(entry_kind(item));
        let id = format!("item-{}", item["id"]);
        let kept = usize::try_from(item.count("first_kept_entry")).ok().filter(|kept| *kept > 0);
        let kept = kept.and_then(|kept| self.ids.get(kept)).cloned().map(About::Id);
        self.ids.push(id.clone());
        let next = Meaning::next(BODY_FORMAT, kind, said(item, kind));
        let about = if kind == Kind::Compaction { kept.or(next.about) } else { None };
        let at_ms = time_ms(&told(item)["created_at"]);
        Some(Meaning { id: Some(id), at_ms, about, ..next })
    }
}

fn told(item: &Value) -> Value {
    item.text("message_json").and_then(json::object).unwrap_or_default()
}

fn entry_kind(item: &Value) -> Kind {
    match item.text("item_type") {
        Some("message") => match chat::message(&told(item)) {
            // What the tool says in the user's name.
            Some((Kind::User, _)) if item.count("implicit") > 0 => Kind::Note,
            Some((kind, _)) => kind,
            None => Kind::Record,
        },
        Some("summary") => Kind::Compaction,
        _ => Kind::Record,
    }
}

fn said(item: &Value, kind: Kind) -> Option<Message> {
    if kind == Kind::Compaction {
        return Some(Message::text(Role::User, item.string("summary_text")));
    }
    let mut told = told(item);
    if let (Some("") | None, Some(parts)) =
        (told.text("content"), told.get("multi_content").cloned())
    {
        told["content"] = parts;
    }
    chat::message(&told).map(|(_, message)| message)
}
