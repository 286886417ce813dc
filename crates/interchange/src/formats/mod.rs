//! The seam to foreign formats: a file per format, each telling what one record of it means. A
//! format never touches a store, a file or another format; how `docs/formats.md` says to add one.

mod atif;
mod claude_code;
mod cline;
mod codex;
mod copilot_cli;
mod docker_agent;
mod gemini;
mod goose;
mod kimi;
mod opencode;
mod openhands;
mod pi;
mod provider;
mod qwen_code;
mod shared;
mod swe_agent;

use std::path::Path;

use serde_json::Value;
use treering_tree::{Kind, Message, Part};

use crate::frame::Frame;
use crate::json::{self, Raw};

/// A foreign format: JSON records, one after the other or as the elements of a document's lists.
pub(crate) trait Format: Sync {
    /// Its name, as `--format` takes it; the part of a body format's name before the slash.
    fn name(&self) -> &'static str;

    /// Whether a file that begins like this is of the format, and what it belongs to.
    fn recognize(&self, head: &Head<'_>) -> Option<Found>;

    /// How a file that begins like this is told apart into records.
    fn frame(&self, _head: &Head<'_>) -> Frame {
        Frame::Lines
    }

    /// The tables of the tool's database, where it has one.
    #[cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "read behind the feature"))]
    fn tables(&self) -> Option<&'static Tables> {
        None
    }

    /// A reader of one file.
    fn reader(&self) -> Box<dyn Reader>;

    /// What a record says; `None` where it is not JSON of the format.
    fn message(&self, kind: Kind, text: &str) -> Option<Message>;

    /// The name that a record gives to the entry it is about; empty takes the name away.
    fn label(&self, _text: &str) -> Option<String> {
        None
    }

    /// What the tool shows when it opens a session.
    fn current(&self) -> Current;
}

/// Reads the records of one file in order.
pub(crate) trait Reader: Send {
    /// What a record means; `None` where it is no record of the format.
    fn read(&mut self, text: &str) -> Option<Meaning>;
}

/// The tables in which a tool keeps its sessions.
#[derive(Debug)]
#[cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "read behind the feature"))]
pub(crate) struct Tables {
    /// One row for each session, called by its column `id`: the state.
    pub(crate) session: &'static str,
    /// One row for each record.
    pub(crate) record: Table,
    /// Rows that belong to a record each, called by its column `id`.
    pub(crate) part: Option<Table>,
}

/// A table whose rows belong to something.
#[derive(Debug)]
#[cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "read behind the feature"))]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// The column that says to what.
    pub(crate) of: &'static str,
    /// The columns its rows are sorted by.
    pub(crate) order: &'static [&'static str],
    /// What else must be there, to tell it from another tool's of the same name.
    pub(crate) also: &'static str,
}

/// Every format, in the order in which they are tried.
pub(crate) static FORMATS: &[&dyn Format] = &[
    &pi::Pi,
    &qwen_code::QwenCode,
    &gemini::Gemini,
    &claude_code::ClaudeCode,
    &codex::Codex,
    &copilot_cli::CopilotCli,
    &openhands::OpenHands,
    &opencode::OpenCode,
    &goose::Goose,
    &docker_agent::DockerAgent,
    &kimi::Kimi,
    &cline::Cline,
    &swe_agent::SweAgent,
    &atif::Atif,
    &provider::ANTHROPIC,
    &provider::CHAT,
    &provider::RESPONSES,
];

/// The format of a name.
pub(crate) fn named(name: &str) -> Option<&'static dyn Format> {
    FORMATS.iter().copied().find(|format| format.name() == name)
}

/// The format of a body, by the name before the slash.
pub(crate) fn of_body(body_format: &str) -> Option<&'static dyn Format> {
    body_format.split_once('/').and_then(|(name, _)| named(name))
}

/// The names of all formats, for messages.
pub(crate) fn names() -> String {
    FORMATS.iter().map(|format| format.name()).collect::<Vec<_>>().join(", ")
}

/// How a file begins.
pub(crate) struct Head<'a> {
    /// Its first records.
    pub(crate) records: Vec<String>,
    /// Its fields, where it is one JSON document: of lists the first element, the document itself
    /// under the empty name where it is a list.
    pub(crate) document: Option<Value>,
    /// Where it is, as far as that tells something.
    pub(crate) path: &'a Path,
}

impl Head<'_> {
    /// The document, or else the first record.
    pub(crate) fn first(&self) -> Option<Value> {
        let record = || json::object(self.records.first()?);
        self.document.clone().or_else(record)
    }
}

/// What a file belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The tool's id of the session; the name of the file where it has none.
    pub(crate) session: Option<String>,
    /// Which file of its session it is; [`MAIN_PART`] is the one that holds the conversation.
    pub(crate) part: String,
    /// Whether its lines are kept without being read.
    pub(crate) opaque: bool,
    /// Its place among the files of a folder that are one conversation together.
    pub(crate) member: Option<Member>,
}

/// One of the files of a folder that are one conversation together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its path inside the session, for the export.
    pub(crate) name: String,
    /// What the files are sorted by.
    pub(crate) order: String,
    /// The tool's id of the record it begins.
    pub(crate) id: Option<String>,
    /// The id of the record it goes on with, where it does not begin one.
    pub(crate) of: Option<String>,
}

/// The file of a session that holds its conversation.
pub(crate) const MAIN_PART: &str = "main";

impl Found {
    pub(crate) fn main(session: Option<String>) -> Self {
        Self { session, part: MAIN_PART.to_owned(), ..Self::default() }
    }

    /// A file beside the one with the conversation.
    pub(crate) fn beside(session: Option<String>, part: impl Into<String>) -> Self {
        Self { session, part: part.into(), ..Self::default() }
    }

    /// The same, but kept without being read.
    pub(crate) fn kept(session: Option<String>, part: impl Into<String>) -> Self {
        Self { opaque: true, ..Self::beside(session, part) }
    }

    /// A file of a folder that is one conversation.
    pub(crate) fn member(session: Option<String>, member: Member) -> Self {
        Self { member: Some(member), ..Self::main(session) }
    }
}

/// Where a conversation stands, where its tool writes that down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stands {
    /// At the record of this id.
    At(String),
    /// Before it: it and what follows were taken back.
    Before(String),
}

/// Which entry is the head of the current conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Current {
    /// The last record of the tree.
    LastRecord,
    /// Of what was said by user or model and leads to a record that no other names as its parent,
    /// the last in the file that is not on the side.
    LastLeaf,
}

/// What one record means, in words that all formats share.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "a record may mean several of them at once")]
pub(crate) struct Meaning {
    /// Name and version of the body's format.
    pub(crate) body_format: String,
    /// What its entry is.
    pub(crate) kind: Kind,
    /// The tool's id of it.
    pub(crate) id: Option<String>,
    /// Where it hangs.
    pub(crate) hangs: Hangs,
    /// When, milliseconds since 1970 UTC.
    pub(crate) at_ms: Option<i64>,
    /// The record it is about.
    pub(crate) about: Option<About>,
    /// Which API message it is a piece of.
    pub(crate) group: Option<String>,
    /// Whether it goes on with the calls of its parent rather than with the conversation: what it
    /// is attached to then stands in for its parent.
    pub(crate) continues: bool,
    /// What it counts for when the current conversation is chosen.
    pub(crate) standing: Standing,
    /// What it says, for the kinds that have a place in a context.
    pub(crate) message: Option<Message>,
    /// Whether its tool says that it wrote it before, with the same id.
    pub(crate) preserved: bool,
    /// Whether it lacks the id that would give it a place in the tree.
    pub(crate) misplaced: bool,
    /// The slot of a system prompt.
    pub(crate) slot: Option<String>,
    /// What later records of the file may call it, beside its id: a number of the reader's choice.
    pub(crate) mark: Option<u64>,
    /// Where the session's conversation stands, if the record tells.
    pub(crate) stands: Option<Stands>,
    /// Whether its tool is still at work on it and will write it again.
    pub(crate) unfinished: bool,
}

impl Meaning {
    /// A record beside the tree.
    pub(crate) fn aside(body_format: String) -> Self {
        Self {
            body_format,
            kind: Kind::Record,
            id: None,
            hangs: Hangs::Aside,
            at_ms: None,
            about: None,
            group: None,
            continues: false,
            standing: Standing::Mute,
            message: None,
            preserved: false,
            misplaced: false,
            slot: None,
            mark: None,
            stands: None,
            unfinished: false,
        }
    }

    /// What follows the record before it, in a format where records stand in a line.
    pub(crate) fn next(body_format: &str, kind: Kind, message: Option<Message>) -> Self {
        let is_said = matches!(kind, Kind::User | Kind::Assistant);
        Self {
            kind,
            hangs: Hangs::Previous,
            standing: if is_said { Standing::Said } else { Standing::Mute },
            about: (kind == Kind::Compaction).then_some(About::Nothing),
            slot: (kind == Kind::SystemPrompt).then(|| "system".to_owned()),
            message: message.filter(|_| kind != Kind::Record),
            ..Self::aside(body_format.to_owned())
        }
    }
}

/// Where a record hangs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hangs {
    /// Nowhere: it begins a tree.
    Root,
    /// Under the record of this id.
    Under(String),
    /// Under the record of the tree before it in the file.
    Previous,
    /// Where the record with this mark hangs: it takes that one's place, and everything after that
    /// one stays on a branch of its own.
    Beside(u64),
    /// Beside the tree, in file order.
    Aside,
}

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// The record of this id.
    Id(String),
    /// The record of this number in its file, from 0.
    Nth(u64),
    /// Nothing: a compaction that keeps nothing.
    Nothing,
}

/// What a record counts for when the current conversation is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// User or model said it.
    Said,
    /// The same, but on the side: by a subagent, a team mate or the tool.
    Side,
    /// Nobody said it.
    Mute,
}

/// Parts of a content that is a text or blocks, each of which `read` reads.
fn parts_of<I: IntoIterator<Item = Part>>(
    content: Option<Raw<'_>>,
    read: impl Fn(Raw<'_>) -> I,
) -> Vec<Part> {
    let Some(content) = content else { return Vec::new() };
    if content.get().starts_with('"') {
        return vec![Part::Text { text: serde_json::from_str(content.get()).unwrap_or_default() }];
    }
    let blocks: Vec<Raw<'_>> = serde_json::from_str(content.get()).unwrap_or_default();
    blocks.into_iter().flat_map(read).collect()
}

/// The texts of a tool result's content as one, and what else it holds.
fn result_text(parts: Vec<Part>) -> (String, Vec<Part>) {
    let mut texts: Vec<String> = Vec::new();
    let mut rest = Vec::new();
    for part in parts {
        match part {
            Part::Text { text } => texts.push(text),
            other => rest.push(other),
        }
    }
    (texts.join("\n"), rest)
}
