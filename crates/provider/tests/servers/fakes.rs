//! Gemini, which no server at hand speaks, and misbehaviour that no real server shows on demand.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use treering_provider::{Error, Flaw, Model, Settings, Summarizer, Window, WindowSource};

use crate::fake::{Fake, Reply};
use crate::job::{SECRET, job, made_by, settings, with_key};

/// A piece of Gemini's answer.
fn piece(text: &str, finish: Option<&str>) -> Value {
    json!({
        "candidates": [{ "content": { "parts": [{ "text": text }] }, "finishReason": finish }],
        "usageMetadata": {
            "promptTokenCount": 90, "cachedContentTokenCount": 40, "candidatesTokenCount": 7,
            "thoughtsTokenCount": 5,
        },
        "modelVersion": "gemini-9-flash",
    })
}

fn answer() -> Reply {
    Reply::events(&[piece("## Go", None), piece("al", Some("STOP"))])
}

fn refusal(status: &str, headers: &str, message: &str) -> Reply {
    Reply::status(status, headers, &json!({ "error": { "code": 400, "message": message } }))
}

async fn gemini(
    replies: Vec<Reply>,
    change: impl FnOnce(&mut Settings),
) -> (Result<treering_tree::Summary, Error>, Vec<String>) {
    let fake = Fake::start(replies).await;
    let mut settings = with_key(&fake.url, SECRET);
    change(&mut settings);
    let outcome = Model::gemini(settings).unwrap().summarize(job(1, 9)).await;
    (outcome, fake.requests())
}

#[tokio::test]
async fn gemini_is_asked_and_heard() {
    let (outcome, requests) = gemini(vec![answer()], |settings| {
        settings.extra.insert("safetySettings".into(), json!([]));
        settings.extra.insert("generationConfig".into(), Value::Null);
    })
    .await;
    let summary = outcome.unwrap();
    assert_eq!(summary.text, "## Goal");
    let made_by = made_by(summary);
    assert_eq!(made_by["model"], "gemini-9-flash");
    assert_eq!(made_by["usage"], json!({ "input": 50, "cached": 40, "created": 0, "output": 12 }));
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v1beta/models/tiny:streamGenerateContent?alt=sse "), "{head}");
    assert!(head.contains(&format!("x-goog-api-key: {SECRET}")), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert!(body["systemInstruction"]["parts"][0]["text"].is_string());
    assert_eq!(body["safetySettings"], json!([]));
    assert_eq!(body.get("generationConfig"), None);
}

#[tokio::test]
async fn gemini_fails_by_type() {
    let reply = |status, message| vec![refusal(status, "", message)];
    let overflow =
        "The input token count (1200293) exceeds the maximum number of tokens allowed (1048576).";
    let (outcome, _) = gemini(reply("400 Bad Request", overflow), |_| {}).await;
    let numbers = Error::Overflow { prompt: Some(1_200_293), limit: Some(1_048_576) };
    assert_eq!(outcome, Err(numbers));

    let reason = json!([{ "reason": "API_KEY_INVALID" }]);
    let bad_key = json!({ "error": { "code": 400, "message": SECRET, "details": reason } });
    let (outcome, _) = gemini(vec![Reply::status("400 Bad Request", "", &bad_key)], |_| {}).await;
    assert_eq!(outcome, Err(Error::Auth { status: 400 }));

    let (outcome, _) = gemini(reply("404 Not Found", SECRET), |_| {}).await;
    assert_eq!(outcome, Err(Error::Refused { detail: "status 404: [key]".into() }));

    for (finish, expected) in [
        ("MAX_TOKENS", Error::BadReply(Flaw::Truncated)),
        ("UNEXPECTED_TOOL_CALL", Error::BadReply(Flaw::ToolCalls)),
        ("SAFETY", Error::Refused { detail: "the model stopped with \"SAFETY\"".into() }),
    ] {
        let (outcome, _) = gemini(vec![Reply::events(&[piece("x", Some(finish))])], |_| {}).await;
        assert_eq!(outcome, Err(expected));
    }
    let (outcome, _) = gemini(vec![Reply::events(&[piece(" \n", Some("STOP"))])], |_| {}).await;
    assert_eq!(outcome, Err(Error::BadReply(Flaw::Blank)));
}

#[tokio::test]
async fn gemini_is_tried_again() {
    let date =
        "Date: Fri, 21 Nov 2025 08:00:00 GMT\r\nRetry-After: Fri, 21 Nov 2025 08:00:01 GMT\r\n";
    let dropped = Reply::status("", "", &Value::Null);
    for (fault, least) in [
        (refusal("429 Too Many Requests", date, "slow down"), Duration::from_secs(1)),
        (refusal("503 Service Unavailable", "", "loading"), Duration::ZERO),
        (dropped, Duration::ZERO),
        (Reply::events(&[json!({ "error": { "code": 503 } })]), Duration::ZERO),
    ] {
        let start = Instant::now();
        let (outcome, requests) = gemini(vec![fault, answer()], |_| {}).await;
        assert_eq!(made_by(outcome.unwrap())["attempts"], 2);
        assert_eq!(requests.len(), 2);
        assert!(start.elapsed() >= least, "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn gemini_cut_short_or_slow_ends() {
    let (outcome, requests) = gemini(vec![Reply::events(&[piece("## Go", None)])], |_| {}).await;
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("cut short"), "{error}");
    assert_eq!(requests.len(), 1);

    let quiet = Reply::events(&[piece("## Go", None)]).then_silence(Duration::from_secs(9));
    let (outcome, _) = gemini(vec![quiet], |settings| {
        settings.limits.idle = Duration::from_millis(100);
    })
    .await;
    assert_eq!(outcome, Err(Error::Timeout { what: "idle", limit_ms: 100 }));
}

#[tokio::test]
async fn gemini_knows_its_window_and_counts() {
    let limit = Reply::status("200 OK", "", &json!({ "inputTokenLimit": 1_048_576 }));
    let count = Reply::status("200 OK", "", &json!({ "totalTokens": 11 }));
    let fake = Fake::start(vec![limit, count]).await;
    let model = Model::gemini(settings(&fake.url)).unwrap();
    let window = Window { tokens: 1_048_576, source: WindowSource::Models };
    assert_eq!(model.window().await, Ok(Some(window)));
    assert_eq!(model.count("hello").await, Ok(Some(11)));
}

#[tokio::test]
async fn an_overflow_tells_a_window_that_nobody_knew() {
    let missing = || refusal("404 Not Found", "", "no such page");
    let overflow = refusal("400 Bad Request", "", "prompt is too long: 9 tokens > 8 maximum");
    let probes = || (0..3).map(|_| missing());
    let replies = probes().chain([overflow]).chain(probes()).collect();
    let fake = Fake::start(replies).await;
    let model = Model::anthropic(settings(&fake.url)).unwrap();
    assert_eq!(model.window().await, Ok(None));
    assert!(model.summarize(job(1, 9)).await.is_err());
    let window = Window { tokens: 8, source: WindowSource::Overflow };
    assert_eq!(model.window().await, Ok(Some(window)));
}

#[tokio::test]
async fn a_configured_window_asks_nobody() {
    let mut settings = settings("http://127.0.0.1:9");
    settings.window_tokens = Some(4_000);
    let window = Window { tokens: 4_000, source: WindowSource::Configured };
    assert_eq!(Model::openai(settings).unwrap().window().await, Ok(Some(window)));
}

#[tokio::test]
async fn a_list_of_models_tells_the_window() {
    let missing = || refusal("404 Not Found", "", "no such page");
    let list = json!({ "data": [{ "id": "other" }, { "id": "tiny", "max_model_len": 9_000 }] });
    let fake = Fake::start(vec![missing(), missing(), Reply::status("200 OK", "", &list)]).await;
    let window = Model::openai(settings(&fake.url)).unwrap().window().await;
    assert_eq!(window, Ok(Some(Window { tokens: 9_000, source: WindowSource::Models })));
}

#[tokio::test]
async fn nothing_is_followed_elsewhere() {
    let away = Reply::status("302 Found", "Location: http://127.0.0.1:9/\r\n", &Value::Null);
    let (outcome, requests) = gemini(vec![away], |_| {}).await;
    assert_eq!(outcome, Err(Error::Refused { detail: "status 302".into() }));
    assert_eq!(requests.len(), 1);
}

#[tokio::test]
async fn what_is_no_stream_of_json_is_a_protocol_error() {
    let (outcome, _) = gemini(vec![Reply::text("data: {half\r\n\r\n")], |_| {}).await;
    let protocol = Flaw::Protocol("an event that is JSON".into());
    assert_eq!(outcome, Err(Error::BadReply(protocol)));
}
