//! pi, versions 1 to 3, and dialects that write the same lines (openclaw).
//!
//! A header line, then one entry per line. From version 2 on an entry has `id` and `parentId` and
//! every one, settings and labels too, is a node; in version 1 each follows the one before it. The
//! tool opens a session at the last line.

use serde::Deserialize;
use treering_tree::{Kind, Message, Part, Role, Usage};

use super::{
    About, Current, Format, Found, Hangs, Head, Meaning, Reader, Standing, parts_of, result_text,
};
use crate::json::{self, Raw, Text, lenient, string};
use crate::time::parse_ms;

/// The format.
pub(crate) struct Pi;

/// The newest version that is read here; version 4 is another format.
const NEWEST: u64 = 3;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    #[serde(borrow, rename = "type", default, deserialize_with = "lenient")]
    kind: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    id: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    parent_id: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    timestamp: Option<Text<'a>>,
    #[serde(default, deserialize_with = "lenient")]
    version: Option<u64>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    message: Option<Said<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    summary: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    first_kept_entry_id: Option<Text<'a>>,
    #[serde(default, deserialize_with = "lenient")]
    first_kept_entry_index: Option<u64>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    from_id: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    target_id: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    label: Option<Text<'a>>,
    #[serde(borrow, default)]
    content: Option<Raw<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said<'a> {
    #[serde(borrow, default, deserialize_with = "lenient")]
    role: Option<Text<'a>>,
    #[serde(borrow, default)]
    content: Option<Raw<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    model: Option<Text<'a>>,
    #[serde(default, deserialize_with = "lenient")]
    usage: Option<Tokens>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    stop_reason: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    tool_call_id: Option<Text<'a>>,
    #[serde(default, deserialize_with = "lenient")]
    is_error: Option<bool>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    command: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    output: Option<Text<'a>>,
    #[serde(default, deserialize_with = "lenient")]
    exclude_from_context: Option<bool>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    summary: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tokens {
    #[serde(default, deserialize_with = "lenient")]
    input: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    output: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    cache_read: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    cache_write: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block<'a> {
    #[serde(borrow, rename = "type", default, deserialize_with = "lenient")]
    kind: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    text: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    thinking: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    id: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    arguments: Option<Raw<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    data: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    mime_type: Option<Text<'a>>,
}

impl Format for Pi {
    fn name(&self) -> &'static str {
        "pi"
    }

    fn recognize(&self, head: &Head<'_>) -> Option<Found> {
        let header: Line<'_> =
            head.records.iter().find_map(|text| serde_json::from_str(text).ok())?;
        let is_header = header.kind.as_ref().is_some_and(|kind| kind.as_str() == "session")
            && header.id.is_some()
            && header.timestamp.is_some()
            && header.version.is_none_or(|version| version <= NEWEST);
        is_header.then(|| Found::main(string(header.id)))
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Entries { version: NEWEST })
    }

    fn message(&self, kind: Kind, text: &str) -> Option<Message> {
        let line: Line<'_> = serde_json::from_str(text).ok()?;
        line.message(kind)
    }

    fn label(&self, text: &str) -> Option<String> {
        let line: Line<'_> = serde_json::from_str(text).ok()?;
        let is_label = line.kind.as_ref().is_some_and(|kind| kind.as_str() == "label");
        is_label.then(|| string(line.label).unwrap_or_default())
    }

    fn current(&self) -> Current {
        Current::LastRecord
    }
}

struct Entries {
    version: u64,
}

impl Reader for Entries {
    fn read(&mut self, text: &str) -> Option<Meaning> {
        let line: Line<'_> = serde_json::from_str(text).ok()?;
        if line.kind.as_ref()?.as_str() == "session" {
            self.version = line.version.unwrap_or(1).clamp(1, NEWEST);
            let at_ms = line.at_ms();
            return Some(Meaning { at_ms, ..Meaning::aside(self.body_format()) });
        }
        let aside = Meaning { at_ms: line.at_ms(), ..Meaning::aside(self.body_format()) };
        let hangs = match (self.version, &line.id, &line.parent_id) {
            (1, None, _) => Hangs::Previous,
            (_, None, _) => return Some(Meaning { misplaced: true, ..aside }),
            (_, Some(_), Some(parent)) => Hangs::Under(parent.as_str().to_owned()),
            (_, Some(_), None) => Hangs::Root,
        };
        let kind = line.entry_kind();
        let has_message = kind.has_place_in_context() || kind == Kind::Compaction;
        let message = if has_message { line.message(kind) } else { None };
        let standing = match kind {
            Kind::User | Kind::Assistant => Standing::Said,
            _ => Standing::Mute,
        };
        Some(Meaning {
            kind,
            hangs,
            about: line.about(kind),
            standing,
            message,
            id: string(line.id),
            ..aside
        })
    }
}

impl Entries {
    fn body_format(&self) -> String {
        format!("pi/{}", self.version)
    }
}

impl Line<'_> {
    fn at_ms(&self) -> Option<i64> {
        self.timestamp.as_ref().and_then(|time| parse_ms(time.as_str()))
    }

    fn entry_kind(&self) -> Kind {
        let role = self.message.as_ref().and_then(|said| said.role.as_ref()).map(Text::as_str);
        let hidden =
            self.message.as_ref().is_some_and(|said| said.exclude_from_context == Some(true));
        match (self.kind.as_ref().map_or("", Text::as_str), role) {
            ("compaction", _) => Kind::Compaction,
            ("branch_summary", _) | ("message", Some("branchSummary")) => Kind::BranchSummary,
            ("custom_message", _) => Kind::Note,
            ("message", Some("user")) => Kind::User,
            ("message", Some("assistant")) => Kind::Assistant,
            ("message", Some("toolResult")) => Kind::ToolResult,
            ("message", Some("bashExecution")) if hidden => Kind::Record,
            ("message", Some("bashExecution" | "custom" | "hookMessage" | "compactionSummary")) => {
                Kind::Note
            }
            _ => Kind::Record,
        }
    }

    fn about(&self, kind: Kind) -> Option<About> {
        let id =
            |text: &Option<Text<'_>>| text.as_ref().map(|text| About::Id(text.as_str().to_owned()));
        match kind {
            Kind::Compaction => Some(
                id(&self.first_kept_entry_id)
                    .or(self.first_kept_entry_index.map(About::Nth))
                    .unwrap_or(About::Nothing),
            ),
            Kind::BranchSummary => id(&self.from_id),
            Kind::Record => id(&self.target_id),
            _ => None,
        }
    }

    fn message(&self, kind: Kind) -> Option<Message> {
        let text = |role, text: &Option<Text<'_>>| {
            Message::text(role, text.as_ref().map_or("", Text::as_str))
        };
        match (kind, &self.message) {
            (Kind::Compaction, _) | (Kind::BranchSummary, None) => {
                Some(text(Role::User, &self.summary))
            }
            (Kind::BranchSummary, Some(said)) => Some(text(Role::User, &said.summary)),
            (Kind::Note, None) => {
                Some(Message::new(Role::User, parts_of(self.content, |raw| [part(raw)])))
            }
            (_, Some(said)) => Some(said.message(kind)),
            (_, None) => None,
        }
    }
}

impl Said<'_> {
    fn message(&self, kind: Kind) -> Message {
        let role = match kind {
            Kind::Assistant => Role::Assistant,
            Kind::ToolResult => Role::Tool,
            _ => Role::User,
        };
        let mut message = Message::new(role, parts_of(self.content, |raw| [part(raw)]));
        match kind {
            Kind::ToolResult => {
                let (text, rest) = result_text(message.parts);
                let call = self.tool_call_id.as_ref().map_or("", Text::as_str).to_owned();
                let error = self.is_error.unwrap_or(false);
                message.parts = vec![Part::ToolResult { call, text, error }];
                message.parts.extend(rest);
            }
            Kind::Assistant => {
                message.model = self.model.as_ref().map(|model| model.as_str().to_owned());
                message.stop = self.stop_reason.as_ref().map(|stop| stop.as_str().to_owned());
                message.usage = self.usage.as_ref().map(|tokens| Usage {
                    input: tokens.input.unwrap_or(0),
                    cached: tokens.cache_read.unwrap_or(0),
                    created: tokens.cache_write.unwrap_or(0),
                    output: tokens.output.unwrap_or(0),
                });
            }
            _ => {}
        }
        if let Some(command) = &self.command {
            let output = self.output.as_ref().map_or("", Text::as_str);
            let text = format!("Ran `{}`\n{output}", command.as_str());
            message.parts.push(Part::Text { text });
        }
        if let Some(summary) = &self.summary {
            message.parts.push(Part::Text { text: summary.as_str().to_owned() });
        }
        message
    }
}

fn part(raw: Raw<'_>) -> Part {
    let other = |name: &str| Part::Other { name: name.to_owned(), value: json::value(raw) };
    let Ok(block) = serde_json::from_str::<Block<'_>>(raw.get()) else { return other("unknown") };
    let text = |text: Option<Text<'_>>| string(text).unwrap_or_default();
    match block.kind.as_ref().map_or("unknown", Text::as_str) {
        "text" => Part::Text { text: text(block.text) },
        "thinking" => Part::Reasoning { text: text(block.thinking) },
        "toolCall" => Part::ToolCall {
            id: text(block.id),
            name: text(block.name),
            arguments: block.arguments.map(json::value).unwrap_or_default(),
        },
        "image" => Part::Media { mime: text(block.mime_type), data: text(block.data) },
        name => other(name),
    }
}
