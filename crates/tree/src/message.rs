//! Messages: what people, models and tools read of a body. The engine's own bodies are JSON of
//! these types; `treering-interchange` reads the foreign ones as such.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::entry::{Body, Envelope, Kind};
use crate::error::{Error, Result};

/// Format name of a [`Message`] body.
pub const MESSAGE_FORMAT: &str = "treering/message/1";
/// Format name of a [`Summary`] body.
pub const SUMMARY_FORMAT: &str = "treering/summary/1";
/// Format name of a [`Label`] body.
pub const LABEL_FORMAT: &str = "treering/label/1";
/// Format name of a [`Tombstone`] body.
pub const TOMBSTONE_FORMAT: &str = "treering/tombstone/1";

/// What an erased text says.
const ERASED: &str = "[erased]";

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Instructions.
    System,
    /// The user, or the runtime on the user's behalf.
    User,
    /// The model.
    Assistant,
    /// A tool.
    Tool,
}

/// A piece of a message.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Part {
    /// Plain text.
    Text {
        /// The text.
        text: String,
    },
    /// The model's reasoning.
    Reasoning {
        /// The text.
        text: String,
    },
    /// A tool call.
    ToolCall {
        /// Its id, unique in its group.
        id: String,
        /// The tool's name.
        name: String,
        /// What it is called with, as the model wrote it.
        arguments: Value,
    },
    /// A tool's answer.
    ToolResult {
        /// The call it answers.
        call: String,
        /// What the tool printed.
        text: String,
        /// Whether the tool says that it failed.
        #[serde(default)]
        error: bool,
    },
    /// An image or document.
    Media {
        /// Its MIME type.
        mime: String,
        /// Base64 data or a URL, as it came.
        data: String,
    },
    /// Anything else, kept as it came.
    Other {
        /// What the source calls it.
        name: String,
        /// Its content.
        value: Value,
    },
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text { text } => write!(f, "Text({} bytes)", text.len()),
            Self::Reasoning { text } => write!(f, "Reasoning({} bytes)", text.len()),
            Self::ToolCall { .. } => f.write_str("ToolCall(..)"),
            Self::ToolResult { text, .. } => write!(f, "ToolResult({} bytes)", text.len()),
            Self::Media { data, .. } => write!(f, "Media({} bytes)", data.len()),
            Self::Other { .. } => f.write_str("Other(..)"),
        }
    }
}

/// What the provider reported for an answer, in tokens. `input`, `cached` and `created` are
/// disjoint: their sum is the size of the prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Prompt tokens that were neither read from nor written to a cache.
    pub input: u64,
    /// Prompt tokens read from the provider's cache.
    pub cached: u64,
    /// Prompt tokens written to the provider's cache.
    pub created: u64,
    /// Tokens of the answer.
    pub output: u64,
}

impl Usage {
    /// Size of the prompt.
    pub fn prompt(&self) -> u64 {
        self.input.saturating_add(self.cached).saturating_add(self.created)
    }
}

/// What a body says.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said, in order.
    pub parts: Vec<Part>,
    /// The model that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What the provider reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Why the model stopped, in the source's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<String>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("role", &self.role)
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}

impl Message {
    /// A message of given parts.
    pub fn new(role: Role, parts: Vec<Part>) -> Self {
        Self { role, parts, model: None, usage: None, stop: None }
    }

    /// A message of one text.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self::new(role, vec![Part::Text { text: text.into() }])
    }

    /// Ids of the tool calls it makes, in order: what its entry's envelope names.
    pub fn calls(&self) -> Vec<String> {
        let call = |part: &Part| match part {
            Part::ToolCall { id, .. } => Some(id.clone()),
            _ => None,
        };
        self.parts.iter().filter_map(call).collect()
    }

    /// Ids of the tool calls it answers, in order: what its entry's envelope names.
    pub fn answers(&self) -> Vec<String> {
        let answer = |part: &Part| match part {
            Part::ToolResult { call, .. } => Some(call.clone()),
            _ => None,
        };
        self.parts.iter().filter_map(answer).collect()
    }

    /// The engine's own body for it.
    pub fn body(&self) -> Body {
        Body::new(MESSAGE_FORMAT, to_json(self))
    }

    /// What stands for an entry whose body was erased: it says so, makes the calls and answers the ones
    /// that the envelope names, so that calls and results still pair.
    pub fn erased(envelope: &Envelope) -> Self {
        let role = match envelope.kind {
            Kind::SystemPrompt => Role::System,
            Kind::Assistant => Role::Assistant,
            Kind::ToolResult => Role::Tool,
            _ => Role::User,
        };
        let text = || ERASED.to_owned();
        let call = |id: &String| {
            let (id, name, arguments) =
                (id.clone(), "erased".to_owned(), Value::Object(Map::new()));
            Part::ToolCall { id, name, arguments }
        };
        let answer =
            |call: &String| Part::ToolResult { call: call.clone(), text: text(), error: false };
        let mut parts: Vec<Part> = envelope.answers.iter().map(answer).collect();
        if parts.is_empty() {
            parts.push(Part::Text { text: text() });
        }
        parts.extend(envelope.calls.iter().map(call));
        Self::new(role, parts)
    }

    /// Reads the engine's own body.
    ///
    /// # Errors
    /// `Invalid` when the body is of another format or is not JSON of a message.
    pub fn from_body(body: &Body) -> Result<Self> {
        from_json(body, MESSAGE_FORMAT)
    }
}

/// What a compaction or branch summary says.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The text the model is given.
    pub text: String,
    /// The ledger the text was rendered from, so that the next generation merges data, not prose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Value>,
    /// What made it: summarizer, model, prompt version, attempts, usage, fallback reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<Value>,
}

impl Summary {
    /// The engine's own body for it.
    pub fn body(&self) -> Body {
        Body::new(SUMMARY_FORMAT, to_json(self))
    }

    /// Reads the engine's own body.
    ///
    /// # Errors
    /// `Invalid` when the body is of another format or is not JSON of a summary.
    pub fn from_body(body: &Body) -> Result<Self> {
        from_json(body, SUMMARY_FORMAT)
    }
}

/// A name for an entry: the body of a [`Kind::Record`](crate::Kind::Record) whose target is the
/// entry named. In a session the newest label of an entry counts; an empty name takes it away.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// The name.
    pub name: String,
}

impl Label {
    /// The engine's own body for it.
    pub fn body(&self) -> Body {
        Body::new(LABEL_FORMAT, to_json(self))
    }

    /// Reads the engine's own body.
    ///
    /// # Errors
    /// `Invalid` when the body is of another format or is not JSON of a label.
    pub fn from_body(body: &Body) -> Result<Self> {
        from_json(body, LABEL_FORMAT)
    }
}

/// That the body of an entry was erased: the body of a [`Kind::Record`](crate::Kind::Record) whose
/// target is the entry.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// Who erased it.
    pub by: String,
    /// When, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// Why.
    pub reason: String,
}

impl Tombstone {
    /// The engine's own body for it.
    pub fn body(&self) -> Body {
        Body::new(TOMBSTONE_FORMAT, to_json(self))
    }

    /// Reads the engine's own body.
    ///
    /// # Errors
    /// `Invalid` when the body is of another format or is not JSON of a tombstone.
    pub fn from_body(body: &Body) -> Result<Self> {
        from_json(body, TOMBSTONE_FORMAT)
    }
}

macro_rules! debug_by_length {
    ($($type:ident . $field:ident),*) => {
        $(impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({} bytes)", stringify!($type), self.$field.len())
            }
        })*
    };
}
// What a body says is in no log line.
debug_by_length!(Summary.text, Label.name, Tombstone.reason);

fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    // These types hold strings, numbers and JSON values only: nothing of them can fail to encode.
    serde_json::to_vec(value).unwrap_or_default()
}

fn from_json<T: for<'de> Deserialize<'de>>(body: &Body, format: &'static str) -> Result<T> {
    if body.format != format {
        return Err(Error::invalid("body", format!("expected {format}, found {}", body.format)));
    }
    // What serde says quotes the body; where it stumbled is all that may be told.
    let told = |cause: serde_json::Error| {
        let (line, column) = (cause.line(), cause.column());
        Error::invalid("body", format!("not JSON of {format}, at line {line}, column {column}"))
    };
    serde_json::from_slice(&body.bytes).map_err(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_what_was_sent_cached_or_not() {
        let usage = Usage { input: 1, cached: 20, created: 300, output: 4_000 };
        assert_eq!(usage.prompt(), 321);
        assert_eq!(Usage { cached: u64::MAX, ..usage }.prompt(), u64::MAX);
    }

    #[test]
    fn debug_tells_lengths_and_no_words() {
        let text = || "secret".to_owned();
        let value = || serde_json::json!({"secret": 1});
        let parts = vec![
            Part::Text { text: text() },
            Part::Reasoning { text: text() },
            Part::ToolCall { id: text(), name: text(), arguments: value() },
            Part::ToolResult { call: text(), text: text(), error: false },
            Part::Media { mime: text(), data: text() },
            Part::Other { name: text(), value: value() },
        ];
        let shown = format!("{:?}", Message::new(Role::Tool, parts));
        let expected = "Text(6 bytes), Reasoning(6 bytes), ToolCall(..), ToolResult(6 bytes), \
                        Media(6 bytes), Other(..)";
        assert!(shown.contains(expected) && shown.contains("Tool"), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn what_stands_for_an_erased_entry_speaks_as_it_did_and_still_pairs() {
        for (kind, role) in [
            (Kind::SystemPrompt, Role::System),
            (Kind::User, Role::User),
            (Kind::Assistant, Role::Assistant),
            (Kind::ToolResult, Role::Tool),
            (Kind::Note, Role::User),
        ] {
            let erased = Message::erased(&Envelope::new(kind, 0));
            assert_eq!((erased.role, erased.parts.len()), (role, 1), "{kind}");
        }
        let names = || vec!["a".to_owned(), "b".to_owned()];
        let caller =
            Message::erased(&Envelope { calls: names(), ..Envelope::new(Kind::Assistant, 0) });
        let answer =
            Message::erased(&Envelope { answers: names(), ..Envelope::new(Kind::ToolResult, 0) });
        assert_eq!((caller.calls(), answer.answers()), (names(), names()));
        assert_eq!((caller.parts.len(), answer.parts.len()), (3, 2));
    }
}
