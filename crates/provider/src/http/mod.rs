//! Models behind HTTP: what a summarizer asks them, in three dialects.
//!
//! ```text
//!   Model --- retry, whole-call limit --- call --- first-byte and idle limits ---> server
//!     settings     endpoint, key, limits     failure, overflow    errors by what can be done
//!     window       how large a prompt may be       openai, anthropic, gemini   the dialects
//!     fitted       only what fits that, in turn    pulse, sample    for people who wait or look
//!     secrets      a provider's words without what passed
//! ```
//!
//! Dropping a future closes its connection, and with it the work of a server that notices. Nothing
//! here reads the environment, follows a redirect, or shows a key or a body.

mod answer;
#[cfg(feature = "anthropic")]
mod anthropic;
mod call;
mod dialect;
mod failure;
mod fitted;
#[cfg(feature = "gemini")]
mod gemini;
mod key;
mod model;
#[cfg(feature = "openai")]
mod openai;
mod overflow;
mod pulse;
mod sample;
mod secrets;
mod settings;
mod window;

pub use fitted::Fitted;
pub use key::Key;
pub use model::Model;
pub use pulse::Pulse;
pub use sample::Sample;
pub use settings::{Limits, Retries, Settings};
pub use window::{Window, WindowSource};
