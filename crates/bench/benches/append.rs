//! Durable appends with 1, 8, 64 and 512 writers in a closed loop, each with a session of its own,
//! against peers behind the same kind of queue: one thread takes all that gathered, commits, answers.
//!
//! `cargo bench --bench append -- [PREFILL] [BODY_BYTES] [MILLISECONDS] [ENGINE]`

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark stops where it fails and prints"
)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use treering_bench::peers::{Item, Log, Peer, Sqlite};
use treering_bench::{body, compare, grow, options, store};
use treering_tree::{Body, Durability, Expect, Kind, Session, Sources, Store};

const WRITERS: [u64; 4] = [1, 8, 64, 512];
const ROUNDS: usize = 5;
const GROUP: usize = 512;

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|arg| arg.parse::<u64>().ok());
    let prefill = numbers.next().unwrap_or(0);
    let bytes = usize::try_from(numbers.next().unwrap_or(1_000)).unwrap();
    let span = Duration::from_millis(numbers.next().unwrap_or(400));
    let only = std::env::args().skip(1).find(|arg| arg.starts_with(char::is_alphabetic));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut engines = engines(&runtime, &folder, prefill, bytes);
    engines.retain(|(name, _)| only.as_ref().is_none_or(|only| name.contains(only.as_str())));
    for writers in WRITERS {
        let mut rows: Vec<(String, Box<dyn FnMut() -> f64 + '_>)> = Vec::new();
        for (name, engine) in &mut engines {
            let runtime = &runtime;
            rows.push((
                name.clone(),
                Box::new(move || rate(runtime, engine, writers, bytes, span)),
            ));
        }
        let title = format!("{writers} writers, {bytes} bytes, store of {prefill} entries");
        compare(&title, "1/s", ROUNDS, &mut rows);
    }
}

enum Engine {
    Tree {
        store: Arc<dyn Store>,
        next: AtomicU64,
    },
    Peer {
        queue: Option<mpsc::Sender<(Item, oneshot::Sender<()>)>>,
        thread: Option<JoinHandle<()>>,
    },
}

fn engines(
    runtime: &tokio::runtime::Runtime,
    folder: &tempfile::TempDir,
    prefill: u64,
    bytes: usize,
) -> Vec<(String, Engine)> {
    let tree = |name: &str, durability| {
        let store = store(folder, name, options().durability(durability));
        for session in 0..prefill.div_ceil(3_000) {
            let session =
                Session::new(Arc::clone(&store), format!("old {session}"), Sources::fixed(session));
            grow(runtime, &session, 3_000, bytes);
        }
        Engine::Tree { store, next: AtomicU64::new(0) }
    };
    let peer = |mut peer: Box<dyn Peer>| {
        for start in (0..prefill).step_by(5_000) {
            let item = |n| Item { session: n / 3_000, body: body(n, bytes) };
            peer.commit(&(start..start + 5_000).map(item).collect::<Vec<_>>());
        }
        let (queue, waiting) = mpsc::channel();
        let thread = std::thread::spawn(move || serve(&mut *peer, &waiting));
        Engine::Peer { queue: Some(queue), thread: Some(thread) }
    };
    let path = |name: &str| folder.path().join(name);
    vec![
        (
            "SQLite WAL FULL, UNIQUE(hash)".to_owned(),
            peer(Box::new(Sqlite::new(&path("a.sqlite"), true))),
        ),
        (
            "SQLite WAL FULL, no hash index".to_owned(),
            peer(Box::new(Sqlite::new(&path("b.sqlite"), false))),
        ),
        ("pre-zeroed log, fdatasync".to_owned(), peer(Box::new(Log::zeroed(&path("log"))))),
        ("JSON lines, fdatasync".to_owned(), peer(Box::new(Log::json_lines(&path("jsonl"))))),
        ("treering".to_owned(), tree("two-phase.redb", Durability::TwoPhase)),
        ("treering, relaxed".to_owned(), tree("relaxed.redb", Durability::Relaxed)),
    ]
}

/// One thread commits what gathered, as the store's own writer does.
fn serve(peer: &mut dyn Peer, waiting: &mpsc::Receiver<(Item, oneshot::Sender<()>)>) {
    while let Ok(first) = waiting.recv() {
        let rest = std::iter::from_fn(|| waiting.try_recv().ok()).take(GROUP - 1);
        let (items, answers): (Vec<Item>, Vec<_>) = std::iter::once(first).chain(rest).unzip();
        peer.commit(&items);
        for answer in answers {
            let _ = answer.send(());
        }
    }
}

/// Appends a second with `writers` tasks in a closed loop.
fn rate(
    runtime: &tokio::runtime::Runtime,
    engine: &mut Engine,
    writers: u64,
    bytes: usize,
    span: Duration,
) -> f64 {
    let stop = Arc::new(AtomicBool::new(false));
    let start = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| match engine {
            Engine::Tree { store, next } => {
                // Sources of their own, or two rounds would append the same entries.
                let seed = next.fetch_add(1, Ordering::Relaxed) + 1_000_000;
                let session =
                    Session::new(Arc::clone(store), format!("{writer}"), Sources::fixed(seed));
                runtime.spawn(append_to_tree(session, writer, bytes, Arc::clone(&stop)))
            }
            Engine::Peer { queue, .. } => {
                let queue = queue.clone().unwrap();
                runtime.spawn(append_to_peer(queue, writer, bytes, Arc::clone(&stop)))
            }
        })
        .collect();
    std::thread::sleep(span);
    stop.store(true, Ordering::Relaxed);
    let done: u64 = tasks.into_iter().map(|task| runtime.block_on(task).unwrap()).sum();
    #[allow(clippy::cast_precision_loss, reason = "a rate")]
    let rate = done as f64 / start.elapsed().as_secs_f64();
    rate
}

async fn append_to_tree(session: Session, writer: u64, bytes: usize, stop: Arc<AtomicBool>) -> u64 {
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        let draft = session.draft(Kind::User, Body::new("text", body(writer << 32 | done, bytes)));
        session.append(draft.tokens(100), Expect::Any).await.unwrap();
        done += 1;
    }
    done
}

async fn append_to_peer(
    queue: mpsc::Sender<(Item, oneshot::Sender<()>)>,
    writer: u64,
    bytes: usize,
    stop: Arc<AtomicBool>,
) -> u64 {
    static UNIQUE: AtomicU64 = AtomicU64::new(1 << 40);
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        let body = body(UNIQUE.fetch_add(1, Ordering::Relaxed), bytes);
        let (answer, answered) = oneshot::channel();
        queue.send((Item { session: writer, body }, answer)).unwrap();
        answered.await.unwrap();
        done += 1;
    }
    done
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Self::Peer { queue, thread } = self {
            drop(queue.take());
            thread.take().unwrap().join().unwrap();
        }
    }
}
