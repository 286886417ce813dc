//! Replies that repeat what was sent in what they say is wrong, in every way that servers do.

use serde_json::{Value, json};
use treering_tree::Part;

use crate::fake::Reply;
use crate::heard::CANARY;

/// What servers say beside what they repeat.
pub(crate) const REASON: &str = "is wrong for max_tokens";

/// What a server makes of the body of a request.
type Form = fn(&str) -> String;

/// How much of what was sent stands in an error, on both sides of the canary.
const AROUND_BYTES: usize = 60;

/// A part of each kind, with this in every field.
pub(crate) fn parts(text: impl Fn() -> String) -> Vec<Part> {
    vec![
        Part::Text { text: text() },
        Part::Reasoning { text: text() },
        Part::ToolCall { id: text(), name: text(), arguments: json!({ text(): text() }) },
        Part::ToolResult { call: text(), text: text(), error: true },
        Part::Media { mime: text(), data: text() },
        Part::Other { name: text(), value: json!(text()) },
    ]
}

/// The texts of the body around the canary, as the server understood them.
fn plain(body: &str) -> String {
    let (mut left, mut said) = (vec![serde_json::from_str(body).unwrap()], String::new());
    while let Some(value) = left.pop() {
        match value {
            Value::String(text) => said.push_str(&text),
            Value::Array(values) => left.extend(values),
            Value::Object(fields) => left.extend(fields.into_iter().map(|(_, value)| value)),
            _ => {}
        }
    }
    around(&said)
}

/// The bytes of the body around the canary.
fn around(text: &str) -> String {
    let at = text.find(CANARY).unwrap();
    text.get(at.saturating_sub(AROUND_BYTES)..at + CANARY.len() + AROUND_BYTES).unwrap().to_owned()
}

fn in_json(body: &str) -> String {
    json!(around(body)).to_string()
}

fn in_lines(body: &str) -> String {
    plain(body).replace(' ', "\n\t")
}

/// Replies of which each tells what was sent in another way.
pub(crate) fn replies() -> Vec<Reply> {
    const STATUSES: [&str; 8] = ["400", "404", "413", "422", "429", "500", "503", "529"];
    let forms: [Form; 5] = [plain, around, in_json, in_lines, str::to_owned];
    let mut replies = Vec::new();
    for form in forms {
        let words = move |body: &str| format!("{REASON}: '{}'", form(body));
        let spent = "insufficient_quota";
        for status in STATUSES {
            let status = format!("{status} No");
            replies.push(Reply::to(move |body| {
                let error = json!({ "message": words(body), "code": spent });
                Reply::status(&status, "", &json!({ "error": error }))
            }));
        }
        let bodies: [fn(String) -> Value; 3] = [
            |words| json!({ "detail": words }),
            |words| json!({ "error": words }),
            |words| json!([{ "error": { "message": words } }]),
        ];
        for shape in bodies {
            let reply = move |body: &str| Reply::status("400 No", "", &shape(words(body)));
            replies.push(Reply::to(reply));
        }
        replies.push(Reply::to(move |body| {
            Reply::events(&[json!({ "error": { "message": words(body) } })])
        }));
        replies.push(Reply::to(move |body| {
            let finish =
                json!([{ "finishReason": words(body), "finish_reason": "content_filter" }]);
            let refusal = json!({ "stop_reason": "refusal" });
            Reply::events(&[json!({ "candidates": finish, "choices": finish, "delta": refusal })])
        }));
        for status in ["400 No", "500 No"] {
            let page = move |body: &str| format!("<html>{}</html>", words(body));
            replies.push(Reply::to(move |body| Reply::bytes(status, "", page(body).as_bytes())));
        }
        replies.push(Reply::to(move |body| Reply::text(&format!("data: {}\n\n", words(body)))));
        replies.push(Reply::to(move |body| {
            Reply::bytes("200 OK", "", &[b"data: ", words(body).as_bytes(), b"\xff\n\n"].concat())
        }));
        replies.push(Reply::to(move |body| Reply::text(&words(body))));
    }
    replies
}
