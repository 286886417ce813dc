//! The envelope: what the engine understands of an entry, and the rules it keeps by itself. It knows no body and
//! no other entry.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::id::Id;
use crate::limits;

/// What an entry is. Codes are part of the identity and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// Instructions in a named slot; the newest per slot on a path is active.
    SystemPrompt,
    /// The user's words: starts a turn.
    User,
    /// The model's answer, with the tool calls it makes.
    Assistant,
    /// What a tool returned, naming the calls it answers.
    ToolResult,
    /// Takes the place of all proper ancestors of its target, the first kept entry.
    Compaction,
    /// What happened on a branch that was left.
    BranchSummary,
    /// In the context, from neither party.
    Note,
    /// Keeps its target verbatim in the context from the next compaction on.
    Pin,
    /// Ends a pin.
    Unpin,
    /// Never in the context: labels, settings, foreign lines that carry no message.
    Record,
    /// Stands for an entry of which `recover` found nothing but the id. Never appended otherwise, never
    /// in the context; the calls open before it count as interrupted.
    Lost,
    /// A kind of a newer version: kept and shown, never in the context.
    Unknown(u16),
}

/// The one table of kinds: code, name.
const KINDS: [(Kind, u16, &str); 11] = [
    (Kind::Lost, 0, "lost"),
    (Kind::SystemPrompt, 1, "system-prompt"),
    (Kind::User, 2, "user"),
    (Kind::Assistant, 3, "assistant"),
    (Kind::ToolResult, 4, "tool-result"),
    (Kind::Compaction, 5, "compaction"),
    (Kind::BranchSummary, 6, "branch-summary"),
    (Kind::Note, 7, "note"),
    (Kind::Pin, 8, "pin"),
    (Kind::Unpin, 9, "unpin"),
    (Kind::Record, 10, "record"),
];

impl Kind {
    /// The code in the identity encoding.
    pub fn code(self) -> u16 {
        match self {
            Self::Unknown(code) => code,
            known => KINDS.iter().find(|row| row.0 == known).map_or(0, |row| row.1),
        }
    }

    /// The kind of a code; codes of newer versions are [`Kind::Unknown`].
    pub fn from_code(code: u16) -> Self {
        KINDS.iter().find(|row| row.1 == code).map_or(Self::Unknown(code), |row| row.0)
    }

    /// Its name, as the command line and `--json` write it.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|row| row.0 == self).map_or("unknown", |row| row.2)
    }

    /// The kind of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        KINDS.iter().find(|row| row.2 == name).map(|row| row.0)
    }

    /// Whether an entry of this kind stands in a context as a message of its own. Compactions do
    /// not: the newest one shows as the summary, older ones not at all.
    pub fn has_place_in_context(self) -> bool {
        matches!(
            self,
            Self::SystemPrompt
                | Self::User
                | Self::Assistant
                | Self::ToolResult
                | Self::BranchSummary
                | Self::Note
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(self.name())
        } else {
            serializer.serialize_u16(self.code())
        }
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            Self::from_name(&name)
                .ok_or_else(|| serde::de::Error::custom(format!("unknown kind {name:?}")))
        } else {
            u16::deserialize(deserializer).map(Self::from_code)
        }
    }
}

/// What the engine itself understands of an entry. All of it is part of the identity.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What the entry is.
    pub kind: Kind,
    /// The entry it follows; `None` for a root.
    pub parent: Option<Id>,
    /// The caller's time, milliseconds since 1970 UTC. Order never comes from it.
    pub at_ms: i64,
    /// The caller's own id, unique in its tree.
    pub alias: Option<String>,
    /// Ids of the tool calls this entry makes, in order.
    pub calls: Vec<String>,
    /// Ids of the tool calls this entry answers, in order.
    pub answers: Vec<String>,
    /// Slot of a system prompt.
    pub slot: Option<String>,
    /// The entry this one is about: the first kept entry of a compaction (`None`: nothing is
    /// kept), the entry a pin, unpin or label names, the head a branch summary speaks of.
    pub target: Option<Id>,
    /// What a compaction masks of what it keeps.
    pub masks: Vec<Mask>,
}

/// That an entry which a compaction keeps shows from then on without what its tools were given or
/// printed at length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mask {
    /// A tool result, or an assistant entry that makes calls.
    pub entry: Id,
    /// By how much less of the context it takes, in tokens.
    pub saved_tokens: u32,
}

impl Envelope {
    /// An envelope of `kind` with everything else empty.
    pub fn new(kind: Kind, at_ms: i64) -> Self {
        Self {
            kind,
            parent: None,
            at_ms,
            alias: None,
            calls: Vec::new(),
            answers: Vec::new(),
            slot: None,
            target: None,
            masks: Vec::new(),
        }
    }

    /// Whether `other` says the same at another time: what an alias promises.
    pub(crate) fn same_but_for_time(&self, other: &Self) -> bool {
        let mut other = other.clone();
        other.at_ms = self.at_ms;
        *self == other
    }

    /// Limits and the rules that need no other entry.
    pub(crate) fn check(&self) -> Result<()> {
        if self.kind == Kind::Lost {
            return Err(Error::invalid("kind", "only `recover` makes entries that are lost"));
        }
        limits::within("tool calls in one entry", limits::CALLS_PER_ENTRY, self.calls.len())?;
        limits::within("tool answers in one entry", limits::CALLS_PER_ENTRY, self.answers.len())?;
        limits::within("masks in one entry", limits::MASKS_PER_ENTRY, self.masks.len())?;
        let names = self.calls.iter().chain(&self.answers).map(|call| ("tool call id", call));
        let names = names
            .chain(self.alias.iter().map(|alias| ("alias", alias)))
            .chain(self.slot.iter().map(|slot| ("slot", slot)));
        for (what, name) in names {
            limits::check_name(what, name)?;
        }
        let rule = match self.kind {
            Kind::SystemPrompt if self.slot.is_none() => "a system prompt needs a slot",
            kind if self.slot.is_some() && kind != Kind::SystemPrompt => {
                "only a system prompt has a slot"
            }
            kind if !self.calls.is_empty() && kind != Kind::Assistant => {
                "only an assistant entry makes tool calls"
            }
            kind if !self.answers.is_empty() && kind != Kind::ToolResult => {
                "only a tool result answers tool calls"
            }
            Kind::Pin | Kind::Unpin if self.target.is_none() => "a pin needs a target",
            kind if !self.masks.is_empty() && kind != Kind::Compaction => {
                "only a compaction masks entries"
            }
            _ => return Ok(()),
        };
        Err(Error::invalid("entry", rule))
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("kind", &self.kind)
            .field("parent", &self.parent)
            .field("at_ms", &self.at_ms)
            .field("calls", &self.calls.len())
            .field("answers", &self.answers.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> Id {
        Id::from_bytes([byte; 32])
    }

    #[test]
    fn every_kind_has_a_code_and_a_name_of_its_own() {
        for (kind, code, name) in KINDS {
            assert_eq!((kind.code(), kind.name()), (code, name));
            assert_eq!((Kind::from_code(code), Kind::from_name(name)), (kind, Some(kind)));
            assert_eq!(format!("{kind:<16}|"), format!("{name:<16}|"));
            let json = serde_json::to_string(&kind).unwrap();
            assert_eq!(json, format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<Kind>(&json).unwrap(), kind);
        }
        assert_eq!(Kind::from_code(999), Kind::Unknown(999));
        assert_eq!((Kind::Unknown(999).code(), Kind::Unknown(999).name()), (999, "unknown"));
        assert_eq!(Kind::from_name("unknown"), None);
    }

    #[test]
    fn an_alias_allows_another_time_and_nothing_else() {
        let one = Envelope { alias: Some("a".to_owned()), ..Envelope::new(Kind::User, 1) };
        assert!(one.same_but_for_time(&Envelope { at_ms: 2, ..one.clone() }));
        assert!(!one.same_but_for_time(&Envelope { kind: Kind::Note, ..one.clone() }));
        assert!(!one.same_but_for_time(&Envelope { parent: Some(id(1)), ..one.clone() }));
    }

    #[test]
    fn what_needs_no_other_entry_is_checked_alone() {
        let plain = |kind| Envelope::new(kind, 0);
        let names = || vec!["x".to_owned()];
        let slot = || Some("x".to_owned());
        let target = Some(id(1));
        let masks = || vec![Mask { entry: id(1), saved_tokens: 1 }];
        for right in [
            Envelope { slot: slot(), ..plain(Kind::SystemPrompt) },
            Envelope { calls: names(), ..plain(Kind::Assistant) },
            Envelope { answers: names(), ..plain(Kind::ToolResult) },
            Envelope { target, ..plain(Kind::Pin) },
            Envelope { target, ..plain(Kind::Unpin) },
            Envelope { masks: masks(), ..plain(Kind::Compaction) },
            plain(Kind::User),
        ] {
            right.check().unwrap();
        }
        for (wrong, why) in [
            (plain(Kind::Lost), "recover"),
            (plain(Kind::SystemPrompt), "needs a slot"),
            (Envelope { slot: slot(), ..plain(Kind::User) }, "has a slot"),
            (Envelope { calls: names(), ..plain(Kind::User) }, "makes tool calls"),
            (Envelope { answers: names(), ..plain(Kind::Assistant) }, "answers tool calls"),
            (plain(Kind::Pin), "needs a target"),
            (plain(Kind::Unpin), "needs a target"),
            (Envelope { masks: masks(), ..plain(Kind::Note) }, "masks entries"),
        ] {
            let error = wrong.check().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
