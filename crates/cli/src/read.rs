//! What entries say, in words: `treering-interchange` reads the bodies, and this file says what an
//! interrupted or late entry shows as. One without its body shows what its envelope still tells.

use serde_json::Value;
use treering_tree::context::{Form, Item};
use treering_tree::{Kind, Message, Part, Role, Stored, Summary};

pub(crate) use treering_interchange::plain_text;

const LOST: &str = "[lost]";
const INTERRUPTED: &str = "[interrupted]";

/// An entry as a message.
pub(crate) fn message(stored: &Stored) -> Message {
    match stored.entry.body() {
        Some(body) => treering_interchange::message(stored.place.kind, body),
        None if stored.place.kind == Kind::Lost => Message::text(Role::System, LOST),
        None => Message::erased(stored.entry.envelope()),
    }
}

/// What an entry says.
pub(crate) fn text(stored: &Stored) -> String {
    plain_text(&message(stored))
}

/// What an item of a context says.
pub(crate) fn item(item: &Item) -> Message {
    match &item.form {
        Form::Verbatim => message(&item.stored),
        Form::Masked { .. } => treering_interchange::masked(item),
        Form::Interrupted { call } => {
            let (call, text) = (call.clone(), INTERRUPTED.to_owned());
            Message::new(Role::Tool, vec![Part::ToolResult { call, text, error: true }])
        }
        Form::LateResult => {
            let calls = item.stored.entry.envelope().answers.join(", ");
            let text = format!("[late result of {calls}]\n{}", text(&item.stored));
            Message::text(Role::User, text)
        }
    }
}

/// Size of an item of a context, as it is carried along the path: what closes an interrupted call is
/// not.
pub(crate) fn item_tokens(item: &Item) -> u32 {
    match item.form {
        Form::Interrupted { .. } => 0,
        Form::Masked { saved_tokens } => item.stored.place.tokens.saturating_sub(saved_tokens),
        Form::Verbatim | Form::LateResult => item.stored.place.tokens,
    }
}

/// What made a summary: summarizer, model, attempts, usage.
pub(crate) fn made_by(stored: &Stored) -> Option<Value> {
    Summary::from_body(stored.entry.body()?).ok()?.made_by
}
