//! A model tried out: whether it answers, how soon, and how large it says a text is.

use std::time::Duration;

use tokio::time::Instant;
use treering_tree::Usage;

use super::dialect::Ask;
use super::model::Model;
use crate::error::Result;

/// An answer to a sample is cut off here: what it says does not matter.
const ANSWER_TOKENS: u32 = 16;

/// How a model took a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The model that answered, in the provider's words.
    pub model: String,
    /// What the provider counted: the text, and what stands around any.
    pub usage: Usage,
    /// Tries it took.
    pub attempts: u32,
    /// Until the first piece of the answer, of the last try.
    pub first_byte: Duration,
    /// In all, waits between tries included.
    pub whole: Duration,
}

impl Model {
    /// Sends a text and reads a short answer, whatever it says.
    ///
    /// # Errors
    /// As a summary's, but an answer of any text will do.
    pub async fn sample(&self, text: &str) -> Result<Sample> {
        let start = Instant::now();
        let ask = Ask {
            model: &self.settings.model,
            system: "Answer in one word.",
            text,
            answer_tokens: ANSWER_TOKENS,
        };
        let (heard, attempts) = self.ask(ask).await?;
        Ok(Sample {
            model: heard.answer.model.unwrap_or_else(|| self.settings.model.clone()),
            usage: heard.answer.usage,
            attempts,
            first_byte: heard.first_byte,
            whole: start.elapsed(),
        })
    }
}
