//! Prose above an index, and what stands where the prose fails.

use treering_provider::{Error, Flaw, Hybrid, JobEntry, Scripted, Summarizer, SummaryJob};
use treering_tree::{Kind, Message, Part, Role, Summary};

use crate::samples;

const PROSE: &str = "## Goal\nA faster parser.\n## Progress\nHalf.\n## Next steps\nMeasure.";

fn job() -> SummaryJob {
    let text = "Make parseLine in src/parser.rs faster. ".repeat(60);
    let message = Message::new(Role::User, vec![Part::Text { text }]);
    let entry = JobEntry { id: samples::id(0), kind: Kind::User, turn: 1, tokens: 700, message };
    SummaryJob { entries: vec![entry], budget_tokens: 900, ..SummaryJob::default() }
}

async fn hybrid(script: &std::sync::Arc<Scripted>, job: SummaryJob) -> Summary {
    Hybrid::new(script.clone()).summarize(job).await.unwrap()
}

fn script(
    replies: impl IntoIterator<Item = Result<&'static str, Error>>,
) -> std::sync::Arc<Scripted> {
    let replies = replies.into_iter().map(|reply| reply.map(str::to_owned));
    std::sync::Arc::new(Scripted::new(replies))
}

#[tokio::test]
async fn prose_stands_above_the_index() {
    let script = script([Ok(PROSE)]);
    let summary = hybrid(&script, job()).await;
    assert!(summary.text.starts_with(PROSE), "{}", summary.text);
    assert!(summary.text.contains("src/parser.rs"));
    let made_by = summary.made_by.unwrap();
    assert_eq!(made_by["attempts"], 1);
    assert_eq!(made_by["prompt"]["version"], "summarize/1");
    assert_eq!(made_by.get("fallback"), None);
    assert_eq!(script.jobs()[0].budget_tokens, 600);
}

#[tokio::test]
async fn a_flawed_answer_gets_one_correction() {
    let flaws = [
        Ok("  "),
        Ok("Sure! What shall I do next?"),
        Err(Error::BadReply(Flaw::Truncated)),
        Err(Error::BadReply(Flaw::ToolCalls)),
    ];
    for flawed in flaws {
        let script = script([flawed, Ok(PROSE)]);
        let summary = hybrid(&script, job()).await;
        assert!(summary.text.starts_with(PROSE));
        assert_eq!(summary.made_by.unwrap()["attempts"], 2);
        let correction = script.jobs()[1].hint.clone().unwrap();
        assert!(correction.starts_with("Your last answer could not be used: "), "{correction}");
    }
}

#[tokio::test]
async fn every_failure_leaves_the_ledger() {
    let long = "## Goal\n## Progress\n## Next steps\n".to_owned() + &"word ".repeat(2_000);
    let long: &'static str = Box::leak(long.into_boxed_str());
    let cases: [(Vec<Result<&str, Error>>, &str); 5] = [
        (vec![Ok(" "), Ok(" ")], "it is blank"),
        (vec![Ok(long), Ok(long)], "tokens and stands for"),
        (vec![Ok("## Goal"), Ok("## Goal")], "\"## Progress\" is missing"),
        (vec![Err(Error::Timeout { what: "idle", limit_ms: 30_000 })], "limit of 30000 ms"),
        (vec![Err(Error::Overflow { prompt: Some(9), limit: Some(8) })], "window of 8"),
    ];
    for (replies, reason) in cases {
        let summary = hybrid(&script(replies), job()).await;
        assert!(summary.text.starts_with("# Ledger of 1 entries"), "{}", summary.text);
        let made_by = summary.made_by.unwrap();
        assert!(made_by["fallback"].as_str().unwrap().contains(reason), "{made_by}");
    }
}

#[tokio::test]
async fn a_strict_one_gives_the_models_error() {
    let auth = Error::Auth { status: 401 };
    let hybrid = Hybrid::new(script([Err(auth.clone())])).strict();
    assert_eq!(hybrid.summarize(job()).await, Err(auth));
    let blank = Error::BadReply(Flaw::Blank);
    let hybrid = Hybrid::new(script([Ok(" "), Ok(" ")])).strict();
    assert_eq!(hybrid.summarize(job()).await, Err(blank));
}

#[tokio::test]
async fn a_caller_that_gives_up_gets_nothing() {
    let cancelled = Hybrid::new(script([Err(Error::Cancelled)])).summarize(job()).await;
    assert_eq!(cancelled, Err(Error::Cancelled));
}

#[tokio::test]
async fn prose_is_handed_on_when_the_next_model_fails() {
    let script = script([Ok(PROSE), Err(Error::Auth { status: 401 }), Ok(PROSE)]);
    let first = hybrid(&script, job()).await;
    let second = hybrid(&script, SummaryJob { previous: Some(first), ..job() }).await;
    assert!(
        second.text.contains("## Earlier summary\n## Goal\nA faster parser."),
        "{}",
        second.text
    );
    let third = hybrid(&script, SummaryJob { previous: Some(second), ..job() }).await;
    assert!(!third.text.contains("## Earlier summary"), "{}", third.text);
    let asked = script.jobs();
    assert_eq!(asked[2].previous.as_ref().unwrap().text, PROSE);
}
