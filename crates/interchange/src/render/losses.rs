//! What a target could not hold, counted.

use std::collections::BTreeMap;

use serde::Serialize;

/// One kind of loss, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// What was lost or changed.
    pub kind: LossKind,
    /// How often.
    pub count: u64,
    /// The same for people.
    pub what: &'static str,
}

/// What a target can fail to hold as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LossKind {
    /// Entries that say nothing to a model.
    Record,
    /// Compactions, where the target has no place for them.
    Compaction,
    /// Entries whose bodies were erased.
    Erased,
    /// Messages with nothing in them that the target can hold.
    EmptyMessage,
    /// System prompts moved to the front.
    HoistedPrompt,
    /// System prompts that a newer one of their slot takes the place of.
    SupersededPrompt,
    /// System prompts, where the target has no place for them.
    SystemPrompt,
    /// The model's reasoning, which providers take back only with their signature.
    Reasoning,
    /// Images and documents.
    Media,
    /// Parts that only their own tool understands.
    Other,
    /// Results that came too late or have no call: they stand as notes.
    LateResult,
    /// Calls closed by a result that says that they were interrupted.
    InterruptedCall,
    /// Calls still open at the end, closed by a result that says so.
    OpenCall,
    /// Results that say nothing, given a text.
    EmptyResult,
    /// Call ids that were not unique or not allowed.
    RenamedCall,
    /// Tool names with characters that are not allowed.
    RenamedTool,
    /// Arguments that were no object, put into one.
    WrappedArguments,
    /// Text behind a call, put before it.
    MovedText,
    /// Blanks at the end of the last answer.
    TrimmedEnd,
    /// Neighbours of one role made one message.
    Merged,
    /// A user message put first because the provider demands one.
    LeadingUser,
    /// Whether a tool failed.
    ErrorFlag,
    /// Which model answered.
    Model,
    /// What the provider reported of tokens.
    Usage,
    /// Why the model stopped.
    Stop,
    /// Times.
    Time,
    /// Ids and aliases of entries.
    EntryId,
}

impl LossKind {
    /// What was lost, for people.
    pub fn what(self) -> &'static str {
        match self {
            Self::Record => "entries that say nothing to a model left out",
            Self::Compaction => "compactions not kept as such",
            Self::Erased => "entries whose bodies were erased left out",
            Self::EmptyMessage => "messages without content left out",
            Self::HoistedPrompt => "system prompts moved to the front",
            Self::SupersededPrompt => "system prompts superseded by a newer one left out",
            Self::SystemPrompt => "system prompts left out",
            Self::Reasoning => "pieces of reasoning left out",
            Self::Media => "images or documents left out",
            Self::Other => "parts of unknown kinds left out",
            Self::LateResult => "results without an open call made notes",
            Self::InterruptedCall => "interrupted calls given a result that says so",
            Self::OpenCall => "open calls given a result that says so",
            Self::EmptyResult => "empty results given a text",
            Self::RenamedCall => "call ids changed",
            Self::RenamedTool => "tool names changed",
            Self::WrappedArguments => "arguments put into an object",
            Self::MovedText => "texts moved before the calls of their message",
            Self::TrimmedEnd => "ends of answers trimmed",
            Self::Merged => "messages merged with their neighbour",
            Self::LeadingUser => "user messages put first",
            Self::ErrorFlag => "failure flags of results left out",
            Self::Model => "names of models left out",
            Self::Usage => "token reports left out",
            Self::Stop => "stop reasons left out",
            Self::Time => "times left out",
            Self::EntryId => "entry ids left out",
        }
    }
}

/// Counts losses.
#[derive(Debug, Default)]
pub(super) struct Losses(BTreeMap<LossKind, u64>);

impl Losses {
    pub(super) fn add(&mut self, kind: LossKind) {
        *self.0.entry(kind).or_default() += 1;
    }

    pub(super) fn add_if(&mut self, lost: bool, kind: LossKind) {
        if lost {
            self.add(kind);
        }
    }

    pub(super) fn list(self) -> Vec<Loss> {
        self.0.into_iter().map(|(kind, count)| Loss { kind, count, what: kind.what() }).collect()
    }
}
