//! Shapes that several formats borrow from the providers' interfaces. They know nothing of files,
//! sessions or trees.

/// Content blocks.
pub(super) mod blocks;
/// Messages with a role.
pub(super) mod chat;
/// Items of the Responses interface.
pub(super) mod items;

use serde_json::Value;
use treering_tree::{Kind, Message, Part, Role};

use crate::json::Fields;
use crate::message::plain_text;

/// One system prompt is active per slot: of several in a line the first is the prompt, and the
/// others stand where they were said.
#[derive(Default)]
pub(super) struct Prompts {
    seen: bool,
}

impl Prompts {
    pub(super) fn kind(&mut self, kind: Kind) -> Kind {
        let again = kind == Kind::SystemPrompt && std::mem::replace(&mut self.seen, true);
        if again { Kind::Note } else { kind }
    }
}

/// Messages as one text, each behind the name of who said it.
pub(super) fn transcript(messages: impl Iterator<Item = Message>) -> String {
    let told = messages.filter(|message| !message.parts.is_empty()).map(|message| {
        let who = match message.role {
            Role::System => "System",
            Role::User => "User",
            Role::Assistant => "Assistant",
            Role::Tool => "Tool",
        };
        format!("{who}: {}", plain_text(&message))
    });
    told.collect::<Vec<_>>().join("\n\n")
}

/// What the model thought before it said something, under the first of these names.
pub(super) fn thought(value: &Value, keys: &[&str]) -> Vec<Part> {
    let text = first_text(value, keys).map(str::to_owned);
    text.map(|text| Part::Reasoning { text }).into_iter().collect()
}

/// The first of the names that holds a string that is not empty.
pub(super) fn first_text<'v>(value: &'v Value, keys: &[&str]) -> Option<&'v str> {
    keys.iter().filter_map(|key| value.text(key)).find(|text| !text.is_empty())
}
