//! The summarizer that needs no model: a table of facts taken from the entries themselves.
//!
//! What an agent needs of a conversation that left its context is mostly names: files, identifiers,
//! errors, what the user asked for. The ledger keeps those, most needed first within the budget,
//! each line with the entry it comes from. It is data that is merged from generation to generation;
//! the text is rendered from it and never read back. It says nothing that was not said, and the same
//! job gives the same bytes: no clock, no randomness, no order of hashing.

mod atoms;
mod book;
mod gather;
mod lines;
mod page;
mod room;
mod root;
mod tools;

use async_trait::async_trait;
use serde_json::json;
use treering_tree::{Part, Summary};

use crate::error::{Error, Result};
use crate::summarizer::{JobEntry, Summarizer, SummaryJob};

/// Name and version of what the ledger extracts and how it is rendered.
const NAME: &str = "ledger/1";

/// Summarizes by structured extraction: no model, no network, at once.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use treering_provider::{JobEntry, Ledger, Summarizer, SummaryJob};
/// use treering_tree::{Id, Kind, Message, Role};
///
/// let ask = JobEntry {
///     id: Id::from_bytes([7; 32]),
///     kind: Kind::User,
///     turn: 1,
///     tokens: 12,
///     message: Message::text(Role::User, "Make parseLine in src/parser.rs faster"),
/// };
/// let job = SummaryJob { entries: vec![ask], budget_tokens: 500, ..SummaryJob::default() };
/// let summary = Ledger::new().summarize(job).await.unwrap();
/// assert!(summary.text.contains("- Make parseLine in src/parser.rs faster [070707]"));
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Ledger;

impl Ledger {
    /// The smallest budget that holds anything of use, in tokens.
    pub const MIN_BUDGET_TOKENS: u32 = 128;

    /// A ledger.
    pub fn new() -> Self {
        Self
    }

    /// What [`summarize`](Summarizer::summarize) does, without a future.
    ///
    /// # Errors
    /// `Invalid` for a budget under [`MIN_BUDGET_TOKENS`](Self::MIN_BUDGET_TOKENS).
    pub fn of(&self, job: &SummaryJob) -> Result<Summary> {
        Facts::of(job).summary(job)
    }
}

/// What a ledger knows of a job, before it is a text.
pub(crate) struct Facts(book::Book);

impl Facts {
    pub(crate) fn of(job: &SummaryJob) -> Self {
        Self(gather::gather(job))
    }

    /// The earlier summary as far as it was prose.
    pub(crate) fn earlier_prose(&self) -> Option<&str> {
        self.0.prose.as_deref()
    }

    /// The ledger alone.
    pub(crate) fn summary(&self, job: &SummaryJob) -> Result<Summary> {
        let text = self.text(job, job.budget_tokens)?;
        Ok(self.with(text))
    }

    /// The ledger under prose that takes the place of all earlier prose, and that the next
    /// generation carries if it has to do without a model.
    pub(crate) fn under(mut self, prose: &str, job: &SummaryJob, budget: u32) -> Result<Summary> {
        self.0.prose = None;
        let text = format!("{}\n\n{}", prose.trim(), self.text(job, budget)?);
        self.0.carry(prose.trim());
        Ok(self.with(text))
    }

    fn text(&self, job: &SummaryJob, budget: u32) -> Result<String> {
        if budget < Ledger::MIN_BUDGET_TOKENS {
            let least = Ledger::MIN_BUDGET_TOKENS;
            let why = format!("a ledger needs at least {least}, found {budget}");
            return Err(Error::Invalid { what: "budget_tokens", why });
        }
        Ok(page::text(&self.0, &kept_text(&job.kept), budget))
    }

    fn with(&self, text: String) -> Summary {
        let made_by = json!({ "summarizer": NAME, "generation": self.0.generation });
        Summary { text, ledger: Some(self.0.to_value()), made_by: Some(made_by) }
    }
}

#[async_trait]
impl Summarizer for Ledger {
    async fn summarize(&self, job: SummaryJob) -> Result<Summary> {
        self.of(&job)
    }

    fn name(&self) -> &'static str {
        NAME
    }
}

/// Text that stays in the context behind the summary.
fn kept_text(kept: &[JobEntry]) -> String {
    let mut text = String::new();
    for part in kept.iter().flat_map(|entry| &entry.message.parts) {
        match part {
            Part::Text { text: said } | Part::ToolResult { text: said, .. } => text.push_str(said),
            Part::ToolCall { arguments, .. } => text.push_str(&arguments.to_string()),
            _ => {}
        }
        text.push('\n');
    }
    text
}
