//! What was sent to a model is in no error of it, whatever its server says, and in nothing that is told.

use serde_json::{Value, json};
use treering_provider::{Error, JobEntry, Model, Settings, Summarizer, SummaryJob};
use treering_tree::{Id, Kind, Message, Role, Summary};

use crate::echo::{self, REASON};
use crate::fake::{Fake, Reply};
use crate::heard::{CANARY, Heard};
use crate::job::{SECRET, with_key};

/// A job with the canary in every field.
fn job() -> SummaryJob {
    let text = || format!("Read {CANARY} \"twice\",\nand C:\\{CANARY} too.");
    let message = Message::new(Role::Assistant, echo::parts(text));
    let entry = JobEntry {
        id: Id::from_bytes([7; 32]),
        kind: Kind::Assistant,
        turn: 1,
        tokens: 9,
        message,
    };
    SummaryJob {
        entries: vec![entry.clone()],
        previous: Some(Summary { text: text(), ..Summary::default() }),
        hint: Some(text()),
        budget_tokens: 400,
        kept: vec![entry],
    }
}

/// Every dialect at this server, that asks once.
fn models(url: &str) -> [Model; 3] {
    let mut settings: Settings = with_key(url, SECRET);
    settings.retries.tries = 1;
    settings.retries.loading_tries = 1;
    settings.extra.insert("user".into(), CANARY.into());
    let dialects = [Model::openai, Model::anthropic, Model::gemini];
    dialects.map(|dialect| dialect(settings.clone()).unwrap())
}

#[tokio::test]
async fn no_error_repeats_what_was_sent() {
    let ear = Heard::default();
    let _guard = tracing::subscriber::set_default(ear.clone());
    let mut told = 0;
    for at in 0..3 {
        let fake = Fake::start(echo::replies()).await;
        let model = &models(&fake.url)[at];
        for _ in echo::replies() {
            let error = model.summarize(job()).await.unwrap_err();
            told += usize::from(error.to_string().contains(REASON));
            ear.error(&error);
        }
        ear.hear(model);
    }
    ear.is_quiet(&["model failed", "status 422: is wrong for max_tokens: [...]"]);
    // Of each form eleven say what is wrong where an error shows it, and Gemini once more.
    assert_eq!(told, 5 * (3 * 11 + 1));
}

#[tokio::test]
async fn neither_does_one_of_a_count_or_a_sample() {
    let ear = Heard::default();
    let replies = || {
        let say = |body: &str| json!({ "error": { "message": format!("{REASON}: {body}") } });
        let reply = move |body: &str| Reply::status("500 No", "", &say(body));
        vec![Reply::to(reply), Reply::to(reply)]
    };
    for at in 0..3 {
        let fake = Fake::start(replies()).await;
        let model = &models(&fake.url)[at];
        let outcomes = [model.count(CANARY).await.map(drop), model.sample(CANARY).await.map(drop)];
        for outcome in outcomes {
            let error = outcome.unwrap_err();
            assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
            ear.error(&error);
        }
    }
    ear.is_quiet(&[REASON]);
}

#[tokio::test]
async fn an_error_within_an_answer_repeats_nothing_of_the_answer() {
    let ear = Heard::default();
    let half = CANARY.split_at(5);
    let pieces = |text: &str| {
        json!({
            "choices": [{ "delta": { "content": text } }],
            "delta": { "text": text },
            "candidates": [{ "content": { "parts": [{ "text": text }] } }],
        })
    };
    let failed: Value = json!({ "error": { "message": format!("{REASON}: {CANARY}") } });
    for at in 0..3 {
        let events = [pieces(half.0), pieces(half.1), failed.clone()];
        let fake = Fake::start(vec![Reply::events(&events)]).await;
        let job = SummaryJob { budget_tokens: 400, ..SummaryJob::default() };
        ear.error(&models(&fake.url)[at].summarize(job).await.unwrap_err());
    }
    ear.is_quiet(&[REASON]);
}
