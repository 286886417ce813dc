//! `OpenAI`'s chat completions, as llama-server, llama-swap, Ollama, vLLM, LM Studio and many
//! providers speak it too.

use serde_json::{Value, json};
use treering_tree::Usage;

use super::answer::{Answer, Stop};
use super::dialect::{Ask, Dialect, Request, number, text};
use super::settings::Base;
use super::window::{Count, Probe, WindowSource};

pub(super) struct OpenAi;

/// Names of a model's window among a list of models: vLLM, `OpenRouter`, Groq, LM Studio.
const WINDOW_NAMES: [&str; 6] = [
    "/meta/n_ctx",
    "/max_model_len",
    "/context_length",
    "/context_window",
    "/loaded_context_length",
    "/max_context_length",
];

impl Dialect for OpenAi {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn key_header(&self) -> (&'static str, &'static str) {
        ("authorization", "Bearer ")
    }

    fn ask(&self, base: &Base, ask: Ask<'_>) -> Request {
        let mut body = json!({
            "model": ask.model,
            "messages": [
                { "role": "system", "content": ask.system },
                { "role": "user", "content": ask.text },
            ],
            "stream": true,
            "stream_options": { "include_usage": true },
        });
        // The new name, which only OpenAI itself insists on.
        let own = base.root.ends_with("//api.openai.com");
        let limit = if own { "max_completion_tokens" } else { "max_tokens" };
        body[limit] = ask.answer_tokens.into();
        Request { url: format!("{}/chat/completions", base.api), body }
    }

    fn read(&self, event: &Value, answer: &mut Answer) {
        if let Some(model) = text(event, "/model") {
            answer.model = Some(model.to_owned());
        }
        if let Some(piece) = text(event, "/choices/0/delta/content") {
            answer.text.push_str(piece);
        }
        if let Some(reason) = text(event, "/choices/0/finish_reason") {
            answer.stop = Some(match reason {
                "length" => Stop::Length,
                "tool_calls" | "function_call" => Stop::Tools,
                "content_filter" => Stop::Refusal(reason.to_owned()),
                _ => Stop::End,
            });
        }
        if let Some(prompt) = number(event, "/usage/prompt_tokens") {
            let cached =
                number(event, "/usage/prompt_tokens_details/cached_tokens").unwrap_or_default();
            answer.usage = Usage {
                // The prompt includes what was read from the cache.
                input: prompt.saturating_sub(cached),
                cached: cached.min(prompt),
                created: 0,
                output: number(event, "/usage/completion_tokens").unwrap_or_default(),
            };
            answer.cost = event.pointer("/usage/cost").and_then(Value::as_f64);
        }
    }

    fn windows(&self, base: &Base, model: &str) -> Vec<Probe> {
        let own = |value: &Value, _: &str| number(value, "/default_generation_settings/n_ctx");
        let listed = |value: &Value, model: &str| {
            let models = value.get("data")?.as_array()?;
            let of = |entry: &&Value| text(entry, "/id") == Some(model);
            let entry = models.iter().find(of)?;
            WINDOW_NAMES.iter().find_map(|name| number(entry, name))
        };
        vec![
            Probe::new(WindowSource::Props, format!("{}/props", base.root), own),
            Probe::new(
                WindowSource::Upstream,
                format!("{}/upstream/{model}/props", base.root),
                own,
            ),
            Probe::new(WindowSource::Models, format!("{}/models", base.api), listed),
        ]
    }

    fn count(&self, base: &Base, model: &str, text: &str) -> Count {
        let messages = json!([{ "role": "user", "content": text }]);
        Count {
            request: Request {
                url: format!("{}/chat/completions/input_tokens", base.api),
                body: json!({ "model": model, "messages": messages }),
            },
            tokens: "/input_tokens",
        }
    }
}
