//! Faults of a real server, each with its outcome, in both dialects the server speaks.

use std::time::{Duration, Instant};

use treering_provider::{Error, Hybrid, Settings, Summarizer};
use treering_tree::Summary;

use crate::job::{both, job, made_by, settings};
use crate::server::Server;

/// What each dialect makes of a server with these faults.
async fn outcomes(
    faults: &str,
    change: impl Fn(&mut Settings),
) -> Option<Vec<(Result<Summary, Error>, Duration)>> {
    let server = Server::shared()?;
    let mut outcomes = Vec::new();
    for at in 0..2 {
        let front = server.behind_faults(faults);
        let mut settings = settings(&front.url);
        change(&mut settings);
        let start = Instant::now();
        let outcome = both(&settings)[at].summarize(job(1, 30)).await;
        outcomes.push((outcome, start.elapsed()));
    }
    Some(outcomes)
}

async fn all_fail(faults: &str, change: impl Fn(&mut Settings), is_right: impl Fn(&Error) -> bool) {
    for (outcome, _) in outcomes(faults, change).await.unwrap_or_default() {
        let error = outcome.unwrap_err();
        assert!(is_right(&error), "{faults}: {error:?}");
    }
}

async fn all_reach(faults: &str, attempts: u32, least: Duration) {
    for (outcome, time) in outcomes(faults, |_| {}).await.unwrap_or_default() {
        let made_by = made_by(outcome.unwrap());
        assert_eq!(made_by["attempts"], attempts, "{faults}: {made_by}");
        assert!(made_by["usage"]["output"].as_u64().unwrap() > 0, "{made_by}");
        assert!(time >= least, "{faults}: after {time:?}");
    }
}

#[tokio::test]
async fn a_rate_limit_is_waited_for_as_long_as_it_says() {
    all_reach("429,ok", 2, Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_rate_limit_that_asks_too_much_is_told_at_once() {
    let hurried = |settings: &mut Settings| {
        settings.retries.longest_wait = Duration::from_millis(500);
    };
    let told = Error::RateLimited { after: Some(Duration::from_secs(1)) };
    all_fail("429,ok", hurried, |error| *error == told).await;
}

#[tokio::test]
async fn a_server_that_loads_is_waited_for() {
    all_reach("503,503,ok", 3, Duration::ZERO).await;
    all_reach("503,503,503,503,ok", 5, Duration::ZERO).await;
}

#[tokio::test]
async fn a_server_that_never_loads_is_unavailable() {
    let loading = |error: &Error| matches!(error, Error::Unavailable { detail, .. } if detail == "status 503: Loading model");
    let short = |settings: &mut Settings| settings.retries.loading_tries = 3;
    all_fail("503,503,503,ok", short, loading).await;
}

#[tokio::test]
async fn a_dropped_connection_is_tried_again() {
    all_reach("drop,ok", 2, Duration::ZERO).await;
    let unavailable = |error: &Error| matches!(error, Error::Unavailable { .. });
    all_fail("drop,drop,drop,ok", |_| {}, unavailable).await;
}

#[tokio::test]
async fn an_answer_cut_short_is_not_taken_for_whole() {
    let cut = |error: &Error| matches!(error, Error::Unavailable { detail, .. } if detail.contains("cut short"));
    all_fail("cut:300,ok", |_| {}, cut).await;
}

#[tokio::test]
async fn a_slow_server_runs_into_each_limit() {
    let hasty = |settings: &mut Settings| {
        settings.limits.first_byte = Duration::from_millis(200);
        settings.retries.tries = 1;
    };
    let late = Error::Timeout { what: "first byte", limit_ms: 200 };
    all_fail("slow:1,ok", hasty, |error| *error == late).await;
    let brief = |settings: &mut Settings| settings.limits.whole = Duration::from_millis(200);
    let over = Error::Timeout { what: "whole call", limit_ms: 200 };
    all_fail("slow:1,ok", brief, |error| *error == over).await;
}

#[tokio::test]
async fn the_ledger_stands_in_whatever_the_fault() {
    let Some(server) = Server::shared() else { return };
    for fault in ["429", "503", "drop", "cut:300", "slow:1"] {
        let front = server.behind_faults(&[fault; 4].join(","));
        let mut settings = settings(&front.url);
        settings.retries.tries = 1;
        settings.retries.loading_tries = 1;
        settings.limits.first_byte = Duration::from_millis(200);
        let [openai, _] = both(&settings);
        let summary = Hybrid::new(openai).summarize(job(1, 300)).await.unwrap();
        assert!(summary.text.starts_with("# Ledger of 1 entries"), "{fault}: {}", summary.text);
        assert!(made_by(summary)["fallback"].is_string(), "{fault}");
    }
}
