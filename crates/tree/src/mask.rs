//! What a masked entry still says: words, names and short values. What tools were given or printed at
//! length becomes its beginning, its end, and between them a line that says what was there and which
//! entry still holds it.

use serde_json::Value;

use crate::id::Id;
use crate::message::{Message, Part, Role};

/// Texts up to this many bytes stay whole.
const WHOLE_BYTES: usize = 600;
/// Bytes that stay of the beginning, and of the end, of a longer one.
const EDGE_BYTES: usize = 160;
/// Bytes of a tool and its target that are named.
const WHAT_BYTES: usize = 120;
/// What the name of an argument holds that says what a tool was pointed at; the first that is there.
const TARGETS: [&str; 8] = ["path", "file", "command", "cmd", "url", "pattern", "query", "name"];

impl Message {
    /// What it says once a compaction masks it. `callers` are the messages whose calls it answers: they
    /// name tools and targets. Never longer than it was, and the same for the same input.
    #[must_use]
    pub fn masked(&self, entry: Id, callers: &[Self]) -> Self {
        let masked = |part: &Part| match part {
            Part::ToolResult { call, text, error } => {
                let text = shortened(text, &called(callers, call), entry);
                Part::ToolResult { call: call.clone(), text, error: *error }
            }
            Part::ToolCall { id, name, arguments } => {
                let (id, arguments) = (id.clone(), shorter_arguments(name, arguments, entry));
                Part::ToolCall { id, name: name.clone(), arguments }
            }
            Part::Text { text } if self.role == Role::Tool => {
                Part::Text { text: shortened(text, "tool output", entry) }
            }
            Part::Media { mime, data } if self.role == Role::Tool && data.len() > WHOLE_BYTES => {
                Part::Text { text: stub(data.len(), mime, entry) }
            }
            Part::Other { name, value } if self.role == Role::Tool => {
                let text = value.to_string();
                if text.len() <= WHOLE_BYTES {
                    return part.clone();
                }
                Part::Text { text: shortened(&text, name, entry) }
            }
            other => other.clone(),
        };
        Self { parts: self.parts.iter().map(masked).collect(), ..self.clone() }
    }
}

fn stub(bytes: usize, what: &str, entry: Id) -> String {
    let what = &what[..floor(what, WHAT_BYTES)];
    format!("[{bytes} bytes masked: {what}; entry {}]", entry.short())
}

/// The last place at or before `at` at which a text may be parted.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The edges of a long text, and what was between them.
fn shortened(text: &str, what: &str, entry: Id) -> String {
    if text.len() <= WHOLE_BYTES {
        return text.to_owned();
    }
    let head = floor(text, EDGE_BYTES);
    let tail = floor(text, text.len() - EDGE_BYTES);
    let stub = stub(tail - head, what, entry);
    format!("{}\n{stub}\n{}", &text[..head], &text[tail..])
}

/// Arguments whose long values are shortened one by one, so that short ones (a path, a flag) stay.
fn shorter_arguments(tool: &str, arguments: &Value, entry: Id) -> Value {
    let shorter = |value: &Value, what: &str| match value {
        Value::String(text) => Value::String(shortened(text, what, entry)),
        Value::Object(_) | Value::Array(_) => {
            let text = value.to_string();
            if text.len() <= WHOLE_BYTES {
                return value.clone();
            }
            Value::String(shortened(&text, what, entry))
        }
        short => short.clone(),
    };
    match arguments {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), shorter(value, &format!("{tool} {name}"))))
            .collect(),
        whole => shorter(whole, tool),
    }
}

/// The tool that was called, and what it was pointed at.
fn called(callers: &[Message], call: &str) -> String {
    let mut parts = callers.iter().rev().flat_map(|caller| &caller.parts);
    let found = parts.find_map(|part| match part {
        Part::ToolCall { id, name, arguments } if id == call => Some((name, arguments)),
        _ => None,
    });
    match found {
        Some((name, arguments)) => match target(arguments) {
            Some(target) => format!("{name} {target}"),
            None => name.clone(),
        },
        None => "tool output".to_owned(),
    }
}

/// What arguments point a tool at: the text of the most telling of them.
fn target(arguments: &Value) -> Option<String> {
    let fields = arguments.as_object()?;
    let texts = || fields.iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
    let telling = |known: &&str| texts().find(|(name, _)| name.to_lowercase().contains(known));
    let (_, text) = TARGETS.iter().find_map(telling).or_else(|| texts().next())?;
    Some(text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn id() -> Id {
        Id::from_bytes([0xab; 32])
    }

    fn call(arguments: Value) -> Message {
        let call = Part::ToolCall { id: "c".to_owned(), name: "read".to_owned(), arguments };
        Message::new(Role::Assistant, vec![Part::Text { text: "I look.".to_owned() }, call])
    }

    fn result(text: &str) -> Message {
        let (call, text) = ("c".to_owned(), text.to_owned());
        Message::new(Role::Tool, vec![Part::ToolResult { call, text, error: true }])
    }

    #[test]
    fn a_result_keeps_its_edges_and_says_what_was_between() {
        let caller = call(json!({"limit": 9, "note": "x", "file_path": "src/a.rs\nmore"}));
        let text = format!("begin{}end", "\u{e9}".repeat(1_000));
        let masked = result(&text).masked(id(), &[caller]);
        let Part::ToolResult { call, text: shown, error } = &masked.parts[0] else { panic!() };
        assert_eq!((call.as_str(), *error), ("c", true));
        let stub = "\n[1688 bytes masked: read src/a.rs; entry abababababab]\n";
        assert!(shown.starts_with("begin") && shown.ends_with("end"), "{shown}");
        assert!(shown.contains(stub), "{shown}");
        assert!(shown.len() < 2 * EDGE_BYTES + stub.len() + 4);
        // Without its caller, and where it is short.
        let unknown = result(&text).masked(id(), &[]);
        let Part::ToolResult { text: shown, .. } = &unknown.parts[0] else { panic!() };
        assert!(shown.contains("masked: tool output;"), "{shown}");
        assert_eq!(result("short").masked(id(), &[]), result("short"));
        assert_eq!(masked.masked(id(), &[]), masked, "once is enough");
    }

    #[test]
    fn arguments_lose_their_long_values_alone() {
        let long = "line\n".repeat(500);
        let edits = json!([{"old": long, "new": ""}]);
        let arguments = json!({"path": "a.rs", "content": long, "edits": edits, "all": true});
        let masked = call(arguments).masked(id(), &[]);
        let [Part::Text { text }, Part::ToolCall { id, name, arguments }] = &masked.parts[..]
        else {
            panic!()
        };
        assert_eq!((text.as_str(), id.as_str(), name.as_str()), ("I look.", "c", "read"));
        assert_eq!((&arguments["path"], &arguments["all"]), (&json!("a.rs"), &json!(true)));
        for (name, bytes) in [("content", 2_180), ("edits", 2_701)] {
            let shown = arguments[name].as_str().unwrap();
            assert!(
                shown.contains(&format!("[{bytes} bytes masked: read {name}; entry")),
                "{shown}"
            );
            assert!(shown.len() < WHOLE_BYTES);
        }
        let whole = call(json!(long)).masked(self::id(), &[]);
        let Part::ToolCall { arguments, .. } = &whole.parts[1] else { panic!() };
        assert!(arguments.as_str().unwrap().len() < WHOLE_BYTES);
    }

    #[test]
    fn other_output_of_tools_is_masked_and_what_people_say_is_not() {
        let long = "x".repeat(2_000);
        let media = || Part::Media { mime: "image/png".to_owned(), data: long.clone() };
        let other = || Part::Other { name: "blob".to_owned(), value: json!({"data": long}) };
        let text = || Part::Text { text: long.clone() };
        let tool = Message::new(Role::Tool, vec![media(), other(), text()]);
        for part in tool.masked(id(), &[]).parts {
            let Part::Text { text } = part else { panic!("{part:?}") };
            assert!(text.contains("bytes masked: ") && text.len() < WHOLE_BYTES, "{text}");
        }
        let said = Message::new(Role::Assistant, vec![media(), other(), text()]);
        assert_eq!(said.masked(id(), &[]), said);
    }

    #[test]
    fn what_is_exactly_as_long_as_may_stay_whole_stays() {
        let data = |bytes: usize| {
            let media = Part::Media { mime: "image/png".to_owned(), data: "x".repeat(bytes) };
            let other = Part::Other { name: "b".to_owned(), value: json!("x".repeat(bytes - 2)) };
            let text = Part::Text { text: "x".repeat(bytes) };
            Message::new(Role::Tool, vec![media, other, text])
        };
        assert_eq!(data(WHOLE_BYTES).masked(id(), &[]), data(WHOLE_BYTES));
        let (longer, masked) = (data(WHOLE_BYTES + 1), data(WHOLE_BYTES + 1).masked(id(), &[]));
        assert!(longer.parts.iter().zip(&masked.parts).all(|(was, is)| was != is), "{masked:?}");
    }

    #[test]
    fn of_several_calls_the_one_that_is_answered_is_named() {
        let called = |id: &str, name: &str| Part::ToolCall {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: json!({}),
        };
        let caller = Message::new(Role::Assistant, vec![called("b", "write"), called("c", "read")]);
        let masked = result(&"x".repeat(2_000)).masked(id(), &[caller]);
        let Part::ToolResult { text, .. } = &masked.parts[0] else { panic!() };
        assert!(text.contains("masked: read;"), "{text}");
    }
}
