//! What is to be rendered: the messages of a context or of a path, in order.

use std::collections::HashMap;
use std::fmt;

use treering_tree::context::{Form, Source};
use treering_tree::{Context, Id, Kind, Message, Part, Role, Stored};

use crate::message::{masked, message, plain_text};

/// The messages of a context or a path.
#[derive(Clone)]
pub struct Transcript {
    pub(super) session: String,
    pub(super) lines: Vec<Line>,
}

/// How much there is, not what it says.
impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transcript({}, {} lines)", self.session, self.lines.len())
    }
}

/// One entry as it shows.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) id: Id,
    pub(super) kind: Kind,
    pub(super) at_ms: i64,
    pub(super) slot: Option<String>,
    /// Number of the line, from 0.
    pub(super) number: usize,
    /// The number of the line that a compaction keeps from.
    pub(super) first_kept: Option<usize>,
    /// Whether it stands in a context behind a compaction, but was said before it.
    pub(super) copied: bool,
    pub(super) shows: Shows,
}

/// What a line shows.
#[derive(Clone)]
pub(super) enum Shows {
    /// Its message.
    Message(Message),
    /// Its message, as a note.
    Note(Message),
    /// That this call was interrupted.
    Interrupted(String),
    /// The summary in place of what a context leaves out.
    Summary(String),
    /// Nothing: its body was erased.
    Erased,
}

impl Transcript {
    /// What a model is given: the context of a head. `session` is what the target calls it.
    pub fn of_context(session: impl Into<String>, context: &Context) -> Self {
        let line = |(number, item): (usize, &treering_tree::context::Item)| {
            let mut line = Line::of(number, &item.stored);
            line.copied = matches!(item.source, Source::Pin | Source::Kept);
            line.shows = match (line.shows, &item.form) {
                (_, Form::Interrupted { call }) => Shows::Interrupted(call.clone()),
                (Shows::Message(_), Form::Masked { .. }) => Shows::Message(masked(item)),
                (Shows::Message(said), Form::LateResult) => Shows::Note(said),
                (Shows::Message(said), _) if item.source == Source::Summary => {
                    Shows::Summary(plain_text(&said))
                }
                (shows, _) => shows,
            };
            line
        };
        let lines = context.items.iter().enumerate().map(line).collect();
        Self { session: session.into(), lines }
    }

    /// Everything on a path, root first, such as [`Replay`](treering_tree::Replay) gives it.
    pub fn of_path(session: impl Into<String>, path: &[Stored]) -> Self {
        let numbers: HashMap<Id, usize> =
            path.iter().enumerate().map(|(number, stored)| (stored.entry.id(), number)).collect();
        let line = |(number, stored): (usize, &Stored)| Line {
            first_kept: stored.entry.envelope().target.and_then(|id| numbers.get(&id).copied()),
            ..Line::of(number, stored)
        };
        Self { session: session.into(), lines: path.iter().enumerate().map(line).collect() }
    }
}

impl Line {
    fn of(number: usize, stored: &Stored) -> Self {
        let envelope = stored.entry.envelope();
        let said = stored.entry.body().map(|body| message(envelope.kind, body));
        Self {
            id: stored.entry.id(),
            kind: envelope.kind,
            at_ms: envelope.at_ms,
            slot: envelope.slot.clone(),
            number,
            first_kept: None,
            copied: false,
            shows: said.map_or(Shows::Erased, Shows::Message),
        }
    }
}

/// A late result as a note that names its calls.
pub(super) fn note_of_result(said: &Message) -> Vec<Part> {
    let note = |part: &Part| match part {
        Part::ToolResult { call, text, error } => {
            let what = if *error { "error" } else { "result" };
            Part::Text { text: format!("[late {what} of tool call {call}]\n{text}") }
        }
        other => other.clone(),
    };
    Message::new(Role::User, said.parts.iter().map(note).collect()).parts
}
