//! What a dialect has to know.

use serde_json::Value;

use super::answer::Answer;
use super::settings::Base;
use super::window::{Count, Probe};

/// What a model is asked.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) model: &'a str,
    pub(super) system: &'a str,
    pub(super) text: &'a str,
    pub(super) answer_tokens: u32,
}

/// A request's address and body.
pub(super) struct Request {
    pub(super) url: String,
    pub(super) body: Value,
}

/// One provider's way of being asked. Reads leniently: what is missing or unknown is skipped.
pub(super) trait Dialect: Send + Sync {
    fn name(&self) -> &'static str;

    /// The version that stands in its addresses.
    fn version(&self) -> &'static str {
        "v1"
    }

    /// The header a key is sent in, and what stands before it there.
    fn key_header(&self) -> (&'static str, &'static str);

    /// Headers of every request.
    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn ask(&self, base: &Base, ask: Ask<'_>) -> Request;

    /// Takes what one event of the stream says into the answer.
    fn read(&self, event: &Value, answer: &mut Answer);

    /// Where the model's window may be asked for, the surest first.
    fn windows(&self, base: &Base, model: &str) -> Vec<Probe>;

    /// Where a text may be counted.
    fn count(&self, base: &Base, model: &str, text: &str) -> Count;
}

/// A value in nested objects and arrays, by a JSON pointer.
pub(super) fn number(value: &Value, pointer: &str) -> Option<u64> {
    value.pointer(pointer).and_then(Value::as_u64)
}

/// The same for a text.
pub(super) fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer).and_then(Value::as_str)
}
