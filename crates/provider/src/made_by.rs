//! What is on record of how a summary was made, whatever nest of summarizers made it.

use serde::{Deserialize as _, Serialize};
use serde_json::Value;
use treering_tree::Usage;

/// Where a record holds the records of what was asked for it.
const INNER: [&str; 4] = ["prose", "rejected", "parts", "details"];

/// How a summary was made, summed over everything that took part: [`Summary::made_by`] in short.
///
/// ```
/// use serde_json::json;
/// use treering_provider::MadeBy;
///
/// let call = json!({ "model": "tiny", "attempts": 3, "usage": { "input": 90, "output": 7 } });
/// let record = json!({ "summarizer": "hybrid/1", "attempts": 1, "prose": { "parts": [call] } });
/// let made_by = MadeBy::read(&record);
/// assert_eq!((made_by.model.as_deref(), made_by.attempts), (Some("tiny"), Some(3)));
/// assert_eq!(made_by.usage.unwrap().prompt(), 90);
/// ```
///
/// [`Summary::made_by`]: treering_tree::Summary::made_by
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MadeBy {
    /// The summarizer, outermost.
    pub summarizer: Option<String>,
    /// The model that answered.
    pub model: Option<String>,
    /// What it was asked.
    pub prompt: Option<PromptUsed>,
    /// Tries of all calls that came to an answer.
    pub attempts: Option<u64>,
    /// Tokens of all answers, those included that were of no use.
    pub usage: Option<Usage>,
    /// What they cost, where the provider says so, in its currency.
    pub cost: Option<f64>,
    /// How long they took, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Why something else stood in.
    pub fallback: Option<String>,
}

/// The instructions that a model was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PromptUsed {
    /// Name and version.
    pub version: String,
    /// Hash of the text.
    pub hash: String,
}

impl MadeBy {
    /// Reads a record. What is not there, or not as this version writes it, stays `None`.
    pub fn read(record: &Value) -> Self {
        let mut made_by = Self::default();
        let mut records = vec![record];
        while let Some(record) = records.pop() {
            made_by.add(record);
            let inner = INNER.iter().rev().filter_map(|name| record.get(name));
            for value in inner {
                match value {
                    Value::Array(all) => records.extend(all.iter().rev()),
                    one => records.push(one),
                }
            }
        }
        made_by
    }

    fn add(&mut self, record: &Value) {
        let text = |value: &Value, name: &str| value.get(name)?.as_str().map(str::to_owned);
        self.summarizer = self.summarizer.take().or_else(|| text(record, "summarizer"));
        self.model = self.model.take().or_else(|| text(record, "model"));
        self.fallback = self.fallback.take().or_else(|| text(record, "fallback"));
        if let (None, Some(prompt)) = (&self.prompt, record.get("prompt")) {
            let used = text(prompt, "version").zip(text(prompt, "hash"));
            self.prompt = used.map(|(version, hash)| PromptUsed { version, hash });
        }
        // Only a call has these; what is around it counts in other units.
        let Some(usage) = record.get("usage") else { return };
        let number = |name| record.get(name).and_then(Value::as_u64);
        add(&mut self.attempts, number("attempts"));
        add(&mut self.duration_ms, number("duration_ms"));
        if let Some(cost) = record.get("cost").and_then(Value::as_f64) {
            self.cost = Some(self.cost.unwrap_or_default() + cost);
        }
        if let Ok(usage) = Usage::deserialize(usage) {
            let sum = self.usage.get_or_insert_default();
            sum.input = sum.input.saturating_add(usage.input);
            sum.cached = sum.cached.saturating_add(usage.cached);
            sum.created = sum.created.saturating_add(usage.created);
            sum.output = sum.output.saturating_add(usage.output);
        }
    }
}

fn add(sum: &mut Option<u64>, number: Option<u64>) {
    if let Some(number) = number {
        *sum = Some(sum.unwrap_or_default().saturating_add(number));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_that_was_asked_counts() {
        let call = |tries: u64, cost: f64| {
            json!({
                "summarizer": "openai", "model": "tiny", "attempts": tries, "duration_ms": 40,
                "prompt": { "version": "summarize/1", "hash": "ab" }, "cost": cost,
                "usage": { "input": 10, "cached": 5, "output": 2 },
            })
        };
        let folded =
            |calls: Vec<Value>| json!({ "summarizer": "openai", "chunks": 2, "parts": calls });
        let record = json!({
            "summarizer": "hybrid/1", "attempts": 2,
            "rejected": [folded(vec![call(1, 0.5)])],
            "prose": folded(vec![call(3, 0.25), call(1, 0.25)]),
            "ledger": { "summarizer": "ledger/1", "attempts": 9 },
        });
        let made_by = MadeBy::read(&record);
        assert_eq!(made_by.summarizer.as_deref(), Some("hybrid/1"));
        assert_eq!((made_by.attempts, made_by.duration_ms), (Some(5), Some(120)));
        assert_eq!(made_by.cost, Some(1.0));
        assert_eq!(made_by.prompt.unwrap().hash, "ab");
        let usage = Usage { input: 30, cached: 15, created: 0, output: 6 };
        assert_eq!(made_by.usage, Some(usage));
        assert_eq!(made_by.fallback, None);
    }

    #[test]
    fn what_no_model_took_part_in_tells_of_none() {
        let record = json!({ "summarizer": "hybrid/1", "attempts": 1, "fallback": "cut short" });
        let expected = MadeBy {
            summarizer: Some("hybrid/1".into()),
            fallback: Some("cut short".into()),
            ..MadeBy::default()
        };
        assert_eq!(MadeBy::read(&record), expected);
        for odd in [json!(null), json!([1]), json!({ "prose": "x", "usage": 3, "prompt": {} })] {
            assert_eq!(MadeBy::read(&odd), MadeBy::default(), "{odd}");
        }
    }
}
