//! Gemini's `generateContent`.

use serde_json::{Value, json};
use treering_tree::Usage;

use super::answer::{Answer, Stop};
use super::dialect::{Ask, Dialect, Request, number, text};
use super::settings::Base;
use super::window::{Count, Probe, WindowSource};

pub(super) struct Gemini;

impl Dialect for Gemini {
    fn name(&self) -> &'static str {
        "gemini"
    }

    fn version(&self) -> &'static str {
        "v1beta"
    }

    fn key_header(&self) -> (&'static str, &'static str) {
        ("x-goog-api-key", "")
    }

    fn ask(&self, base: &Base, ask: Ask<'_>) -> Request {
        let body = json!({
            "systemInstruction": { "parts": [{ "text": ask.system }] },
            "contents": [{ "role": "user", "parts": [{ "text": ask.text }] }],
            "generationConfig": { "maxOutputTokens": ask.answer_tokens },
        });
        let url = format!("{}:streamGenerateContent?alt=sse", address(base, ask.model));
        Request { url, body }
    }

    fn read(&self, event: &Value, answer: &mut Answer) {
        if let Some(model) = text(event, "/modelVersion") {
            answer.model = Some(model.to_owned());
        }
        let parts = event.pointer("/candidates/0/content/parts").and_then(Value::as_array);
        for part in parts.into_iter().flatten() {
            // Reasoning is marked.
            if let (Some(piece), None) = (text(part, "/text"), part.get("thought")) {
                answer.text.push_str(piece);
            }
            if part.get("functionCall").is_some() {
                answer.stop = Some(Stop::Tools);
            }
        }
        let blocked = text(event, "/promptFeedback/blockReason");
        if let Some(reason) = text(event, "/candidates/0/finishReason").or(blocked) {
            let calls = answer.stop == Some(Stop::Tools);
            answer.stop = Some(match reason {
                _ if calls => Stop::Tools,
                "STOP" => Stop::End,
                "MAX_TOKENS" => Stop::Length,
                "MALFORMED_FUNCTION_CALL" | "UNEXPECTED_TOOL_CALL" => Stop::Tools,
                refusal => Stop::Refusal(refusal.to_owned()),
            });
        }
        if let Some(prompt) = number(event, "/usageMetadata/promptTokenCount") {
            let count = |name: &str| number(event, name).unwrap_or_default();
            let cached = count("/usageMetadata/cachedContentTokenCount");
            let reasoning = count("/usageMetadata/thoughtsTokenCount");
            answer.usage = Usage {
                input: prompt.saturating_sub(cached),
                cached: cached.min(prompt),
                created: 0,
                output: count("/usageMetadata/candidatesTokenCount").saturating_add(reasoning),
            };
        }
    }

    fn windows(&self, base: &Base, model: &str) -> Vec<Probe> {
        let limit = |value: &Value, _: &str| number(value, "/inputTokenLimit");
        vec![Probe::new(WindowSource::Models, address(base, model), limit)]
    }

    fn count(&self, base: &Base, model: &str, text: &str) -> Count {
        let contents = json!([{ "role": "user", "parts": [{ "text": text }] }]);
        Count {
            request: Request {
                url: format!("{}:countTokens", address(base, model)),
                body: json!({ "contents": contents }),
            },
            tokens: "/totalTokens",
        }
    }
}

/// A model's address; some write its name as it stands in one.
fn address(base: &Base, model: &str) -> String {
    format!("{}/models/{}", base.api, model.strip_prefix("models/").unwrap_or(model))
}
