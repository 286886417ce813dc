//! Token counters and summarizers: how large a context is, and what stands for the part of it that
//! leaves. Never opens a tree; reads no clock and no environment; without features, no network.
//!
//! ```text
//!   Message --- TokenCounter ---> tokens --- Calibrator, anchors ---> size of the next prompt
//!
//!   SummaryJob --- Summarizer ---> Summary { text, ledger, made_by }
//!                    Ledger        a table of facts: no model, at once, the default
//!                    Hybrid        a model's prose above that table; the table alone if it fails
//!                    Folding       chunk by chunk, for heads larger than a model's window
//!                    Limited       in turn, with a deadline
//!                    Fallback      one after another
//!                    Model         one behind HTTP (features openai, anthropic, gemini)
//!                    Scripted      what a test told it to say
//!                    yours
//!
//!   entries --- Recall ---> what was covered, found again by words or id
//! ```
//!
//! A summarizer of your own, for a client you have already:
//!
//! ```
//! use treering_provider::{Error, Flaw, Ledger, Result, Summarizer, SummaryJob, transcript};
//! use treering_tree::Summary;
//! # struct Client;
//! # impl Client {
//! #     async fn ask(&self, _system: &str, _text: &str) -> std::io::Result<String> { Ok("ok".into()) }
//! # }
//!
//! struct Mine(Client);
//!
//! #[async_trait::async_trait]
//! impl Summarizer for Mine {
//!     fn name(&self) -> &str {
//!         "mine"
//!     }
//!
//!     async fn summarize(&self, job: SummaryJob) -> Result<Summary> {
//!         let facts = Ledger::new().of(&job)?;
//!         let reply = self.0.ask("Summarize this transcript.", &transcript(&job.entries, 2_000)).await;
//!         let prose = reply.map_err(|e| Error::Unavailable { detail: e.to_string(), after: None })?;
//!         if prose.trim().is_empty() {
//!             return Err(Error::BadReply(Flaw::Blank));
//!         }
//!         Ok(Summary { text: format!("{prose}\n\n{}", facts.text), ..facts })
//!     }
//! }
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! # let job = SummaryJob { budget_tokens: 500, ..SummaryJob::default() };
//! # assert!(Mine(Client).summarize(job).await.unwrap().text.starts_with("ok\n\n# Ledger of 0 entries"));
//! # }
//! ```

mod byte_classes;
mod calibrate;
mod count;
mod error;
#[cfg(feature = "o200k")]
mod exact;
mod fallback;
mod folding;
#[cfg(any(feature = "openai", feature = "anthropic", feature = "gemini"))]
mod http;
mod hybrid;
mod ledger;
mod limited;
mod made_by;
mod permits;
mod prompt;
mod recall;
mod scripted;
mod summarizer;
mod transcript;

pub use byte_classes::ByteClasses;
pub use calibrate::{Anchor, Calibrations, Calibrator, Size, Step};
pub use count::{IMAGE_TOKENS, MEDIUM_TOKENS, TokenCounter, count_message};
pub use error::{Error, ErrorKind, Flaw, Result};
#[cfg(feature = "o200k")]
pub use exact::Exact;
pub use fallback::Fallback;
pub use folding::Folding;
#[cfg(any(feature = "openai", feature = "anthropic", feature = "gemini"))]
pub use http::{
    Fitted, Key, Limits, Model, Pulse, Retries, Sample, Settings, Window, WindowSource,
};
pub use hybrid::Hybrid;
pub use ledger::Ledger;
pub use limited::Limited;
pub use made_by::{MadeBy, PromptUsed};
pub use permits::{Caller, Gate, Permit, Permits};
pub use prompt::{Prompt, SUMMARIZE};
pub use recall::{Recall, Recalled};
pub use scripted::Scripted;
pub use summarizer::{JobEntry, Summarizer, SummaryJob};
pub use transcript::{PART_BYTES, transcript};
