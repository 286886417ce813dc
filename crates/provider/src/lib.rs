//! Token counters and summarizers. Never opens a tree, reads no clock and no environment.

mod byte_classes;
mod calibrate;
mod count;
mod error;
mod ledger;
mod scripted;
mod summarizer;

pub use byte_classes::ByteClasses;
pub use calibrate::{Anchor, Calibrations, Calibrator, Size, Step};
pub use count::{IMAGE_TOKENS, MEDIUM_TOKENS, TokenCounter, count_message};
pub use error::{Error, ErrorKind, Flaw, Result};
pub use ledger::Ledger;
pub use scripted::Scripted;
pub use summarizer::{JobEntry, Summarizer, SummaryJob};
