//! SWE-agent trajectories (`.traj`): one document; its `history` is the conversation, everything
//! else (`trajectory`, `info`, settings) is kept beside it.

use treering_tree::{Kind, Message};

use super::shared::{Prompts, chat};
use super::{Current, Format, Found, Head, Meaning, Reader};
use crate::frame::Frame;
use crate::json::{self, Fields};

/// The format.
pub(crate) struct SweAgent;

impl Format for SweAgent {
    fn name(&self) -> &'static str {
        "swe-agent"
    }

    fn recognize(&self, head: &Head<'_>) -> Option<Found> {
        let document = head.document.as_ref()?;
        let is_named = head.path.extension().is_some_and(|extension| extension == "traj");
        let is_whole = document["history"].is_array() && document["trajectory"].is_array();
        (is_whole || (is_named && document["trajectory"].is_array())).then(|| Found::main(None))
    }

    fn frame(&self, _head: &Head<'_>) -> Frame {
        Frame::Document(&["history"])
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(History::default())
    }

    fn message(&self, _kind: Kind, text: &str) -> Option<Message> {
        chat::message(&json::object(text)?).map(|(_, message)| message)
    }

    fn current(&self) -> Current {
        Current::LastRecord
    }
}

#[derive(Default)]
struct History {
    prompts: Prompts,
}

impl Reader for History {
    fn read(&mut self, text: &str) -> Option<Meaning> {
        let value = json::object(text)?;
        let (kind, message) = chat::message(&value)?;
        // Demonstrations are said to the model, but not by this run.
        let kind = if value.flag("is_demo") { Kind::Note } else { self.prompts.kind(kind) };
        Some(Meaning::next("swe-agent/1", kind, Some(message)))
    }
}
