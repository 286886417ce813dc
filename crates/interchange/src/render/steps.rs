//! Steps: a transcript with every result beside its call, so that what is written from it is valid
//! by construction. A user entry closes the calls that are still open; a result that comes after
//! that, or has no call, is a note.

use std::collections::HashSet;

use serde_json::{Map, Value};
use treering_tree::{Kind, Message, Part};

use super::losses::{LossKind, Losses};
use super::transcript::{Line, Shows, Transcript, note_of_result};
use crate::json;
use crate::message::plain_text;

/// What a target can hold.
pub(super) struct Holds {
    /// Kinds of facts it has no place for.
    pub(super) lacks: &'static [LossKind],
    /// Whether it has compactions of its own.
    pub(super) compactions: bool,
    /// Whether calls and tools may be called anything.
    pub(super) any_name: bool,
    /// Whether parts of unknown kinds can be shown.
    pub(super) other: bool,
}

/// One step.
pub(super) struct Step<'a> {
    pub(super) line: &'a Line,
    pub(super) what: What<'a>,
}

/// What a step is.
pub(super) enum What<'a> {
    /// Instructions.
    System(String),
    /// What user, runtime or engine say to the model: texts that are not blank, media.
    User(Vec<Part>),
    /// An answer.
    Assistant(Answer<'a>),
    /// A compaction of a path, and the number of the line it keeps from.
    Compaction { text: String, first_kept: Option<usize> },
}

/// An answer of the model: parts without its calls, and the calls with their results.
pub(super) struct Answer<'a> {
    pub(super) said: &'a Message,
    pub(super) parts: Vec<Part>,
    pub(super) calls: Vec<Call>,
}

/// A call and its result.
pub(super) struct Call {
    /// As written in the source.
    source_id: String,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: Map<String, Value>,
    pub(super) result: CallResult,
}

/// The result of a call.
#[derive(Default)]
pub(super) struct CallResult {
    pub(super) text: String,
    pub(super) error: bool,
    pub(super) media: Vec<Part>,
    given: bool,
    pub(super) at_ms: Option<i64>,
}

const INTERRUPTED: &str = "[interrupted: no result]";
const STILL_OPEN: &str = "[no result yet]";
pub(super) const NO_OUTPUT: &str = "[no output]";
/// Characters of a call id and of a tool's name that every provider takes.
const ID_CHARS: usize = 40;
const NAME_CHARS: usize = 64;

/// The steps of a transcript.
pub(super) fn steps<'a>(
    transcript: &'a Transcript,
    holds: &Holds,
    losses: &mut Losses,
) -> Vec<Step<'a>> {
    let mut maker =
        Maker { steps: Vec::new(), open: Vec::new(), used: HashSet::new(), holds, losses };
    for line in &transcript.lines {
        maker.take(line);
    }
    maker.close(STILL_OPEN, LossKind::OpenCall);
    let Maker { steps, .. } = maker;
    count_lacking(&steps, holds.lacks, losses);
    steps
}

struct Maker<'a, 'h> {
    steps: Vec<Step<'a>>,
    /// Calls without a result: step, number of the call in it.
    open: Vec<(usize, usize)>,
    used: HashSet<String>,
    holds: &'h Holds,
    losses: &'h mut Losses,
}

impl<'a> Maker<'a, '_> {
    fn take(&mut self, line: &'a Line) {
        match (&line.shows, line.kind) {
            (Shows::Erased, _) => self.losses.add(LossKind::Erased),
            (Shows::Interrupted(call), _) => {
                if let Some(result) = self.result_of(call) {
                    *result = CallResult::made_up(INTERRUPTED);
                    self.losses.add(LossKind::InterruptedCall);
                }
            }
            (Shows::Note(said), _) => {
                self.losses.add(LossKind::LateResult);
                self.user(line, note_of_result(said));
            }
            (Shows::Summary(text), _) => {
                self.interrupt();
                self.losses.add(LossKind::Compaction);
                self.user(line, vec![Part::Text { text: text.clone() }]);
            }
            (Shows::Message(said), Kind::Compaction) if self.holds.compactions => {
                let (text, first_kept) = (plain_text(said), line.first_kept);
                self.steps.push(Step { line, what: What::Compaction { text, first_kept } });
            }
            (Shows::Message(_), Kind::Compaction) => self.losses.add(LossKind::Compaction),
            (Shows::Message(said), Kind::SystemPrompt) => {
                let text = plain_text(said);
                if text.trim().is_empty() {
                    self.losses.add(LossKind::EmptyMessage);
                } else {
                    self.steps.push(Step { line, what: What::System(text) });
                }
            }
            (Shows::Message(said), Kind::User) => {
                self.interrupt();
                self.user(line, note_of_result(said));
            }
            (Shows::Message(said), Kind::Note | Kind::BranchSummary) => {
                self.user(line, note_of_result(said));
            }
            (Shows::Message(said), Kind::Assistant) => self.assistant(line, said),
            (Shows::Message(said), Kind::ToolResult) => self.results(line, said),
            (Shows::Message(_), _) => self.losses.add(LossKind::Record),
        }
    }

    fn user(&mut self, line: &'a Line, parts: Vec<Part>) {
        let parts = self.sayable(parts);
        if parts.is_empty() {
            self.losses.add(LossKind::EmptyMessage);
        } else {
            self.steps.push(Step { line, what: What::User(parts) });
        }
    }

    /// Texts that are not blank, media, and what else the target can show.
    fn sayable(&mut self, parts: Vec<Part>) -> Vec<Part> {
        let mut kept = Vec::new();
        for part in parts {
            match part {
                Part::Text { text } if text.trim().is_empty() => {}
                Part::Text { .. } | Part::Media { .. } => kept.push(part),
                Part::Other { .. } if self.holds.other => kept.push(part),
                Part::Reasoning { text } if text.trim().is_empty() => {}
                Part::Reasoning { .. } if !self.holds.lacks.contains(&LossKind::Reasoning) => {
                    kept.push(part);
                }
                Part::Reasoning { .. } => self.losses.add(LossKind::Reasoning),
                _ => self.losses.add(LossKind::Other),
            }
        }
        kept
    }

    fn assistant(&mut self, line: &'a Line, said: &'a Message) {
        let is_call = |part: &Part| matches!(part, Part::ToolCall { .. });
        let first_call = said.parts.iter().position(is_call).unwrap_or(said.parts.len());
        let moved = said.parts[first_call..].iter().any(|part| !is_call(part));
        self.losses.add_if(moved, LossKind::MovedText);
        let (calls, parts): (Vec<Part>, Vec<Part>) = said.parts.iter().cloned().partition(is_call);
        let parts = self.sayable(parts);
        let calls: Vec<Call> = calls.into_iter().filter_map(|part| self.call(part)).collect();
        if parts.is_empty() && calls.is_empty() {
            self.losses.add(LossKind::EmptyMessage);
            return;
        }
        let step = self.steps.len();
        self.open.extend((0..calls.len()).map(|nth| (step, nth)));
        let answer = Answer { said, parts, calls };
        self.steps.push(Step { line, what: What::Assistant(answer) });
    }

    fn call(&mut self, part: Part) -> Option<Call> {
        let Part::ToolCall { id: source_id, name, arguments } = part else { return None };
        let id = self.fresh_id(&source_id);
        self.losses.add_if(id != source_id, LossKind::RenamedCall);
        let clean = if self.holds.any_name { name.clone() } else { clean_name(&name) };
        self.losses.add_if(clean != name, LossKind::RenamedTool);
        let (arguments, wrapped) = object(arguments);
        self.losses.add_if(wrapped, LossKind::WrappedArguments);
        let result = CallResult::default();
        Some(Call { source_id, id, name: clean, arguments, result })
    }

    /// The id where it is allowed and not taken, else one that is.
    fn fresh_id(&mut self, id: &str) -> String {
        let allowed = !id.is_empty() && (self.holds.any_name || is_plain(id, ID_CHARS));
        if allowed && self.used.insert(id.to_owned()) {
            return id.to_owned();
        }
        let mut number = self.used.len();
        loop {
            number += 1;
            let id = format!("call_{number}");
            if self.used.insert(id.clone()) {
                return id;
            }
        }
    }

    fn results(&mut self, line: &'a Line, said: &'a Message) {
        // The results of one entry take media with them; texts beside them are notes.
        let mut rest = Vec::new();
        let mut answered: Option<(usize, usize)> = None;
        for part in &said.parts {
            match part {
                Part::ToolResult { call, text, error } => {
                    let found = self.take_open(call);
                    answered = found;
                    if let Some(result) = found.and_then(|at| self.result_at(at)) {
                        (result.text, result.error, result.given) = (text.clone(), *error, true);
                        result.at_ms = Some(line.at_ms);
                    } else {
                        self.losses.add(LossKind::LateResult);
                        let note = Message::new(said.role, vec![part.clone()]);
                        rest.extend(note_of_result(&note));
                    }
                }
                Part::Media { .. } if answered.is_some() => {
                    if let Some(result) = answered.and_then(|at| self.result_at(at)) {
                        result.media.push(part.clone());
                    }
                }
                other => rest.push(other.clone()),
            }
        }
        if !rest.is_empty() {
            self.user(line, rest);
        }
    }

    fn take_open(&mut self, call: &str) -> Option<(usize, usize)> {
        let steps = &self.steps;
        let is_it = |&(step, nth): &(usize, usize)| match &steps[step].what {
            What::Assistant(answer) => answer.calls[nth].source_id == call,
            _ => false,
        };
        let at = self.open.iter().rposition(is_it)?;
        Some(self.open.remove(at))
    }

    fn result_at(&mut self, (step, nth): (usize, usize)) -> Option<&mut CallResult> {
        match &mut self.steps.get_mut(step)?.what {
            What::Assistant(answer) => Some(&mut answer.calls.get_mut(nth)?.result),
            _ => None,
        }
    }

    fn result_of(&mut self, call: &str) -> Option<&mut CallResult> {
        let at = self.take_open(call)?;
        self.result_at(at)
    }

    fn interrupt(&mut self) {
        self.close(INTERRUPTED, LossKind::InterruptedCall);
    }

    fn close(&mut self, text: &str, kind: LossKind) {
        for at in std::mem::take(&mut self.open) {
            if let Some(result) = self.result_at(at) {
                *result = CallResult::made_up(text);
                self.losses.add(kind);
            }
        }
    }
}

impl CallResult {
    fn made_up(text: &str) -> Self {
        Self { text: text.to_owned(), error: true, ..Self::default() }
    }

    /// The text, or that there is none.
    pub(super) fn text_or_none(&self, losses: &mut Losses) -> String {
        let empty = self.text.trim().is_empty() && self.media.is_empty();
        losses.add_if(empty, LossKind::EmptyResult);
        if empty { NO_OUTPUT.to_owned() } else { self.text.clone() }
    }
}

/// Arguments as the object that tools are called with, and whether they were none.
fn object(arguments: Value) -> (Map<String, Value>, bool) {
    let parsed = match &arguments {
        Value::String(text) if json::is_bounded(text) => serde_json::from_str(text).ok(),
        _ => None,
    };
    match (parsed, arguments) {
        (Some(Value::Object(map)), _) | (_, Value::Object(map)) => (map, false),
        (_, Value::Null) => (Map::new(), false),
        (_, other) => (Map::from_iter([("value".to_owned(), other)]), true),
    }
}

fn is_plain(text: &str, most: usize) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=most).contains(&text.len()) && text.bytes().all(plain)
}

fn clean_name(name: &str) -> String {
    if is_plain(name, NAME_CHARS) {
        return name.to_owned();
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let clean: String = name.chars().take(NAME_CHARS).map(plain).collect();
    if clean.is_empty() { "unknown".to_owned() } else { clean }
}

fn count_lacking(steps: &[Step<'_>], lacks: &[LossKind], losses: &mut Losses) {
    let mut lose = |present: bool, kind: LossKind| {
        losses.add_if(present && lacks.contains(&kind), kind);
    };
    for step in steps {
        lose(true, LossKind::Time);
        lose(true, LossKind::EntryId);
        let What::Assistant(answer) = &step.what else { continue };
        lose(answer.said.model.is_some(), LossKind::Model);
        lose(answer.said.usage.is_some(), LossKind::Usage);
        lose(answer.said.stop.is_some(), LossKind::Stop);
        for call in &answer.calls {
            lose(call.result.given && call.result.error, LossKind::ErrorFlag);
        }
    }
}
