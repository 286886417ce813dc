//! Durable appends with 1, 8, 64 and 512 writers in a closed loop, each with a session of its own,
//! against peers behind the same kind of queue: one thread takes all that gathered, commits, answers.
//!
//! `cargo bench --bench append -- [prefill=N] [bytes=N|mix] [ms=N] [rounds=N] [writers=N] [engines=TEXT+TEXT]`
//!
//! Beside the rate of each engine it prints what this process wrote to files for each append: all
//! engines but one stand idle meanwhile. At the end, what each engine's files take on the disk for each
//! byte of body appended.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark stops where it fails and prints"
)]

use std::cell::Cell;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use treering_bench::peers::{Item, Log, Peer, Sqlite};
use treering_bench::{Sizes, compare, grow, options, store, written_bytes};
use treering_tree::{Body, Durability, Expect, Kind, Session, Sources, Store};

const GROUP: usize = 512;

/// What is asked for on the command line, as `name=value`.
struct Asked(Vec<String>);

impl Asked {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|arg| arg.strip_prefix(name)?.strip_prefix('='))
    }

    fn number(&self, name: &str, default: u64) -> u64 {
        self.text(name).map_or(default, |text| text.parse().unwrap())
    }
}

/// Makes an engine in a folder.
type Make<'m> = &'m dyn Fn(&str) -> Engine;

fn main() {
    let asked = Asked(std::env::args().skip(1).collect());
    let prefill = asked.number("prefill", 0);
    let sizes = Sizes::of(asked.text("bytes").unwrap_or("1000"));
    let span = Duration::from_millis(asked.number("ms", 400));
    let rounds = usize::try_from(asked.number("rounds", 5)).unwrap();
    let counts = asked.text("writers").map_or(vec![1, 8, 64, 512], |n| vec![n.parse().unwrap()]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let wanted = |name: &str| {
        asked.text("engines").is_none_or(|some| some.split('+').any(|part| name.contains(part)))
    };
    let mut engines = engines(&runtime, &folder, prefill, sizes, &wanted);
    let mut bodies = vec![prefill * sizes.mean_bytes(); engines.len()];
    for writers in counts {
        let written: Vec<Cell<(u64, u64)>> = vec![Cell::default(); engines.len()];
        let mut rows: Vec<(String, Box<dyn FnMut() -> f64 + '_>)> = Vec::new();
        for ((name, _, engine), written) in engines.iter_mut().zip(&written) {
            let runtime = &runtime;
            rows.push((
                name.clone(),
                Box::new(move || rate(runtime, engine, writers, sizes, span, written)),
            ));
        }
        let title = format!("{writers} writers, {sizes:?}, store of {prefill} entries");
        compare(&title, "1/s", rounds, &mut rows);
        println!("  bytes written for each append:");
        for (((name, _), written), bodies) in rows.iter().zip(&written).zip(&mut bodies) {
            let (appends, bytes) = written.get();
            *bodies += appends * sizes.mean_bytes();
            println!("  {name:<44} {:>12}", bytes / appends.max(1));
        }
    }
    println!("\n  bytes on the disk for each byte of a body:");
    for ((name, file, _), bodies) in engines.iter().zip(bodies) {
        let bytes = disk_bytes(folder.path(), file);
        #[allow(clippy::cast_precision_loss, reason = "a ratio")]
        let ratio = bytes as f64 / bodies.max(1) as f64;
        println!("  {name:<44} {ratio:>12.2}");
    }
}

/// What the files whose names begin so take on the disk.
fn disk_bytes(folder: &Path, prefix: &str) -> u64 {
    let files = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let ours = files.filter(|file| file.file_name().to_string_lossy().starts_with(prefix));
    ours.map(|file| file.metadata().unwrap().blocks() * 512).sum()
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
    sizes: Sizes,
    wanted: &dyn Fn(&str) -> bool,
) -> Vec<(String, &'static str, Engine)> {
    let filled = |store: Arc<dyn Store>| {
        for session in 0..prefill.div_ceil(3_000) {
            let session =
                Session::new(Arc::clone(&store), format!("old {session}"), Sources::fixed(session));
            grow(runtime, &session, 3_000, sizes);
        }
        Engine::Tree { store, next: AtomicU64::new(0) }
    };
    let tree =
        |name: &str, durability| filled(store(folder, name, options().durability(durability)));
    let peer = |mut peer: Box<dyn Peer>| {
        for start in (0..prefill).step_by(5_000) {
            let item = |n| Item { session: n / 3_000, body: sizes.body(n) };
            peer.commit(&(start..start + 5_000).map(item).collect::<Vec<_>>());
        }
        let (queue, waiting) = mpsc::channel();
        let thread = std::thread::spawn(move || serve(&mut *peer, &waiting));
        Engine::Peer { queue: Some(queue), thread: Some(thread) }
    };
    let path = |name: &str| folder.path().join(name);
    let sqlite = |file: &str, unique| peer(Box::new(Sqlite::new(&path(file), unique)));
    let grouped = Durability::Grouped(Duration::from_millis(10));
    let (logged, full, relaxed) = (Durability::Logged, Durability::TwoPhase, Durability::Relaxed);
    // Name, name of its files, how it is made.
    let all: [(&str, &'static str, Make<'_>); 8] = [
        ("SQLite WAL FULL, UNIQUE(hash)", "a.sqlite", &|file| sqlite(file, true)),
        ("SQLite WAL FULL, no hash index", "b.sqlite", &|file| sqlite(file, false)),
        ("pre-zeroed log, fdatasync", "log", &|file| peer(Box::new(Log::zeroed(&path(file))))),
        ("JSON lines, fdatasync", "jsonl", &|file| peer(Box::new(Log::json_lines(&path(file))))),
        ("treering, logged (default)", "tree", &|file| tree(file, logged)),
        ("treering, grouped by 10 ms", "lag", &|file| tree(file, grouped)),
        ("treering, two-phase", "two", &|file| tree(file, full)),
        ("treering, relaxed", "one", &|file| tree(file, relaxed)),
    ];
    let wanted = all.iter().filter(|(name, ..)| wanted(name));
    wanted.map(|(name, file, make)| ((*name).to_owned(), *file, make(file))).collect()
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
    sizes: Sizes,
    span: Duration,
    written: &Cell<(u64, u64)>,
) -> f64 {
    let written_before = written_bytes();
    let stop = Arc::new(AtomicBool::new(false));
    let start = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| match engine {
            Engine::Tree { store, next } => {
                // Sources of their own, or two rounds would append the same entries.
                let seed = next.fetch_add(1, Ordering::Relaxed) + 1_000_000;
                let session =
                    Session::new(Arc::clone(store), format!("{writer}"), Sources::fixed(seed));
                runtime.spawn(append_to_tree(session, writer, sizes, Arc::clone(&stop)))
            }
            Engine::Peer { queue, .. } => {
                let queue = queue.clone().unwrap();
                runtime.spawn(append_to_peer(queue, writer, sizes, Arc::clone(&stop)))
            }
        })
        .collect();
    std::thread::sleep(span);
    stop.store(true, Ordering::Relaxed);
    let done: u64 = tasks.into_iter().map(|task| runtime.block_on(task).unwrap()).sum();
    let (appends, bytes) = written.get();
    written.set((appends + done, bytes + written_bytes() - written_before));
    #[allow(clippy::cast_precision_loss, reason = "a rate")]
    let rate = done as f64 / start.elapsed().as_secs_f64();
    rate
}

async fn append_to_tree(session: Session, writer: u64, sizes: Sizes, stop: Arc<AtomicBool>) -> u64 {
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        let draft = session.draft(Kind::User, Body::new("text", sizes.body(writer << 32 | done)));
        session.append(draft.tokens(100), Expect::Any).await.unwrap();
        done += 1;
    }
    done
}

async fn append_to_peer(
    queue: mpsc::Sender<(Item, oneshot::Sender<()>)>,
    writer: u64,
    sizes: Sizes,
    stop: Arc<AtomicBool>,
) -> u64 {
    static UNIQUE: AtomicU64 = AtomicU64::new(1 << 40);
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        let body = sizes.body(UNIQUE.fetch_add(1, Ordering::Relaxed));
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
