//! An answer as it comes in, and what is wrong with it as a summary.

use treering_tree::Usage;

use crate::error::{Error, Flaw, Result};

/// Why a model stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It was done.
    End,
    /// It ran into a limit of tokens.
    Length,
    /// It calls tools.
    Tools,
    /// It, or a filter, refuses; in the provider's word.
    Refusal(String),
}

/// What came so far.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) model: Option<String>,
    pub(super) usage: Usage,
    /// What it cost, where the provider says so, in its currency.
    pub(super) cost: Option<f64>,
    pub(super) stop: Option<Stop>,
}

impl Answer {
    /// The text without reasoning, where the answer is whole and is one.
    pub(super) fn prose(&self) -> Result<&str> {
        match &self.stop {
            Some(Stop::Length) => return Err(Error::BadReply(Flaw::Truncated)),
            Some(Stop::Tools) => return Err(Error::BadReply(Flaw::ToolCalls)),
            Some(Stop::Refusal(reason)) => {
                let detail = format!("the model stopped with {reason:?}");
                return Err(Error::Refused { detail });
            }
            Some(Stop::End) | None => {}
        }
        let prose = without_reasoning(&self.text);
        if prose.is_empty() { Err(Error::BadReply(Flaw::Blank)) } else { Ok(prose) }
    }
}

/// Servers that do not know a model's format leave its reasoning in the text.
fn without_reasoning(text: &str) -> &str {
    const TAGS: [(&str, &str); 2] = [("<think>", "</think>"), ("<thinking>", "</thinking>")];
    let text = text.trim();
    for (start, end) in TAGS {
        // The opening tag may be in the prompt, and so not in the answer.
        match text.split_once(end) {
            Some((reasoning, rest)) if !reasoning.trim_start_matches(start).contains(start) => {
                return rest.trim();
            }
            None if text.starts_with(start) => return "",
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str, stop: Stop) -> Answer {
        Answer { text: text.to_owned(), stop: Some(stop), ..Answer::default() }
    }

    #[test]
    fn reasoning_is_no_part_of_the_prose() {
        for text in ["ok", "<think>a\nb</think>\n ok", "hm </think> ok", "<thinking>x</thinking>ok"]
        {
            assert_eq!(answer(text, Stop::End).prose(), Ok("ok"), "{text}");
        }
        let blank = Err(Error::BadReply(Flaw::Blank));
        assert_eq!(answer("<think>only this", Stop::End).prose(), blank);
    }

    #[test]
    fn what_is_no_summary_is_refused_by_its_reason() {
        let flaw = |flaw| Err(Error::BadReply(flaw));
        assert_eq!(answer("half", Stop::Length).prose(), flaw(Flaw::Truncated));
        assert_eq!(answer("", Stop::Tools).prose(), flaw(Flaw::ToolCalls));
        assert_eq!(answer(" \n", Stop::End).prose(), flaw(Flaw::Blank));
        let refused = answer("No.", Stop::Refusal("safety".into())).prose().unwrap_err();
        assert_eq!(
            refused.to_string(),
            "refused by the provider: the model stopped with \"safety\""
        );
    }
}
