//! Reads in stores of growing length: the context of a kept tail, decisions about the history, opening.
//! What must not grow with the history is printed as a ratio to the shortest store.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark stops where it fails and prints"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use treering_bench::{compare, grow, micros, options, store};
use treering_tree::{Body, Context, Expect, Id, Kind, Seek, Session, Sources, Store};

const BUDGET: Duration = Duration::from_millis(60);
const ROUNDS: usize = 9;

struct Grown {
    entries: u64,
    store: Arc<dyn Store>,
    head: Id,
    middle: Id,
}

fn main() {
    let largest: u64 =
        std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(1_000_000);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sizes: Vec<u64> =
        [1_000, 100_000, 1_000_000].into_iter().filter(|n| *n <= largest).collect();
    let grown: Vec<Grown> =
        sizes.iter().map(|entries| grown(&runtime, &folder, *entries)).collect();
    context(&runtime, &grown);
    decisions(&runtime, &grown);
    drop(grown);
    opening(&folder, &sizes);
}

/// A session that ends in a compaction which keeps 200 entries.
fn grown(runtime: &tokio::runtime::Runtime, folder: &tempfile::TempDir, entries: u64) -> Grown {
    let store = store(folder, &entries.to_string(), options());
    let session = Session::new(Arc::clone(&store), "long", Sources::fixed(2));
    let start = Instant::now();
    let ids = grow(runtime, &session, entries, 200);
    println!("{entries} entries appended in {:.1} s", start.elapsed().as_secs_f64());
    let kept = ids[ids.len() - 200];
    let summary = session.draft(Kind::Compaction, Body::new("text", "summary")).target(kept);
    let head = runtime.block_on(session.append(summary, Expect::Any)).unwrap().ids[0];
    Grown { entries, store, head, middle: ids[ids.len() / 2] }
}

fn context(runtime: &tokio::runtime::Runtime, grown: &[Grown]) {
    let mut rows: Vec<(String, Box<dyn FnMut() -> f64>)> = Vec::new();
    for Grown { entries, store, head, .. } in grown {
        rows.push((
            format!("{entries} entries"),
            Box::new(move || {
                micros(BUDGET, || {
                    let context = runtime.block_on(Context::at(&**store, *head)).unwrap();
                    assert_eq!(context.items.len(), 201);
                })
            }),
        ));
    }
    compare("context of a 200-entry tail", "us", ROUNDS, &mut rows);
}

fn decisions(runtime: &tokio::runtime::Runtime, grown: &[Grown]) {
    let question = |title: &str, ask: &dyn Fn(&Grown) -> Seek| {
        let mut rows: Vec<(String, Box<dyn FnMut() -> f64>)> = Vec::new();
        for one in grown {
            let seek = ask(one);
            rows.push((
                format!("{} entries", one.entries),
                Box::new(move || {
                    micros(BUDGET, || {
                        runtime.block_on(one.store.seek(one.head, &[seek])).unwrap();
                    })
                }),
            ));
        }
        compare(title, "us", ROUNDS, &mut rows);
    };
    let mut rows: Vec<(String, Box<dyn FnMut() -> f64>)> = Vec::new();
    for one in grown {
        rows.push((
            format!("{} entries", one.entries),
            Box::new(move || {
                micros(BUDGET, || {
                    runtime.block_on(one.store.measure(one.head)).unwrap();
                })
            }),
        ));
    }
    compare("is it time (measure)", "us", ROUNDS, &mut rows);
    question("where to cut (start of the 6th last turn)", &|one| Seek::Turn(one.entries / 4 - 5));
    question("where to cut (tail of 20,000 tokens)", &|_| Seek::TokensAtMost(20_000));
    question("is-ancestor of the middle", &|one| Seek::Entry(one.middle));
    question("common ancestor with the middle", &|one| Seek::Common(one.middle));
}

fn opening(folder: &tempfile::TempDir, sizes: &[u64]) {
    let mut rows: Vec<(String, Box<dyn FnMut() -> f64>)> = Vec::new();
    for entries in sizes {
        rows.push((
            format!("{entries} entries"),
            Box::new(move || {
                let start = Instant::now();
                let opened = store(folder, &entries.to_string(), options());
                let took = start.elapsed().as_secs_f64() * 1e3;
                drop(opened);
                took
            }),
        ));
    }
    compare("opening after a clean close", "ms", ROUNDS, &mut rows);
}
