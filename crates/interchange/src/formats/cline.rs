//! Cline: `ID.messages.json`, one document with a list of Anthropic messages; beside it a manifest
//! and, after a compaction, `*.compaction.json` with the list that the model was given from then on.
//!
//! The compaction's list has a branch of its own that begins with its summary; its messages are
//! copies and get no alias. The manifest is kept, not read.

use serde_json::Value;
use treering_tree::{Kind, Message, Usage};

use super::shared::chat;
use super::{Current, Format, Found, Hangs, Head, MAIN_PART, Meaning, Reader};
use crate::frame::Frame;
use crate::json::{self, Fields};
use crate::time::time_ms;

/// The format.
pub(crate) struct Cline;

const BODY_FORMAT: &str = "cline/1";

impl Format for Cline {
    fn name(&self) -> &'static str {
        "cline"
    }

    fn recognize(&self, head: &Head<'_>) -> Option<Found> {
        let document = head.document.as_ref()?;
        let name = head.path.file_name()?.to_str()?;
        let is_manifest = document.text("session_id").is_some()
            && document.get("enable_tools").is_some()
            && document.text("cwd").is_some();
        if is_manifest {
            return Some(Found::kept(document.text("session_id").map(str::to_owned), name));
        }
        let is_own = document.text("sessionId").is_some()
            && document.text("agent").is_some()
            && document["messages"].is_array();
        let found = Found::main(document.text("sessionId").map(str::to_owned));
        let part = if name.contains("compaction") { name } else { MAIN_PART };
        is_own.then(|| Found { part: part.to_owned(), ..found })
    }

    fn frame(&self, _head: &Head<'_>) -> Frame {
        Frame::Document(&["messages"])
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Messages::default())
    }

    fn message(&self, _kind: Kind, text: &str) -> Option<Message> {
        said(&json::object(text)?).map(|(_, message)| message)
    }

    fn current(&self) -> Current {
        Current::LastRecord
    }
}

#[derive(Default)]
struct Messages {
    seen: bool,
    /// Whether the list is what a compaction left.
    compacted: bool,
}

impl Reader for Messages {
    fn read(&mut self, text: &str) -> Option<Meaning> {
        let value = json::object(text)?;
        let (kind, message) = said(&value)?;
        let kind_of_metadata = value["metadata"].text("kind").unwrap_or_default();
        let begins = !std::mem::replace(&mut self.seen, true);
        let is_summary = kind_of_metadata.starts_with("compaction");
        self.compacted |= begins && is_summary;
        let kind = if is_summary { Kind::Compaction } else { kind };
        let hangs = if begins { Hangs::Root } else { Hangs::Previous };
        Some(Meaning {
            hangs,
            id: value.text("id").filter(|_| !self.compacted).map(str::to_owned),
            at_ms: time_ms(&value["ts"]),
            ..Meaning::next(BODY_FORMAT, kind, Some(message))
        })
    }
}

fn said(value: &Value) -> Option<(Kind, Message)> {
    let (kind, mut message) = chat::message(value)?;
    if kind == Kind::Assistant {
        message.model = value["modelInfo"].text("id").map(str::to_owned);
        let metrics = &value["metrics"];
        let cached = metrics.count("cacheReadTokens");
        let created = metrics.count("cacheWriteTokens");
        let input = metrics.count("inputTokens").saturating_sub(cached).saturating_sub(created);
        let output = metrics.count("outputTokens");
        message.usage = metrics.is_object().then_some(Usage { input, cached, created, output });
    }
    Some((kind, message))
}
