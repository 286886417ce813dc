//! Summarizers around summarizers: one after another, in turn, chunk by chunk.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use treering_provider::{
    Caller, Error, Fallback, Folding, JobEntry, Ledger, Limited, Permits, Result, Scripted,
    Summarizer, SummaryJob,
};
use treering_tree::{Kind, Message, Role, Summary};

use crate::samples;

fn job(entries: usize, words: usize) -> SummaryJob {
    let entry = |at: usize| JobEntry {
        id: samples::id(at),
        kind: if at.is_multiple_of(2) { Kind::User } else { Kind::Assistant },
        turn: at as u64 / 2 + 1,
        tokens: 10,
        message: Message::text(Role::User, format!("entry{at} {}", "word ".repeat(words))),
    };
    SummaryJob {
        entries: (0..entries).map(entry).collect(),
        budget_tokens: 300,
        ..SummaryJob::default()
    }
}

fn script(replies: impl IntoIterator<Item = Result<&'static str>>) -> Arc<Scripted> {
    Arc::new(Scripted::new(replies.into_iter().map(|reply| reply.map(str::to_owned))))
}

#[tokio::test]
async fn the_second_is_asked_when_the_first_fails() {
    let refused = Error::Refused { detail: "no such model".into() };
    let fallback = Fallback::new(script([Err(refused), Err(Error::Cancelled)]), Ledger::new());
    let summary = fallback.summarize(job(2, 5)).await.unwrap();
    let made_by = summary.made_by.unwrap();
    assert_eq!(made_by["fallback"], "refused by the provider: no such model");
    assert_eq!(made_by["instead_of"], "scripted");
    assert_eq!(fallback.summarize(job(2, 5)).await, Err(Error::Cancelled));
}

/// Counts how many of its calls run at once.
#[derive(Default)]
struct Busy {
    running: std::sync::atomic::AtomicUsize,
    most: std::sync::atomic::AtomicUsize,
}

#[async_trait]
impl Summarizer for Busy {
    async fn summarize(&self, _: SummaryJob) -> Result<Summary> {
        use std::sync::atomic::Ordering::SeqCst;
        let running = self.running.fetch_add(1, SeqCst) + 1;
        self.most.fetch_max(running, SeqCst);
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.running.fetch_sub(1, SeqCst);
        Ok(Summary { text: "done".into(), ..Summary::default() })
    }

    fn name(&self) -> &'static str {
        "busy"
    }
}

#[tokio::test]
async fn calls_take_turns_per_endpoint_and_model() {
    let (permits, busy) = (Permits::new(), Arc::new(Busy::default()));
    let limited = || Limited::new(busy.clone(), &permits, "http://localhost", "tiny", 1);
    let (one, two) = (limited(), limited());
    let both = tokio::join!(one.summarize(job(1, 1)), two.summarize(job(1, 1)));
    assert!(both.0.is_ok() && both.1.is_ok());
    assert_eq!(busy.most.load(std::sync::atomic::Ordering::SeqCst), 1);
}

/// Never answers the first call.
#[derive(Default)]
struct Stuck(std::sync::atomic::AtomicBool);

#[async_trait]
impl Summarizer for Stuck {
    async fn summarize(&self, _: SummaryJob) -> Result<Summary> {
        if !self.0.swap(true, std::sync::atomic::Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Ok(Summary { text: "done".into(), ..Summary::default() })
    }

    fn name(&self) -> &'static str {
        "stuck"
    }
}

#[tokio::test]
async fn a_deadline_is_kept_and_the_permit_given_back() {
    let (permits, stuck) = (Permits::new(), Arc::new(Stuck::default()));
    let limited = || Limited::new(stuck.clone(), &permits, "http://localhost", "tiny", 1);
    let hasty = limited().deadline(Duration::from_millis(1)).summarize(job(1, 1)).await;
    assert_eq!(hasty, Err(Error::Timeout { what: "whole call", limit_ms: 1 }));
    assert!(limited().summarize(job(1, 1)).await.is_ok());
}

#[tokio::test]
async fn a_large_head_is_folded_at_turns_into_a_running_summary() {
    let script = script([Ok("one"), Ok("two"), Ok("three")]);
    let summary = Folding::new(script.clone(), 2_000).summarize(job(10, 200)).await.unwrap();
    assert_eq!(summary.text, "three");
    assert_eq!(summary.made_by.unwrap()["chunks"], 3);
    let jobs = script.jobs();
    let lengths: Vec<usize> = jobs.iter().map(|job| job.entries.len()).collect();
    assert_eq!(lengths, [4, 4, 2]);
    assert_eq!(jobs[2].previous.as_ref().unwrap().text, "two");
    assert!(jobs.iter().all(|job| job.entries[0].kind == Kind::User));
}

#[tokio::test]
async fn an_overflow_shrinks_the_chunk_by_its_numbers() {
    let overflow = Error::Overflow { prompt: Some(2_000), limit: Some(1_000) };
    let script = script([Err(overflow), Ok("a"), Ok("b"), Ok("c"), Ok("d")]);
    let summary = Folding::new(script.clone(), 4_000).summarize(job(10, 200)).await.unwrap();
    let lengths: Vec<usize> = script.jobs().iter().map(|job| job.entries.len()).collect();
    assert_eq!(lengths, [10, 4, 4, 2]);
    assert_eq!(summary.made_by.unwrap()["shrinks"], 1);
}

#[tokio::test]
async fn a_model_that_always_overflows_is_given_up() {
    let overflow = Error::Overflow { prompt: None, limit: None };
    let script = script((0..9).map(|_| Err(overflow.clone())));
    let result = Folding::new(script.clone(), 4_000).summarize(job(10, 200)).await;
    assert_eq!(result, Err(overflow));
    assert_eq!(script.jobs().len(), 6);
}

#[tokio::test]
async fn many_chunks_are_summarized_apart_and_then_together() {
    let script = script((0..40).map(|_| Ok("partial")));
    let summary = Folding::new(script.clone(), 2_000).summarize(job(60, 200)).await.unwrap();
    let jobs = script.jobs();
    assert!(jobs[..15].iter().all(|job| job.previous.is_none()));
    assert_eq!(jobs.len(), 16);
    assert_eq!(jobs[15].entries.len(), 15);
    assert_eq!(summary.text, "partial");
}

#[tokio::test]
async fn an_entry_larger_than_the_window_is_cut_with_a_mark() {
    let script = script([Ok("one"), Ok("two")]);
    Folding::new(script.clone(), 2_000).summarize(job(1, 20_000)).await.unwrap();
    let entry = &script.jobs()[0].entries[0];
    let shown = treering_provider::transcript(std::slice::from_ref(entry), 2_000);
    assert!(shown.contains("bytes left out"), "{}", shown.len());
    assert!(shown.len() < 4_000, "{}", shown.len());
}

#[tokio::test]
async fn many_chunks_are_summarized_at_once() {
    let busy = Arc::new(Busy::default());
    Folding::new(busy.clone(), 2_000).summarize(job(60, 200)).await.unwrap();
    assert_eq!(busy.most.load(std::sync::atomic::Ordering::SeqCst), 4);
}

/// Overflows on a transcript of more than so many bytes.
struct Narrow(usize);

#[async_trait]
impl Summarizer for Narrow {
    async fn summarize(&self, job: SummaryJob) -> Result<Summary> {
        if treering_provider::transcript(&job.entries, 2_000).len() > self.0 {
            return Err(Error::Overflow { prompt: None, limit: None });
        }
        let said = |entry: &JobEntry| match &entry.message.parts[0] {
            treering_tree::Part::Text { text } => {
                text.split_whitespace().next().unwrap().to_owned()
            }
            _ => String::new(),
        };
        let mut texts: Vec<String> =
            job.previous.iter().map(|previous| previous.text.clone()).collect();
        texts.extend(job.entries.iter().map(said));
        Ok(Summary { text: texts.join(","), ..Summary::default() })
    }

    fn name(&self) -> &'static str {
        "narrow"
    }
}

#[tokio::test]
async fn chunks_that_overflow_are_parted_anew_and_nothing_is_left_out() {
    for window in [2_000, 4_000, u64::MAX] {
        let summary = Folding::new(Narrow(3_500), window).summarize(job(60, 200)).await.unwrap();
        let expected: Vec<String> = (0..60).map(|at| format!("entry{at}")).collect();
        assert_eq!(summary.text, expected.join(","), "{window}");
    }
}

/// Takes its time, and notes when it begins and ends.
struct Slow(Arc<std::sync::Mutex<Vec<String>>>);

impl Slow {
    fn note(&self, what: &str, nth: u64) {
        self.0.lock().unwrap().push(format!("{what} {nth}"));
    }
}

#[async_trait]
impl Summarizer for Slow {
    async fn summarize(&self, job: SummaryJob) -> Result<Summary> {
        let nth = u64::from(job.budget_tokens);
        self.note("begins", nth);
        tokio::time::sleep(Duration::from_millis(30)).await;
        self.note("ends", nth);
        Ok(Summary::default())
    }

    fn name(&self) -> &'static str {
        "slow"
    }
}

#[tokio::test(start_paused = true)]
async fn turns_pass_waiting_compactions_and_every_compaction_gets_its_turn() {
    let (permits, seen) = (Permits::new(), Arc::new(std::sync::Mutex::new(Vec::new())));
    let limited = Limited::new(Slow(Arc::clone(&seen)), &permits, "here", "tiny", 1);
    let compactions = (0..3).map(|nth| {
        let job = SummaryJob { budget_tokens: nth, ..SummaryJob::default() };
        limited.summarize(job)
    });
    let gate = permits.of("here", "tiny", 1);
    // The main conversations of several sessions: as soon as one has its answer it asks again.
    let talking = async |_: u32| {
        let mut longest_wait = Duration::ZERO;
        for _ in 0..20 {
            let asked = tokio::time::Instant::now();
            let permit = gate.take(Caller::Turn).await;
            longest_wait = longest_wait.max(asked.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
            drop(permit);
        }
        longest_wait
    };
    let talks = futures_util::future::join_all((0..2).map(talking));
    let (waits, summaries) =
        futures_util::future::join(talks, futures_util::future::join_all(compactions)).await;
    assert!(summaries.iter().all(Result::is_ok));
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen, ["begins 0", "ends 0", "begins 1", "ends 1", "begins 2", "ends 2"]);
    // No turn waited for more than the summary that was running and the other talk's turn.
    assert!(waits.iter().all(|wait| wait.as_millis() <= 30 + 2 * 5), "{waits:?}");
}
