//! How servers say that a prompt is too large, and the numbers they say it with.

use serde_json::Value;

use super::dialect::{number, text};
use crate::error::Error;

/// Where the numbers stand.
#[derive(Clone, Copy)]
enum Numbers {
    /// The prompt's before the words, the window's behind them.
    Around,
    /// Behind the words: the prompt's, then the window's.
    PromptFirst,
    /// Behind the words: the window's, then the prompt's.
    WindowFirst,
    /// Behind the words: the prompt's, the answer's limit, the window's.
    WithAnswer,
    /// Behind the words, and only the window's.
    WindowOnly,
}

/// Words of the providers, in lower case.
const WORDS: [(&str, Numbers); 11] = [
    // llama-server
    ("exceeds the available context size", Numbers::Around),
    // OpenAI, vLLM
    ("maximum context length is", Numbers::WindowFirst),
    ("exceeds the context window", Numbers::WindowOnly),
    // Anthropic
    ("prompt is too long", Numbers::PromptFirst),
    ("exceed context limit:", Numbers::WithAnswer),
    // Gemini
    ("exceeds the maximum number of tokens", Numbers::Around),
    // LM Studio
    ("context length of only", Numbers::WindowOnly),
    // Ollama and others
    ("exceeds the context length", Numbers::WindowOnly),
    ("exceeds maximum context length", Numbers::WindowOnly),
    ("context length exceeded", Numbers::WindowOnly),
    ("context window exceeded", Numbers::WindowOnly),
];

/// The overflow that an error's object and message speak of, if they do.
pub(super) fn overflow(error: &Value, message: &str) -> Option<Error> {
    if text(error, "/type") == Some("exceed_context_size_error") {
        return Some(Error::Overflow {
            prompt: number(error, "/n_prompt_tokens"),
            limit: number(error, "/n_ctx"),
        });
    }
    let message = message.to_ascii_lowercase();
    for (words, numbers) in WORDS {
        if let Some((before, behind)) = message.split_once(words) {
            let mut after = integers(behind);
            let (prompt, limit) = match numbers {
                Numbers::Around => (integers(before).last(), after.next()),
                Numbers::PromptFirst => (after.next(), after.next()),
                Numbers::WindowFirst => {
                    let limit = after.next();
                    (after.next(), limit)
                }
                Numbers::WithAnswer => (after.next(), after.nth(1)),
                Numbers::WindowOnly => (None, after.next()),
            };
            return Some(Error::Overflow { prompt, limit });
        }
    }
    let named = text(error, "/code") == Some("context_length_exceeded");
    named.then_some(Error::Overflow { prompt: None, limit: None })
}

/// The whole numbers in a text; commas between thousands are part of them.
fn integers(text: &str) -> impl Iterator<Item = u64> {
    text.split(|c: char| !c.is_ascii_digit() && c != ',')
        .filter_map(|digits| digits.replace(',', "").parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_provider_is_understood() {
        let cases = [
            (
                "request (15017 tokens) exceeds the available context size (2048 tokens), try increasing it",
                Some(15_017),
                Some(2_048),
            ),
            (
                "This model's maximum context length is 16384 tokens. However, you requested 122946 tokens (112946 in the messages, 10000 in the completion).",
                Some(122_946),
                Some(16_384),
            ),
            (
                "This model's maximum context length is 128000 tokens. However, your messages resulted in 130,512 tokens.",
                Some(130_512),
                Some(128_000),
            ),
            (
                "Your input exceeds the context window of this model. Please adjust your input and try again.",
                None,
                None,
            ),
            ("prompt is too long: 212345 tokens > 200000 maximum", Some(212_345), Some(200_000)),
            (
                "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input length",
                Some(188_240),
                Some(200_000),
            ),
            (
                "The input token count (1200293) exceeds the maximum number of tokens allowed (1048576).",
                Some(1_200_293),
                Some(1_048_576),
            ),
            (
                "the model is loaded with context length of only 4096 tokens, which is not enough",
                None,
                Some(4_096),
            ),
        ];
        for (message, prompt, limit) in cases {
            let expected = Some(Error::Overflow { prompt, limit });
            assert_eq!(overflow(&Value::Null, message), expected, "{message}");
        }
        let llama =
            json!({ "type": "exceed_context_size_error", "n_prompt_tokens": 9, "n_ctx": 8 });
        let expected = Error::Overflow { prompt: Some(9), limit: Some(8) };
        assert_eq!(overflow(&llama, ""), Some(expected));
        let openai = json!({ "code": "context_length_exceeded" });
        let unknown = Error::Overflow { prompt: None, limit: None };
        assert_eq!(overflow(&openai, "too long"), Some(unknown));
    }

    #[test]
    fn other_refusals_are_no_overflow() {
        for message in ["max_tokens must be at least 1", "unknown field", ""] {
            assert_eq!(overflow(&json!({ "code": 400 }), message), None);
        }
    }
}
