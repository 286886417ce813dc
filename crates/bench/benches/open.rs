//! Opening a store: after a clean close, after a kill while nothing was going on, after a kill in the
//! middle of commits and after one behind many of them. Beside that what a store takes: bytes on the
//! disk, memory, and how its file grows while a reader holds an old state. This binary starts itself
//! again to be killed.
//!
//! `cargo bench --bench open -- [largest=N] [bytes=N|mix] [rounds=N]`

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark stops where it fails and prints"
)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::runtime::Runtime;
use treering_bench::{Asked, Row, Sizes, compare, disk_bytes, grow, options, store};
use treering_tree::{
    Body, Context, Draft, Expect, Id, Kind, RedbStore, Session, Sources, Store, Stored,
};

/// Entries that the context at the end keeps.
const KEPT: usize = 10_000;
/// Commits of a child before it is killed.
const COMMITS: u64 = 200;
/// Callers of a busy one, and appends of each: together just fewer than the index merges at once, so that all have to be
/// read back.
const CALLERS: u64 = 64;
const APPENDS: u64 = 1_000;
/// By when a store that is left alone has made its checkpoint.
const IDLE: Duration = Duration::from_millis(600);
/// What a child that idles has time for, were it not killed.
const UNTIL_KILLED: Duration = Duration::from_secs(600);
/// Appends beside a reader, at least.
const BESIDE: u64 = 2_000;

fn main() {
    let asked = Asked::from_args();
    let sizes = Sizes::of(asked.text("bytes").unwrap_or("1000"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    if let Some(role) = asked.text("child") {
        return child(&runtime, role, Path::new(asked.text("file").unwrap()), sizes);
    }
    let rounds = usize::try_from(asked.number("rounds", 5)).unwrap();
    let largest = asked.number("largest", 1_000_000);
    for entries in [100_000, 1_000_000].into_iter().filter(|entries| *entries <= largest) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store");
        fill(&runtime, &folder, entries, sizes);
        let payload = entries * sizes.mean_bytes();
        println!(
            "\nstore of {entries} entries of {sizes:?}: {} bytes of bodies, {} on the disk, {:.3} each",
            payload,
            disk_bytes(&file),
            ratio(disk_bytes(&file), payload)
        );
        opening(&runtime, &folder, entries, rounds, sizes);
        memory(&file, sizes);
        beside_a_reader(&runtime, &folder, sizes);
    }
}

fn fill(runtime: &Runtime, folder: &TempDir, entries: u64, sizes: Sizes) {
    let store = store(folder, "store", options());
    let session = Session::new(store, "long", Sources::fixed(2));
    let ids = grow(runtime, &session, entries, sizes);
    let kept = ids[ids.len() - KEPT];
    let summary = session.draft(Kind::Compaction, Body::new("text", "summary")).target(kept);
    runtime.block_on(session.append(summary, Expect::Any)).unwrap();
}

fn opening(runtime: &Runtime, folder: &TempDir, entries: u64, rounds: usize, sizes: Sizes) {
    let file = folder.path().join("store");
    let timed = || {
        let start = Instant::now();
        let opened = store(folder, "store", options());
        let took = start.elapsed().as_secs_f64() * 1e3;
        drop(opened);
        took
    };
    let killed = |role: &str, after: Duration| {
        let mut child = spawn(role, &file, sizes);
        told(&mut child);
        std::thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
        timed()
    };
    let many_killed = || {
        let took = killed("many", Duration::ZERO);
        // Who writes once more and closes it merges what the others are not to be charged for.
        let session = Session::new(store(folder, "store", options()), "after", Sources::system());
        let draft = session.draft(Kind::Note, Body::new("text", "after"));
        runtime.block_on(session.append(draft, Expect::Any)).unwrap();
        took
    };
    let mut rows: Vec<Row<'_>> = vec![
        ("a clean close".into(), Box::new(timed)),
        ("a kill while idle".into(), Box::new(|| killed("idle", IDLE))),
        ("a kill in the middle of commits".into(), Box::new(|| killed("append", Duration::ZERO))),
        ("a kill behind 64,000 appends".into(), Box::new(many_killed)),
    ];
    compare(&format!("opening {entries} entries after"), "ms", rounds, &mut rows);
}

/// What a process of its own holds in memory with the store.
fn memory(file: &Path, sizes: Sizes) {
    let mut child = spawn("read", file, sizes);
    println!("\nresident memory of a process that");
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        println!("  {}", line.unwrap());
    }
    child.wait().unwrap();
}

/// How the file grows while appends go on, beside a reader that holds one state all the time and without.
fn beside_a_reader(runtime: &Runtime, folder: &TempDir, sizes: Sizes) {
    let file = folder.path().join("store");
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(&file, options()).unwrap());
    let session = Session::new(Arc::clone(&store), "beside", Sources::fixed(8));
    let mut next = 0;
    let mut append = |until: &dyn Fn(u64) -> bool| {
        let (before, start) = (disk_bytes(&file), Instant::now());
        let mut appends = 0;
        while !until(appends) {
            let draft = session.draft(Kind::Note, Body::new("text", sizes.body(next)));
            runtime.block_on(session.append(draft, Expect::Any)).unwrap();
            (appends, next) = (appends + 1, next + 1);
        }
        (appends, disk_bytes(&file) - before, start.elapsed())
    };
    println!("\nappends of one entry each        appends  seconds   grown, KiB   bytes for each");
    let row = |what: &str, (appends, bytes, took): (u64, u64, Duration)| {
        let (seconds, kib) = (took.as_secs_f64(), bytes >> 10);
        println!("  {what:<30} {appends:>8} {seconds:>8.1} {kib:>12} {:>16}", bytes / appends);
    };
    row("before", append(&|appends| appends >= BESIDE));
    let done = AtomicBool::new(false);
    let beside = std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            assert!(runtime.block_on(store.verify()).unwrap().problems.is_empty());
            done.store(true, Ordering::Release);
        });
        append(&|appends| appends >= BESIDE && done.load(Ordering::Acquire))
    });
    row("while `verify` reads all", beside);
    row("after it", append(&|appends| appends >= beside.0));
}

fn spawn(role: &str, file: &Path, sizes: Sizes) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let bytes = match sizes {
        Sizes::Bytes(bytes) => bytes.to_string(),
        Sizes::Mixed => "mix".to_owned(),
    };
    command.arg(format!("child={role}")).arg(format!("file={}", file.display()));
    command.arg(format!("bytes={bytes}")).stdout(Stdio::piped()).spawn().unwrap()
}

/// Waits for a line of a child.
fn told(child: &mut Child) {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "committed\n");
}

/// What a process does until it is killed, or has told what it holds.
fn child(runtime: &Runtime, role: &str, file: &Path, sizes: Sizes) {
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(file, options()).unwrap());
    let session = Session::new(Arc::clone(&store), "long", Sources::system());
    match role {
        "read" => return read(runtime, &store, &session),
        "many" => return runtime.block_on(many(&store, sizes)),
        _ => {}
    }
    for commits in 1.. {
        let draft: Draft = session.draft(Kind::Note, Body::new("text", sizes.body(commits)));
        runtime.block_on(session.append(draft, Expect::Any)).unwrap();
        if commits == COMMITS {
            println!("committed");
            if role == "idle" {
                std::thread::sleep(UNTIL_KILLED);
            }
        }
    }
}

/// Many callers append at a time until the process is killed, with no pause behind.
async fn many(store: &Arc<dyn Store>, sizes: Sizes) {
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let session = Session::new(Arc::clone(store), format!("{caller}"), Sources::system());
            tokio::spawn(async move {
                for nth in 0..APPENDS {
                    let body = Body::new("text", sizes.body(caller * APPENDS + nth));
                    session.append(session.draft(Kind::Note, body), Expect::Any).await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    println!("committed");
    std::thread::sleep(UNTIL_KILLED);
}

fn read(runtime: &Runtime, store: &Arc<dyn Store>, session: &Session) {
    let told = |what: &str| println!("{what:<40} {:>8} KiB", resident_kib());
    told("has opened it");
    let head: Id = runtime.block_on(session.head()).unwrap().unwrap();
    let context = runtime.block_on(Context::at(&**store, head)).unwrap();
    told(&format!("has a context of {} items", context.items.len()));
    drop(context);
    runtime.block_on(async {
        let mut replay = session.replay().await.unwrap();
        loop {
            let page: Vec<Stored> = replay.next_page().await.unwrap();
            if page.is_empty() {
                return;
            }
        }
    });
    told("has replayed it");
}

/// 0 where the system does not tell.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
}

#[allow(clippy::cast_precision_loss, reason = "a ratio")]
fn ratio(bytes: u64, of: u64) -> f64 {
    bytes as f64 / of.max(1) as f64
}
