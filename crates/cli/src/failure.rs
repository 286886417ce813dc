//! How a command ends badly: the one table from what went wrong to the exit code, and how it is
//! told. Knows every error type of the engine; decides nothing.

use std::error::Error;
use std::io;

use serde_json::json;
use treering_provider::ErrorKind as ProviderErrorKind;
use treering_tree::ErrorKind;

use crate::output::text::{self, escape};

/// Result of every verb.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// What kind of bad end it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// The reader of standard output went away: no failure, nothing to tell.
    Closed,
    /// A check found something, or anything else.
    Failed,
    Usage,
    Invalid,
    NotFound,
    Conflict,
    Locked,
    Corrupt,
    Format,
    Storage,
    /// The provider may answer later.
    Transient,
    /// The provider will not.
    Refused,
    Overflow,
    BadReply,
    Cancelled,
}

/// The one table: group, exit code, name in `--json`.
const GROUPS: [(Group, u8, &str); 15] = [
    (Group::Closed, 0, "closed"),
    (Group::Failed, 1, "failed"),
    (Group::Usage, 2, "usage"),
    (Group::Invalid, 2, "invalid"),
    (Group::NotFound, 3, "not-found"),
    (Group::Conflict, 4, "conflict"),
    (Group::Locked, 5, "locked"),
    (Group::Corrupt, 6, "corrupt"),
    (Group::Format, 7, "format"),
    (Group::Storage, 8, "storage"),
    (Group::Transient, 9, "transient"),
    (Group::Refused, 9, "refused"),
    (Group::Overflow, 9, "overflow"),
    (Group::BadReply, 9, "bad-reply"),
    (Group::Cancelled, 9, "cancelled"),
];

impl From<ErrorKind> for Group {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::Invalid => Self::Invalid,
            ErrorKind::Conflict => Self::Conflict,
            ErrorKind::Locked => Self::Locked,
            ErrorKind::Corrupt => Self::Corrupt,
            ErrorKind::Format => Self::Format,
            ErrorKind::Storage => Self::Storage,
            _ => Self::Failed,
        }
    }
}

impl From<ProviderErrorKind> for Group {
    fn from(kind: ProviderErrorKind) -> Self {
        match kind {
            ProviderErrorKind::Transient => Self::Transient,
            ProviderErrorKind::Refused => Self::Refused,
            ProviderErrorKind::Overflow => Self::Overflow,
            ProviderErrorKind::BadReply => Self::BadReply,
            ProviderErrorKind::Cancelled => Self::Cancelled,
            ProviderErrorKind::Invalid => Self::Invalid,
            _ => Self::Failed,
        }
    }
}

/// Why a command failed, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    group: Group,
    message: String,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(group: Group, message: impl Into<String>) -> Self {
        Self { group, message: message.into(), hint: None }
    }

    fn closed() -> Self {
        Self::new(Group::Closed, "")
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// What the parser refuses.
    pub(crate) fn usage(error: &clap::Error) -> Self {
        let text = error.to_string();
        let first = text.split("\n\n").next().unwrap_or_default();
        let message = first.strip_prefix("error: ").unwrap_or(first);
        Self::new(Group::Usage, message).hint("`treering help` lists verbs and flags")
    }

    fn row(&self) -> (u8, &'static str) {
        let row = GROUPS.iter().find(|row| row.0 == self.group);
        row.map_or((1, "failed"), |row| (row.1, row.2))
    }

    pub(crate) fn exit_code(&self) -> u8 {
        self.row().0
    }

    /// What standard error gets; `None` where nobody listens any more.
    pub(crate) fn told(&self, as_json: bool) -> Option<String> {
        if self.group == Group::Closed {
            return None;
        }
        if as_json {
            let (_, kind) = self.row();
            let error = json!({ "kind": kind, "message": self.message, "hint": self.hint });
            return text::json(&json!({ "error": error })).ok();
        }
        let hint = self.hint.iter().map(|hint| format!("\nhint: {}", escape(hint)));
        Some(format!("error: {}{}", escape(&self.message), hint.collect::<String>()))
    }
}

impl From<&treering_tree::Error> for Failure {
    fn from(error: &treering_tree::Error) -> Self {
        use treering_tree::Error;
        let hint = match error {
            Error::NotFound { what: "session", .. } => "`treering sessions` lists what is there",
            Error::NotFound { what: "branch", .. } => "`treering branches SESSION` lists them",
            Error::NotFound { what: "entry", .. } => {
                "an id or a unique prefix of it will do; `treering log SESSION` lists them"
            }
            Error::Exists { .. } => "choose another name",
            Error::Format { .. } => "use a version of treering that reads this store",
            Error::Storage { .. } => {
                "look at the disk and its permissions, then run the same command again"
            }
            _ => "",
        };
        let failure = Self::new(error.kind().into(), with_causes(error));
        if hint.is_empty() { failure } else { failure.hint(hint) }
    }
}

impl From<treering_tree::Error> for Failure {
    fn from(error: treering_tree::Error) -> Self {
        Self::from(&error)
    }
}

impl From<treering_compactor::Error> for Failure {
    fn from(error: treering_compactor::Error) -> Self {
        use treering_compactor::Error;
        match &error {
            Error::Tree(cause) => Self::from(&**cause),
            Error::Summarizer { source, .. } => {
                Self::new(source.kind().into(), with_causes(&error)).hint("nothing was written")
            }
            // What they say is all there is to say.
            _ => Self::new(Group::Cancelled, with_causes(&error)),
        }
    }
}

impl From<treering_provider::Error> for Failure {
    fn from(error: treering_provider::Error) -> Self {
        Self::new(error.kind().into(), with_causes(&error))
    }
}

impl From<treering_interchange::Error> for Failure {
    fn from(error: treering_interchange::Error) -> Self {
        use treering_interchange::Error;
        match &error {
            Error::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => {
                Self::closed()
            }
            _ => Self::new(error.kind().into(), with_causes(&error)),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::closed(),
            io::ErrorKind::NotFound => Self::new(Group::NotFound, with_causes(&error)),
            _ => Self::new(Group::Storage, with_causes(&error)),
        }
    }
}

/// The error and the causes that its own text does not give already.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let detail = error.to_string();
        if !text.contains(&detail) {
            text = format!("{text}: {detail}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_exit_code() {
        let codes = [
            (ErrorKind::NotFound, 3),
            (ErrorKind::Invalid, 2),
            (ErrorKind::Conflict, 4),
            (ErrorKind::Locked, 5),
            (ErrorKind::Corrupt, 6),
            (ErrorKind::Format, 7),
            (ErrorKind::Storage, 8),
        ];
        for (kind, code) in codes {
            assert_eq!(Failure::new(kind.into(), "").row().0, code, "{kind:?}");
        }
    }

    #[test]
    fn every_kind_of_a_provider_has_the_providers_exit_code_and_its_name() {
        use ProviderErrorKind::{BadReply, Cancelled, Invalid, Overflow, Refused, Transient};
        let kinds = [Transient, Refused, Overflow, BadReply, Cancelled, Invalid];
        let rows = kinds.map(|kind| Failure::new(kind.into(), "").row());
        let names = ["transient", "refused", "overflow", "bad-reply", "cancelled"];
        assert_eq!(rows[..5], names.map(|name| (9, name)));
        assert_eq!(rows[5], (2, "invalid"));
    }

    #[test]
    fn a_closed_pipe_ends_quietly_and_well() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.row().0, failure.told(false)), (0, None));
    }

    #[test]
    fn an_error_is_one_json_object_with_kind_message_and_hint() {
        let missing = treering_tree::Error::NotFound { what: "session", name: "a\u{1b}".into() };
        let failure = Failure::from(missing);
        let told = failure.told(true).unwrap();
        let turned = Failure::new(Group::NotFound, "a\u{202e}\u{9b}b").told(true).unwrap();
        assert!(turned.contains(r"a\u202e\u009bb"), "{turned}");
        let value: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(value["error"]["kind"], "not-found");
        assert_eq!(value["error"]["hint"], "`treering sessions` lists what is there");
        assert!(!failure.told(false).unwrap().contains('\u{1b}'));
    }

    #[test]
    fn causes_are_told_once() {
        let cause = io::Error::other("disk on fire");
        let error = treering_tree::Error::Storage {
            detail: "commit".into(),
            source: Some(Box::new(cause)),
        };
        assert_eq!(with_causes(&error), "storage: commit: disk on fire");
    }
}
