//! How large a message is. Counts are additive: an entry's count does not depend on what stands
//! around it, so a path is the sum of its entries. Counts of two counters are never added.

use serde_json::Value;
use treering_tree::{Message, Part};

/// Tokens of one image: what providers charge for the largest they do not scale down.
pub const IMAGE_TOKENS: u32 = 1_600;
/// Tokens of a document, recording or other medium, where its size tells no more.
pub const MEDIUM_TOKENS: u32 = 3_000;
/// Bytes of a document's base64 that make a token: providers read its pages.
const DOCUMENT_BYTES_PER_TOKEN: usize = 16;
/// Strings of this many bytes or more that hold base64 only are media, not text.
const BASE64_BYTES: usize = 1_024;

/// Counts tokens of text.
///
/// # Contract
/// The same text gives the same count for ever under the same [`id`](TokenCounter::id); no input
/// panics or takes more than linear time.
pub trait TokenCounter: Send + Sync {
    /// Name and version: counts are kept with it and compared by it.
    fn id(&self) -> &str;

    /// Tokens of a text. Saturates.
    fn count(&self, text: &str) -> u32;

    /// Tokens a message costs beside its text: role, separators.
    fn per_message(&self) -> u32 {
        4
    }
}

/// Tokens of one message: its parts, and what any message costs. Media have a fixed cost and are
/// never counted as text.
///
/// ```
/// use treering_provider::{ByteClasses, count_message};
/// use treering_tree::{Message, Role};
///
/// let counter = ByteClasses::default();
/// let hello = Message::text(Role::User, "Read the parser, then fix the test.");
/// assert_eq!(count_message(&counter, &hello), 11);
/// ```
pub fn count_message(counter: &dyn TokenCounter, message: &Message) -> u32 {
    let parts = message.parts.iter().map(|part| count_part(counter, part));
    parts.fold(counter.per_message(), u32::saturating_add)
}

fn count_part(counter: &dyn TokenCounter, part: &Part) -> u32 {
    match part {
        Part::Text { text } | Part::Reasoning { text } | Part::ToolResult { text, .. } => {
            counter.count(text)
        }
        Part::ToolCall { name, arguments, .. } => {
            counter.count(name).saturating_add(count_value(counter, arguments))
        }
        Part::Media { mime, data } => medium(mime, data),
        Part::Other { value, .. } => count_value(counter, value),
        // A part of a later version: its JSON is all there is to go by.
        other => serde_json::to_value(other).map_or(0, |value| count_value(counter, &value)),
    }
}

fn medium(mime: &str, data: &str) -> u32 {
    if mime.starts_with("image/") {
        return IMAGE_TOKENS;
    }
    let pages = data.len() / DOCUMENT_BYTES_PER_TOKEN;
    u32::try_from(pages).unwrap_or(u32::MAX).max(MEDIUM_TOKENS)
}

/// JSON as the model sees it, but for base64 inside, which has the fixed cost of a medium.
fn count_value(counter: &dyn TokenCounter, value: &Value) -> u32 {
    if let Value::String(text) = value {
        return count_string(counter, text);
    }
    let mut media = 0_u32;
    let mut pending = vec![value];
    while let Some(value) = pending.pop() {
        match value {
            Value::String(text) if is_base64(text) => media += 1,
            Value::Array(values) => pending.extend(values),
            Value::Object(fields) => pending.extend(fields.values()),
            _ => {}
        }
    }
    if media == 0 {
        return counter.count(&value.to_string());
    }
    // Seldom: count the JSON with the base64 left out.
    let mut stripped = value.clone();
    let mut pending = vec![&mut stripped];
    while let Some(value) = pending.pop() {
        match value {
            Value::String(text) if is_base64(text) => text.clear(),
            Value::Array(values) => pending.extend(values),
            Value::Object(fields) => pending.extend(fields.values_mut()),
            _ => {}
        }
    }
    let text = counter.count(&stripped.to_string());
    text.saturating_add(media.saturating_mul(IMAGE_TOKENS))
}

fn count_string(counter: &dyn TokenCounter, text: &str) -> u32 {
    if is_base64(text) { IMAGE_TOKENS } else { counter.count(text) }
}

fn is_base64(text: &str) -> bool {
    text.len() >= BASE64_BYTES
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_'))
        // A run of one letter is text that somebody printed.
        && text.bytes().any(|byte| byte != text.as_bytes()[0])
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use treering_tree::Role;

    use super::*;
    use crate::ByteClasses;

    #[test]
    fn an_image_costs_the_same_however_it_is_encoded() {
        let counter = ByteClasses::default();
        let part = |part| count_message(&counter, &Message::new(Role::User, vec![part]));
        let data = "iVBORw0KGgo".repeat(20_000);
        let medium = part(Part::Media { mime: "image/png".into(), data: data.clone() });
        let other = part(Part::Other {
            name: "screenshot".into(),
            value: json!({ "source": { "data": data } }),
        });
        assert_eq!(medium, IMAGE_TOKENS + counter.per_message());
        assert!((medium..medium + 20).contains(&other), "{other}");
    }

    #[test]
    fn arguments_count_as_the_json_the_model_wrote() {
        let counter = ByteClasses::default();
        let arguments = json!({ "path": "src/lib.rs", "limit": 20 });
        let call = Part::ToolCall {
            id: "call_1".into(),
            name: "read".into(),
            arguments: arguments.clone(),
        };
        let found = count_message(&counter, &Message::new(Role::Assistant, vec![call]));
        let expected =
            counter.count("read") + counter.count(&arguments.to_string()) + counter.per_message();
        assert_eq!(found, expected);
    }
}
