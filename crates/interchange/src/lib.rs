//! Foreign session formats.

mod error;
mod json;
mod limits;
mod lines;
mod report;
mod split;
mod time;

pub use error::{Error, Result};
pub use report::{Progress, Repair, RepairKind, SessionReport};
