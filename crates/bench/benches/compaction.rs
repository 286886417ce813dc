//! Compaction beside appends: what a slow summarizer costs the appends made meanwhile, and what deciding
//! costs in sessions of growing length.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark stops where it fails and prints"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use treering_bench::{body, compare, grow, micros, options, store};
use treering_compactor::{Compactor, OnDrop, RunOptions};
use treering_policy::Preset;
use treering_provider::{ByteClasses, Summarizer, SummaryJob};
use treering_tree::{Body, Expect, Kind, Session, Sources, Summary};

const APPENDS: u64 = 1_000;
const ROUNDS: usize = 5;
const SUMMARIZING: Duration = Duration::from_secs(5);

/// Takes its time.
struct Slow;

#[async_trait::async_trait]
impl Summarizer for Slow {
    async fn summarize(&self, _: SummaryJob) -> treering_provider::Result<Summary> {
        tokio::time::sleep(SUMMARIZING).await;
        Ok(Summary { text: "what was".to_owned(), ..Summary::default() })
    }

    fn name(&self) -> &'static str {
        "slow"
    }
}

fn main() {
    let largest: u64 =
        std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(1_000_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    beside_appends(&runtime, &folder);
    deciding(&folder, largest);
}

fn compactor() -> Compactor {
    Compactor::new(Arc::new(ByteClasses::default()), Arc::new(Slow))
}

/// Latencies of appends, without and with a compaction in flight, in rounds by turns.
fn beside_appends(runtime: &tokio::runtime::Runtime, folder: &tempfile::TempDir) {
    let store = store(folder, "beside", options());
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        for (samples, compacts) in [(&mut alone, false), (&mut beside, true)] {
            let name = format!("{round} {compacts}");
            let session = Session::new(Arc::clone(&store), name, Sources::fixed(round as u64));
            grow(runtime, &session, 2_000, 200);
            runtime.block_on(appends(&session, compacts, samples));
        }
    }
    println!("\n{APPENDS} appends, {ROUNDS} rounds, us      median       p99");
    let of = |samples: &mut Vec<f64>, per_cent: usize| {
        samples.sort_by(f64::total_cmp);
        samples[samples.len() * per_cent / 100]
    };
    let rows = [("no compaction", &mut alone), ("a summarizer of 5 s meanwhile", &mut beside)];
    let figures = rows.map(|(name, samples)| {
        let figures = (of(samples, 50), of(samples, 99));
        println!("  {name:<34} {:>10.1} {:>10.1}", figures.0, figures.1);
        figures
    });
    let [alone, beside] = figures;
    println!("  ratio {:>38.2} {:>10.2}", beside.0 / alone.0, beside.1 / alone.1);
}

async fn appends(session: &Session, compacts: bool, samples: &mut Vec<f64>) {
    let policy = Preset::Recommended.policy(100_000);
    let run = RunOptions { force: true, ..RunOptions::default() };
    let compactor = compactor();
    let mut handle = None;
    if compacts {
        let started = compactor.start(session, &policy, &run, OnDrop::Cancel).await.unwrap();
        // Into the summarizer before the first append.
        tokio::time::sleep(Duration::from_millis(300)).await;
        handle = Some(started);
    }
    let start = Instant::now();
    for nth in 0..APPENDS {
        let draft = session.draft(Kind::Note, Body::new("text", body(nth, 200))).tokens(100);
        let before = Instant::now();
        session.append(draft, Expect::Any).await.unwrap();
        samples.push(before.elapsed().as_secs_f64() * 1e6);
    }
    let took = start.elapsed();
    if let Some(mut handle) = handle {
        let head = session.head().await.unwrap();
        let landed = handle.result().await.unwrap().entry.unwrap();
        let stored = session.store().entries(&[landed]).await.unwrap().remove(0).unwrap();
        let behind = took > SUMMARIZING || stored.entry.envelope().parent == head;
        assert!(behind, "it did not land behind the appends");
    }
}

/// Whether and where to compact, the end of the context in view.
fn deciding(folder: &tempfile::TempDir, largest: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let policy = Preset::Recommended.policy(100_000);
    let sizes = [1_000, 100_000, 1_000_000].into_iter().filter(|size| *size <= largest);
    let sessions: Vec<(u64, Session)> = sizes
        .map(|entries| {
            let store = store(folder, &format!("{entries}"), options());
            let session = Session::new(store, "long", Sources::fixed(2));
            grow(&runtime, &session, entries, 64);
            (entries, session)
        })
        .collect();
    let compactor = compactor();
    let mut rows: Vec<treering_bench::Row<'_>> = Vec::new();
    for (entries, session) in &sessions {
        let (compactor, policy, runtime) = (&compactor, &policy, &runtime);
        rows.push((
            format!("{entries} entries"),
            Box::new(move || {
                micros(Duration::from_millis(60), || {
                    let cut = runtime.block_on(compactor.decide(session, policy)).unwrap();
                    assert!(cut.is_ok());
                })
            }),
        ));
    }
    compare("whether and where to compact", "us", 9, &mut rows);
}
