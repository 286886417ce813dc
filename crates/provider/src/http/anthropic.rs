//! Anthropic's messages, which llama-server speaks too.

use serde_json::{Value, json};

use super::answer::{Answer, Stop};
use super::dialect::{Ask, Dialect, Request, number, text};
use super::settings::Base;
use super::window::{Count, Probe, WindowSource};

pub(super) struct Anthropic;

impl Dialect for Anthropic {
    fn name(&self) -> &'static str {
        "anthropic"
    }

    fn key_header(&self) -> (&'static str, &'static str) {
        ("x-api-key", "")
    }

    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[("anthropic-version", "2023-06-01")]
    }

    fn ask(&self, base: &Base, ask: Ask<'_>) -> Request {
        let body = json!({
            "model": ask.model,
            "system": ask.system,
            "messages": [{ "role": "user", "content": ask.text }],
            "max_tokens": ask.answer_tokens,
            "stream": true,
        });
        Request { url: format!("{}/messages", base.api), body }
    }

    fn read(&self, event: &Value, answer: &mut Answer) {
        if let Some(model) = text(event, "/message/model") {
            answer.model = Some(model.to_owned());
        }
        // The start holds all counts, the end those that changed.
        for usage in ["/message/usage", "/usage"].iter().filter_map(|at| event.pointer(at)) {
            let take = |name: &str, into: &mut u64| {
                *into = usage.get(name).and_then(Value::as_u64).unwrap_or(*into);
            };
            take("input_tokens", &mut answer.usage.input);
            take("cache_read_input_tokens", &mut answer.usage.cached);
            take("cache_creation_input_tokens", &mut answer.usage.created);
            take("output_tokens", &mut answer.usage.output);
        }
        // Reasoning comes as deltas of another kind.
        if let Some(piece) = text(event, "/delta/text") {
            answer.text.push_str(piece);
        }
        if let Some(reason) = text(event, "/delta/stop_reason") {
            answer.stop = Some(match reason {
                "max_tokens" | "model_context_window_exceeded" => Stop::Length,
                "tool_use" => Stop::Tools,
                "refusal" => Stop::Refusal(reason.to_owned()),
                _ => Stop::End,
            });
        }
    }

    fn windows(&self, base: &Base, model: &str) -> Vec<Probe> {
        let own = |value: &Value, _: &str| number(value, "/default_generation_settings/n_ctx");
        let limit = |value: &Value, _: &str| number(value, "/max_input_tokens");
        vec![
            Probe::new(WindowSource::Models, format!("{}/models/{model}", base.api), limit),
            Probe::new(WindowSource::Props, format!("{}/props", base.root), own),
            Probe::new(
                WindowSource::Upstream,
                format!("{}/upstream/{model}/props", base.root),
                own,
            ),
        ]
    }

    fn count(&self, base: &Base, model: &str, text: &str) -> Count {
        let messages = json!([{ "role": "user", "content": text }]);
        Count {
            request: Request {
                url: format!("{}/messages/count_tokens", base.api),
                body: json!({ "model": model, "messages": messages }),
            },
            tokens: "/input_tokens",
        }
    }
}
