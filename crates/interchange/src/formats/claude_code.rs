//! Claude Code: a JSON line per record; `uuid` and `parentUuid` make the tree, lines without a uuid
//! stand beside it. Subagents have files of their own.
//!
//! Follows the tool's reading rule: of two records with one uuid the later counts, a compaction
//! boundary begins a new tree (`logicalParentUuid` is not followed), and the current conversation
//! ends at the last leaf of user or model that is not on the side. The `isCompactSummary` line is
//! the compaction; the boundary before it is a record.

mod preserved;

use std::path::Path;

use serde::Deserialize;
use treering_tree::{Kind, Message, Part, Role, Usage};

use self::preserved::{Compacted, Preserved};
use super::{
    About, Current, Format, Found, Hangs, Head, Meaning, Reader, Standing, parts_of, result_text,
};
use crate::json::{self, Raw, Text, lenient, string};
use crate::time::parse_ms;

/// The format.
pub(crate) struct ClaudeCode;

const BODY_FORMAT: &str = "claude-code/1";
/// The folder beside a session's file that holds the files of its subagents.
const SUBAGENTS: &str = "subagents";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    #[serde(borrow, rename = "type", default, deserialize_with = "lenient")]
    kind: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    uuid: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    parent_uuid: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    session_id: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    leaf_uuid: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    timestamp: Option<Text<'a>>,
    #[serde(default, deserialize_with = "lenient")]
    is_sidechain: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    is_meta: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    is_compact_summary: Option<bool>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    team_name: Option<Text<'a>>,
    #[serde(borrow, default)]
    message: Option<Raw<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    attachment: Option<Attachment<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    content: Option<Text<'a>>,
    #[serde(borrow, default)]
    snapshot: Option<Raw<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    compact_metadata: Option<Compacted<'a>>,
}

#[derive(Deserialize)]
struct Attachment<'a> {
    #[serde(borrow, rename = "type", default, deserialize_with = "lenient")]
    kind: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    prompt: Option<Text<'a>>,
}

#[derive(Default, Deserialize)]
struct Said<'a> {
    #[serde(borrow, default, deserialize_with = "lenient")]
    id: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    model: Option<Text<'a>>,
    #[serde(borrow, default)]
    content: Option<Raw<'a>>,
    #[serde(borrow, default)]
    parts: Option<Raw<'a>>,
    #[serde(default, deserialize_with = "lenient")]
    usage: Option<Tokens>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    stop_reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Tokens {
    #[serde(rename = "input_tokens", default, deserialize_with = "lenient")]
    input: Option<u64>,
    #[serde(rename = "cache_read_input_tokens", default, deserialize_with = "lenient")]
    cached: Option<u64>,
    #[serde(rename = "cache_creation_input_tokens", default, deserialize_with = "lenient")]
    created: Option<u64>,
    #[serde(rename = "output_tokens", default, deserialize_with = "lenient")]
    output: Option<u64>,
}

#[derive(Deserialize)]
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
    input: Option<Raw<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    tool_use_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    content: Option<Raw<'a>>,
    #[serde(default, deserialize_with = "lenient")]
    is_error: Option<bool>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    source: Option<Source<'a>>,
}

#[derive(Deserialize)]
struct Source<'a> {
    #[serde(borrow, default, deserialize_with = "lenient")]
    media_type: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    data: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    url: Option<Text<'a>>,
}

impl Format for ClaudeCode {
    fn name(&self) -> &'static str {
        "claude-code"
    }

    fn recognize(&self, head: &Head<'_>) -> Option<Found> {
        let place = Place::of(head.path);
        if place.sidecar {
            return Some(Found::kept(place.session, place.part?));
        }
        let lines: Vec<Line<'_>> =
            head.records.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
        lines.iter().find(|line| line.is_distinctive())?;
        let inside = lines.into_iter().find_map(|line| line.session_id).map(Text::into_string);
        let mut found = Found::main(place.session.or(inside));
        if let Some(part) = place.part {
            found.part = part;
        }
        Some(found)
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Lines::default())
    }

    fn message(&self, kind: Kind, text: &str) -> Option<Message> {
        let line: Line<'_> = serde_json::from_str(text).ok()?;
        line.message(kind, &line.said())
    }

    fn current(&self) -> Current {
        Current::LastLeaf
    }
}

/// What the path of a file tells of it.
struct Place {
    session: Option<String>,
    part: Option<String>,
    sidecar: bool,
}

impl Place {
    fn of(path: &Path) -> Self {
        let names: Vec<&str> = path.iter().filter_map(|name| name.to_str()).collect();
        let name = names.last().copied().unwrap_or_default();
        let folder = names.iter().rposition(|folder| *folder == SUBAGENTS);
        match folder {
            Some(at) if name.starts_with("agent-") && at + 1 < names.len() => Self {
                session: at
                    .checked_sub(1)
                    .map(|above| names[above].to_owned())
                    .filter(|name| is_uuid(name)),
                part: Some(names[at..].join("/")),
                sidecar: name.ends_with(".meta.json"),
            },
            // Older versions put them beside the session.
            _ if agent_id(name).is_some_and(|id| id.bytes().all(|b| b.is_ascii_hexdigit())) => {
                Self { session: None, part: Some(name.to_owned()), sidecar: false }
            }
            _ => {
                let stem = name.strip_suffix(".jsonl").unwrap_or(name).to_owned();
                Self {
                    session: Some(stem).filter(|name| is_uuid(name)),
                    part: None,
                    sidecar: false,
                }
            }
        }
    }
}

/// The id in the name of a subagent's file.
fn agent_id(name: &str) -> Option<&str> {
    name.strip_prefix("agent-")?.strip_suffix(".jsonl")
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[derive(Default)]
struct Lines {
    preserved: Preserved,
}

impl Reader for Lines {
    fn read(&mut self, text: &str) -> Option<Meaning> {
        let line: Line<'_> = serde_json::from_str(text).ok()?;
        let said = line.said();
        let kind = line.entry_kind(&said);
        let at_ms = line.timestamp.as_ref().and_then(|time| parse_ms(time.as_str()));
        let aside = Meaning { at_ms, ..Meaning::aside(BODY_FORMAT.to_owned()) };
        let record_type = line.kind.as_ref()?.as_str();
        let is_said = matches!(record_type, "user" | "assistant");
        let Some(id) = &line.uuid else {
            return Some(Meaning { misplaced: is_said, ..aside });
        };
        if let Some(metadata) = &line.compact_metadata {
            self.preserved = Preserved::of(metadata);
        }
        let hangs = match &line.parent_uuid {
            Some(parent) => Hangs::Under(parent.as_str().to_owned()),
            None => Hangs::Root,
        };
        let side = line.is_sidechain == Some(true)
            || line.is_meta == Some(true)
            || line.team_name.as_ref().is_some_and(|team| !team.as_str().is_empty());
        let standing = match (is_said, side) {
            (true, true) => Standing::Side,
            (true, false) => Standing::Said,
            (false, _) => Standing::Mute,
        };
        let has_message = kind.has_place_in_context() || kind == Kind::Compaction;
        Some(Meaning {
            kind,
            id: Some(id.as_str().to_owned()),
            hangs,
            about: (kind == Kind::Compaction).then_some(About::Nothing),
            group: if kind == Kind::Assistant { string(said.id.clone()) } else { None },
            continues: matches!(kind, Kind::ToolResult | Kind::Record),
            preserved: self.preserved.takes(id.as_str()),
            standing,
            message: if has_message { line.message(kind, &said) } else { None },
            ..aside
        })
    }
}

impl<'a> Line<'a> {
    /// Whether no other format has such a line.
    fn is_distinctive(&self) -> bool {
        let Some(kind) = &self.kind else { return false };
        match kind.as_str() {
            "summary" => self.leaf_uuid.is_some(),
            "file-history-snapshot" => self.snapshot.is_some(),
            _ => self.session_id.is_some() && self.said().parts.is_none(),
        }
    }

    fn said(&self) -> Said<'a> {
        self.message.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }

    fn entry_kind(&self, said: &Said<'_>) -> Kind {
        match self.kind.as_ref().map_or("", Text::as_str) {
            "assistant" => Kind::Assistant,
            "user" if self.is_compact_summary == Some(true) => Kind::Compaction,
            "user" if said.holds_results() => Kind::ToolResult,
            "user" if self.is_meta == Some(true) => Kind::Note,
            "user" => Kind::User,
            // What the user typed while the model was at work.
            "attachment" if self.queued_prompt().is_some() => Kind::Note,
            _ => Kind::Record,
        }
    }

    fn queued_prompt(&self) -> Option<&str> {
        let attachment = self.attachment.as_ref()?;
        let queued = attachment.kind.as_ref()?.as_str() == "queued_command";
        attachment.prompt.as_ref().filter(|_| queued).map(Text::as_str)
    }

    fn message(&self, kind: Kind, said: &Said<'_>) -> Option<Message> {
        let role = match kind {
            Kind::Assistant => Role::Assistant,
            Kind::ToolResult => Role::Tool,
            Kind::Record => {
                return Some(Message::text(Role::System, self.content.as_ref()?.as_str()));
            }
            _ => Role::User,
        };
        if let Some(prompt) = self.queued_prompt() {
            return Some(Message::text(role, prompt));
        }
        // A message that is a bare string is what was said.
        let parts = match (said.content, self.message) {
            (None, Some(raw)) if raw.get().starts_with('"') => parts_of(Some(raw), block_parts),
            (content, _) => parts_of(content, block_parts),
        };
        let mut message = Message::new(role, parts);
        if kind == Kind::Assistant {
            message.model = string(said.model.clone());
            message.stop = string(said.stop_reason.clone());
            message.usage = said.usage.as_ref().map(|tokens| Usage {
                input: tokens.input.unwrap_or(0),
                cached: tokens.cached.unwrap_or(0),
                created: tokens.created.unwrap_or(0),
                output: tokens.output.unwrap_or(0),
            });
        }
        Some(message)
    }
}

impl Said<'_> {
    fn holds_results(&self) -> bool {
        let blocks =
            self.content.and_then(|raw| serde_json::from_str::<Vec<Raw<'_>>>(raw.get()).ok());
        let is_result = |raw: &Raw<'_>| {
            let block: Option<Block<'_>> = serde_json::from_str(raw.get()).ok();
            block.and_then(|block| block.kind).is_some_and(|kind| kind.as_str() == "tool_result")
        };
        blocks.is_some_and(|blocks| blocks.iter().any(is_result))
    }
}

fn block_parts(raw: Raw<'_>) -> Vec<Part> {
    let other = |name: &str| vec![Part::Other { name: name.to_owned(), value: json::value(raw) }];
    let Ok(block) = serde_json::from_str::<Block<'_>>(raw.get()) else { return other("unknown") };
    let text = |text: Option<Text<'_>>| string(text).unwrap_or_default();
    match block.kind.as_ref().map_or("unknown", Text::as_str) {
        "text" => vec![Part::Text { text: text(block.text) }],
        "thinking" => vec![Part::Reasoning { text: text(block.thinking) }],
        "tool_use" => vec![Part::ToolCall {
            id: text(block.id),
            name: text(block.name),
            arguments: block.input.map(json::value).unwrap_or_default(),
        }],
        "tool_result" => {
            // Results hold text and media; one inside another is kept as it came.
            let inner = parts_of(block.content, |raw| [simple_part(raw)]);
            let (joined, rest) = result_text(inner);
            let call = text(block.tool_use_id);
            let error = block.is_error.unwrap_or(false);
            let mut parts = vec![Part::ToolResult { call, text: joined, error }];
            parts.extend(rest);
            parts
        }
        "image" | "document" if block.source.is_some() => vec![simple_part(raw)],
        name => other(name),
    }
}

/// Text, media, or what it is.
fn simple_part(raw: Raw<'_>) -> Part {
    let other = |name: &str| Part::Other { name: name.to_owned(), value: json::value(raw) };
    let Ok(block) = serde_json::from_str::<Block<'_>>(raw.get()) else { return other("unknown") };
    match (block.kind.as_ref().map_or("unknown", Text::as_str), block.source) {
        ("text", _) => Part::Text { text: string(block.text).unwrap_or_default() },
        ("image" | "document", Some(source)) => Part::Media {
            mime: string(source.media_type).unwrap_or_default(),
            data: string(source.data.or(source.url)).unwrap_or_default(),
        },
        (name, _) => other(name),
    }
}
