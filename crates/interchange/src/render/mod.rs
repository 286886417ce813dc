//! Renders a context or a path for somebody else: provider arrays, other tools' session files,
//! documents. What the target cannot hold is counted by name, never dropped in silence. It never
//! opens a store and never writes a file.
//!
//! ```text
//!   context or path --> transcript --steps--> calls with their results --one file per target--> bytes
//! ```

mod anthropic;
mod atif;
mod chat;
mod claude_code;
mod html;
mod losses;
mod markdown;
mod media;
mod pi;
mod responses;
mod steps;
mod transcript;

use serde::Serialize;

use self::losses::Losses;
pub use self::losses::{Loss, LossKind};
use self::steps::{Holds, steps};
pub use self::transcript::Transcript;

/// What a transcript can be rendered as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Target {
    /// An array of `OpenAI` Chat Completions messages.
    OpenaiChat,
    /// An array of `OpenAI` Responses items.
    OpenaiResponses,
    /// `system` and `messages` of the Anthropic Messages API.
    Anthropic,
    /// A pi session of version 3.
    Pi,
    /// A Claude Code session.
    ClaudeCode,
    /// An ATIF v1.7 trajectory.
    Atif,
    /// Markdown.
    Markdown,
    /// One HTML page without scripts, pictures or links.
    Html,
}

/// The one table of targets: target, name, file name extension.
const TARGETS: [(Target, &str, &str); 8] = [
    (Target::OpenaiChat, "openai-chat", "json"),
    (Target::OpenaiResponses, "openai-responses", "json"),
    (Target::Anthropic, "anthropic", "json"),
    (Target::Pi, "pi", "jsonl"),
    (Target::ClaudeCode, "claude-code", "jsonl"),
    (Target::Atif, "atif", "json"),
    (Target::Markdown, "markdown", "md"),
    (Target::Html, "html", "html"),
];

impl Target {
    /// The target of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        TARGETS.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// Its name, as the command line takes it.
    pub fn name(self) -> &'static str {
        TARGETS.iter().find(|row| row.0 == self).map_or("", |row| row.1)
    }

    /// What the name of a file of it ends with, without the dot.
    pub fn extension(self) -> &'static str {
        TARGETS.iter().find(|row| row.0 == self).map_or("", |row| row.2)
    }

    /// Every target.
    pub fn all() -> impl Iterator<Item = Self> {
        TARGETS.iter().map(|row| row.0)
    }

    fn holds(self) -> Holds {
        use LossKind::{EntryId, ErrorFlag, Model, Reasoning, Stop, Time, Usage};
        let lacks: &[LossKind] = match self {
            Self::OpenaiChat | Self::OpenaiResponses => {
                &[EntryId, ErrorFlag, Model, Reasoning, Stop, Time, Usage]
            }
            Self::Anthropic => &[EntryId, Model, Reasoning, Stop, Time, Usage],
            Self::Pi => &[EntryId],
            Self::ClaudeCode => &[EntryId, Reasoning],
            Self::Atif => &[ErrorFlag, Stop],
            Self::Markdown | Self::Html => &[EntryId, Stop, Usage],
        };
        Holds {
            lacks,
            compactions: !self.is_provider() && self != Self::Atif,
            any_name: matches!(self, Self::Pi | Self::Atif | Self::Markdown | Self::Html),
            other: matches!(self, Self::Markdown | Self::Html),
        }
    }

    fn is_provider(self) -> bool {
        matches!(self, Self::OpenaiChat | Self::OpenaiResponses | Self::Anthropic)
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// What came of rendering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The file.
    pub bytes: Vec<u8>,
    /// What the target could not hold as it was, by kind; kinds without any are left out.
    pub losses: Vec<Loss>,
}

/// Renders a transcript.
///
/// Every call has its result right behind it: a call that has none is given one that says so, a
/// result without a call stands as a note. Neighbours of one role are merged where the provider wants
/// roles to alternate. An empty transcript gives an empty array or page.
pub fn render(target: Target, transcript: &Transcript) -> Rendered {
    let mut losses = Losses::default();
    let steps = steps(transcript, &target.holds(), &mut losses);
    let session = transcript.session.as_str();
    let bytes = match target {
        Target::OpenaiChat => chat::write(&steps, &mut losses),
        Target::OpenaiResponses => responses::write(&steps, &mut losses),
        Target::Anthropic => anthropic::write(&steps, &mut losses),
        Target::Pi => pi::write(session, &steps, &mut losses),
        Target::ClaudeCode => claude_code::write(session, &steps, &mut losses),
        Target::Atif => atif::write(session, &steps, &mut losses),
        Target::Markdown => markdown::write(session, &steps, &mut losses),
        Target::Html => html::write(session, &steps, &mut losses),
    };
    Rendered { bytes, losses: losses.list() }
}

/// JSON of a value: values made here hold strings, numbers and maps, which cannot fail to encode.
fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// JSON lines of values.
fn to_lines(values: &[serde_json::Value]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in values {
        bytes.extend(to_json(value));
        bytes.push(b'\n');
    }
    bytes
}
