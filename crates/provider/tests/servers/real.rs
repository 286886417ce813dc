//! Against the real server: its counts, limits, streams and slots.

use std::sync::Arc;
use std::time::{Duration, Instant};

use treering_provider::{
    Error, Fallback, Flaw, Folding, Hybrid, Ledger, Limited, Model, Permits, Settings, Summarizer,
    Window, WindowSource,
};

use crate::job::{SECRET, both, ending, job, made_by, settings, templated, with_key};
use crate::server::Server;

/// The shared server's window, of one slot.
const WINDOW: u64 = 8_192;
/// Tokens of an answer that takes longer than any wait here.
const ENDLESS_TOKENS: u32 = 30_000;

#[tokio::test]
async fn a_model_writes_the_prose_above_the_index() {
    let Some(server) = Server::shared() else { return };
    let model = Model::openai(templated(settings(&server.url))).unwrap();
    let summary = Hybrid::new(model).summarize(job(3, 300)).await.unwrap();
    assert!(summary.text.starts_with("## Goal\n"), "{}", summary.text);
    assert!(summary.text.contains("# Ledger of 3 entries"), "{}", summary.text);
    let made_by = made_by(summary);
    assert_eq!(made_by.get("fallback"), None);
    assert_eq!(made_by["prose"]["summarizer"], "openai");
}

#[tokio::test]
async fn usage_model_and_times_are_on_record() {
    let Some(server) = Server::shared() else { return };
    for model in both(&settings(&server.url)) {
        let summary = model.summarize(job(2, 300)).await.unwrap();
        assert!(!summary.text.is_empty());
        let made_by = made_by(summary);
        assert_eq!(made_by["model"], "tiny");
        assert_eq!(made_by["attempts"], 1);
        assert_eq!(made_by["prompt"]["version"], "summarize/1");
        let usage = &made_by["usage"];
        let prompt = usage["input"].as_u64().unwrap() + usage["cached"].as_u64().unwrap();
        assert!(prompt > 1_000, "{made_by}");
        assert!(usage["output"].as_u64().unwrap() > 0, "{made_by}");
        let ms = |name: &str| made_by[name].as_u64().unwrap();
        assert!(ms("first_byte_ms") <= ms("duration_ms"), "{made_by}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_truncated() {
    let Some(server) = Server::shared() else { return };
    let mut settings = settings(&server.url);
    settings.answer_tokens = Some(2);
    let truncated = Err(Error::BadReply(Flaw::Truncated));
    assert_eq!(Model::openai(settings.clone()).unwrap().summarize(job(1, 9)).await, truncated);
    assert_eq!(Model::anthropic(settings).unwrap().summarize(job(1, 9)).await, truncated);
}

#[tokio::test]
async fn an_overflow_has_its_numbers_and_teaches_the_window() {
    let Some(server) = Server::shared() else { return };
    for model in both(&settings(&server.url)) {
        match model.summarize(job(1, 9_000)).await {
            Err(Error::Overflow { prompt: Some(prompt), limit: Some(WINDOW) }) => {
                assert!(prompt > WINDOW, "{prompt}");
            }
            other => panic!("{}: {other:?}", model.name()),
        }
    }
}

#[tokio::test]
async fn a_head_larger_than_an_unknown_window_is_folded() {
    let Some(server) = Server::shared() else { return };
    let model = Model::openai(templated(settings(&server.url))).unwrap();
    let summary = Folding::new(model, u64::MAX).summarize(job(6, 400)).await.unwrap();
    let made_by = made_by(summary);
    assert!(made_by["shrinks"].as_u64().unwrap() >= 1, "{made_by}");
    assert!(made_by["chunks"].as_u64().unwrap() >= 2, "{made_by}");
}

#[tokio::test]
async fn the_server_knows_its_window_and_counts() {
    let Some(server) = Server::shared() else { return };
    let swap = server.behind_faults("");
    for (url, source) in [(&server.url, WindowSource::Props), (&swap.url, WindowSource::Upstream)] {
        for model in both(&settings(url)) {
            let window = model.window().await.unwrap();
            assert_eq!(window, Some(Window { tokens: WINDOW, source }), "{}", model.name());
            let tokens = model.count("count these words").await.unwrap();
            assert!((10..60).contains(&tokens.unwrap()), "{tokens:?}");
        }
    }
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_never_shown() {
    let Some(server) = Server::start(2_048, 1, Some(SECRET)) else { return };
    for model in both(&settings(&server.url)).into_iter().chain(both(&with_key(&server.url, "no")))
    {
        let auth = Error::Auth { status: 401 };
        assert_eq!(model.summarize(job(1, 9)).await, Err(auth.clone()), "{}", model.name());
        assert_eq!(model.window().await, Err(auth), "{}", model.name());
    }
    for model in both(&with_key(&server.url, SECRET)) {
        assert!(!format!("{model:?}").contains(SECRET));
        assert!(model.summarize(job(1, 9)).await.is_ok(), "{}", model.name());
    }
}

/// A model that says the same token for ever.
fn endless(url: &str) -> Settings {
    let mut endless = settings(url);
    endless.answer_tokens = Some(ENDLESS_TOKENS);
    endless.extra.insert("temperature".into(), 0.into());
    endless.extra.insert("ignore_eos".into(), true.into());
    endless
}

#[tokio::test]
async fn dropping_the_future_frees_the_slot() {
    let Some(server) = Server::start(32_768, 1, None) else { return };
    let settings = endless(&server.url);
    let models = [Model::openai(settings.clone()), Model::anthropic(settings)];
    for model in models.map(|model| Arc::new(model.unwrap())) {
        let permits = Permits::new();
        let limited = || Limited::new(model.clone(), &permits, &server.url, "tiny", 1);
        let call = limited();
        let call = tokio::spawn(async move { call.summarize(job(1, 9)).await });
        let decoded = wait_until(|| server.slot().filter(|decoded| *decoded > 0)).await;
        assert!(!call.is_finished() && decoded < u64::from(ENDLESS_TOKENS), "{decoded}");
        let start = Instant::now();
        call.abort();
        wait_until(|| server.slot().is_none().then_some(())).await;
        println!("{}: slot idle {} ms after", model.name(), start.elapsed().as_millis());
        let hurried = limited().deadline(Duration::from_millis(300)).summarize(job(1, 9)).await;
        assert_eq!(hurried, Err(Error::Timeout { what: "whole call", limit_ms: 300 }));
    }
}

#[tokio::test]
async fn a_prompt_that_is_taken_in_is_given_up_too() {
    let Some(server) = Server::start(32_768, 1, None) else { return };
    let model = Model::openai(endless(&server.url)).unwrap();
    let call = tokio::spawn(async move { model.summarize(job(4, 600)).await });
    wait_until(|| server.slot().or_else(|| call.is_finished().then_some(0))).await;
    assert!(!call.is_finished(), "{:?}", call.await);
    let start = Instant::now();
    call.abort();
    let mut decoded = 0;
    wait_until(|| match server.slot() {
        Some(more) => {
            decoded = more;
            None
        }
        None => Some(()),
    })
    .await;
    println!("slot idle {} ms after, in the middle of a prompt", start.elapsed().as_millis());
    // A few may be on their way when the server hears of it, never an answer without an end.
    assert!(decoded < 64, "it went on to answer: {decoded} tokens");
}

/// Waits for what must come: how long it takes is the machine's business.
async fn wait_until<T>(mut reached: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(reached) = reached() {
            return reached;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn one_model_stands_in_for_another() {
    let Some(server) = Server::shared() else { return };
    // Nothing listens at the port that discards.
    let first = Model::openai(settings("http://127.0.0.1:9")).unwrap();
    let second = Model::anthropic(ending(settings(&server.url))).unwrap();
    let models = Fallback::new(first, Fallback::new(second, Ledger::new()));
    let made_by = made_by(models.summarize(job(1, 9)).await.unwrap());
    assert_eq!(made_by["instead_of"], "openai");
    let reason = made_by["fallback"].as_str().unwrap();
    assert!(reason.starts_with("provider unavailable: "), "{reason}");
}
