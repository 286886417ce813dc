//! Message arrays as providers take them: `OpenAI` Chat Completions, `OpenAI` Responses items,
//! Anthropic Messages. Either the list alone, or a request, a response or a log that holds one.

use serde_json::Value;
use treering_tree::{Kind, Message, Role};

use super::shared::{Prompts, chat, items};
use super::{Current, Format, Found, Head, Meaning, Reader};
use crate::frame::Frame;
use crate::json::{self, Fields};

/// Chat Completions.
pub(crate) static CHAT: Provider = Provider {
    name: "openai-chat",
    body_format: "openai-chat/1",
    lists: &["", "messages"],
    is_own: |message| message.get("type").is_none() && chat::message(message).is_some(),
    read: chat::message,
};
/// Responses items.
pub(crate) static RESPONSES: Provider = Provider {
    name: "openai-responses",
    body_format: "openai-responses/1",
    lists: &["", "input", "output"],
    is_own: |item| items::message(item).is_some(),
    read: items::message,
};
/// Anthropic Messages.
pub(crate) static ANTHROPIC: Provider = Provider {
    name: "anthropic",
    body_format: "anthropic/1",
    lists: &["", "messages"],
    is_own: |message| is_turn(message) && has_blocks(message),
    read: chat::message,
};

/// One provider's arrays.
pub(crate) struct Provider {
    name: &'static str,
    body_format: &'static str,
    /// Fields that hold the messages; the empty name is the document itself.
    lists: &'static [&'static str],
    /// Whether the first message of a list is in the provider's shape.
    is_own: fn(&Value) -> bool,
    read: fn(&Value) -> Option<(Kind, Message)>,
}

fn is_turn(message: &Value) -> bool {
    matches!(message.text("role"), Some("user" | "assistant"))
}

/// Blocks that only Anthropic has, or a content of blocks without any of the others' fields.
fn has_blocks(message: &Value) -> bool {
    let own = ["text", "image", "document", "tool_use", "tool_result", "thinking"];
    let is_own = |block: &Value| block.text("type").is_some_and(|kind| own.contains(&kind));
    let blocks = message.list("content");
    !blocks.is_empty() && blocks.iter().all(is_own) && message.get("type").is_none()
}

impl Format for Provider {
    fn name(&self) -> &'static str {
        self.name
    }

    fn recognize(&self, head: &Head<'_>) -> Option<Found> {
        let document = head.document.as_ref()?;
        let first = self.lists.iter().find_map(|list| document.list(list).first())?;
        (self.is_own)(first).then(|| Found::main(None))
    }

    fn frame(&self, _head: &Head<'_>) -> Frame {
        Frame::Document(self.lists)
    }

    fn reader(&self) -> Box<dyn Reader> {
        let (body_format, read) = (self.body_format, self.read);
        Box::new(Messages { body_format, read, prompts: Prompts::default() })
    }

    fn message(&self, kind: Kind, text: &str) -> Option<Message> {
        let (_, mut message) = (self.read)(&json::object(text)?)?;
        if kind == Kind::Record {
            message.role = Role::System;
        }
        Some(message)
    }

    fn current(&self) -> Current {
        Current::LastRecord
    }
}

struct Messages {
    body_format: &'static str,
    read: fn(&Value) -> Option<(Kind, Message)>,
    prompts: Prompts,
}

impl Reader for Messages {
    fn read(&mut self, text: &str) -> Option<Meaning> {
        let value = json::object(text)?;
        let (kind, message) = (self.read)(&value)?;
        let kind = self.prompts.kind(kind);
        Some(Meaning::next(self.body_format, kind, Some(message)))
    }
}
