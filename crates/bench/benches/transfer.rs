//! Sessions of other tools, into a store and out again: the largest samples beside plain JSON parsing of
//! the same bytes, then made-up sessions as large as asked for (`-- MEGABYTES [FORMAT]`), with the
//! memory that takes and the context of the kept tail. `-- FILE` does the same with a session at hand.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark stops where it fails and prints"
)]

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Runtime;
use treering_bench::sessions::{self, Tool};
use treering_bench::store;
use treering_interchange::{Export, Input, Options, load};
use treering_provider::{ByteClasses, TokenCounter as _, count_message};
use treering_tree::{Context, Counted, Counter, Message, Store};

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/samples");
/// The largest sample of each kind of tool.
const LARGEST: [&str; 5] = [
    "claude-code/episodic-long.jsonl",
    "pi/large-session.jsonl",
    "swe-agent/marshmallow-1867-fc.traj",
    "kimi/kimi-code-large-100msgs-wire.jsonl",
    "codex/agent-sessions-small.jsonl",
];
/// What the command line keeps in memory of a store's pages and entries.
const PAGES_BYTES: usize = 48 << 20;
const ENTRIES_BYTES: u64 = 16 << 20;
const ROUNDS: usize = 15;
const DEFAULT_MEGABYTES: u64 = 1_000;
const MEGABYTE: u64 = 1_000_000;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let megabytes = args.iter().find_map(|arg| arg.parse().ok()).unwrap_or(DEFAULT_MEGABYTES);
    let asked: Vec<Tool> =
        Tool::ALL.into_iter().filter(|tool| args.iter().any(|arg| arg == tool.name())).collect();
    // Import keeps one core busy reading and one writing, whatever the runtime has.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    println!("MB/s                                            bytes   JSON  import  export");
    let files: Vec<&Path> = args.iter().map(Path::new).filter(|path| path.is_file()).collect();
    if !files.is_empty() {
        for path in files {
            transfer(&runtime, &path.display().to_string(), path);
        }
        return;
    }
    if asked.is_empty() {
        for sample in LARGEST {
            small(&runtime, sample);
        }
    }
    let tools = if asked.is_empty() { Tool::ALL.to_vec() } else { asked };
    for tool in tools {
        made_up(&runtime, tool, megabytes);
    }
}

/// Medians over rounds, each into a new store.
fn small(runtime: &Runtime, sample: &str) {
    let path = Path::new(SAMPLES).join(sample);
    let Ok(bytes) = fs::read(&path) else {
        println!("{sample}: skipped, not beside the project");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut rounds: [Vec<f64>; 3] = Default::default();
    for round in 0..ROUNDS {
        let store = store(&folder, &round.to_string(), as_command_line());
        let start = Instant::now();
        parse(&path);
        rounds[0].push(rate(bytes.len() as u64, start));
        let start = Instant::now();
        let session = runtime.block_on(import(&*store, &path));
        rounds[1].push(rate(bytes.len() as u64, start));
        let start = Instant::now();
        let out = runtime.block_on(export(&*store, &session, Vec::with_capacity(bytes.len())));
        rounds[2].push(rate(bytes.len() as u64, start));
        assert!(out == bytes, "{sample} comes out as it went in");
    }
    let [json, import, export] = rounds.map(|mut rounds| {
        rounds.sort_by(f64::total_cmp);
        rounds[ROUNDS / 2]
    });
    row(sample, bytes.len() as u64, json, import, export);
}

/// A session that is written first.
fn made_up(runtime: &Runtime, tool: Tool, megabytes: u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("{}.jsonl", tool.name()));
    let mut file = BufWriter::new(File::create(&path).unwrap());
    sessions::write(tool, megabytes * MEGABYTE, &mut file).unwrap();
    // Warm: the file's pages are in memory, and nobody is still writing them to the disk.
    file.into_inner().unwrap().sync_all().unwrap();
    transfer(runtime, tool.name(), &path);
}

/// Once, with the most memory that each step needs.
fn transfer(runtime: &Runtime, name: &str, path: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::metadata(path).unwrap().len();
    let start = Instant::now();
    parse(path);
    let json = rate(bytes, start);

    let opened = store(&folder, "large", as_command_line());
    begin_peak();
    let (start, before) = (Instant::now(), cpu_seconds());
    let session = runtime.block_on(import(&*opened, path));
    let import = rate(bytes, start);
    let (import_cpu, import_peak) = (cpu_seconds() - before, peak_megabytes());
    drop(opened);

    let start = Instant::now();
    let opened = store(&folder, "large", as_command_line());
    let opening_ms = start.elapsed().as_secs_f64() * 1e3;
    let context = context(runtime, &opened, &session);
    begin_peak();
    let (start, before) = (Instant::now(), cpu_seconds());
    let sink = BufWriter::with_capacity(1 << 20, File::create(folder.path().join("out")).unwrap());
    drop(runtime.block_on(export(&*opened, &session, sink)));
    let export = rate(bytes, start);
    let (export_cpu, export_peak) = (cpu_seconds() - before, peak_megabytes());
    assert!(same(path, &folder.path().join("out")), "it comes out as it went in");
    row(name, bytes, json, import, export);
    println!(
        "    peak memory {import_peak} MB importing, {export_peak} MB exporting; processor \
         {import_cpu:.2} s and {export_cpu:.2} s; opened in {opening_ms:.1} ms{context}"
    );
}

/// How long it takes to the context, where a compaction keeps that from being everything.
fn context(runtime: &Runtime, store: &Arc<dyn Store>, session: &str) -> String {
    let start = Instant::now();
    let head = runtime.block_on(store.session(session)).unwrap().head.unwrap();
    if runtime.block_on(store.measure(head)).unwrap().compaction.is_none() {
        return "; no compaction on the path".to_owned();
    }
    let context = runtime.block_on(Context::at(&**store, head)).unwrap();
    let took = start.elapsed().as_secs_f64() * 1e3;
    format!(", then context of {} items in {took:.2} ms", context.items.len())
}

fn as_command_line() -> treering_tree::Options {
    treering_bench::options().cache_bytes(PAGES_BYTES).entry_cache_bytes(ENTRIES_BYTES)
}

async fn import(store: &dyn Store, path: &Path) -> String {
    let counter = ByteClasses::default();
    let count = |message: &Message| Counted {
        tokens: count_message(&counter, message),
        counter: Counter::named(counter.id()),
    };
    let options = Options { count: &count, format: None, at_ms: 0, progress: &mut |_| {} };
    let mut reports = load(store, vec![Input::Path(PathBuf::from(path))], options).await.unwrap();
    assert!(reports[0].added > 0);
    reports.remove(0).session
}

async fn export<W: io::Write + Send>(store: &dyn Store, session: &str, mut out: W) -> W {
    Export::of(store, session).await.unwrap().write(store, 0, &mut out).await.unwrap();
    out
}

/// What a reader without a store does at least: every record into a value of its own.
fn parse(path: &Path) {
    // From memory, where serde_json is at its fastest; a document at a time.
    let bytes = fs::read(path).unwrap();
    let values = serde_json::Deserializer::from_slice(&bytes);
    let count = values.into_iter::<serde_json::Value>().map(Result::unwrap).count();
    assert!(count > 0);
}

fn same(one: &Path, other: &Path) -> bool {
    let open = |path| BufReader::with_capacity(1 << 20, File::open(path).unwrap());
    let (mut one, mut other) = (open(one), open(other));
    loop {
        let (a, b) = (one.fill_buf().unwrap(), other.fill_buf().unwrap());
        let len = a.len().min(b.len());
        if a[..len] != b[..len] || (len == 0 && a.len() != b.len()) {
            return false;
        }
        if len == 0 {
            return true;
        }
        one.consume(len);
        other.consume(len);
    }
}

#[allow(clippy::cast_precision_loss, reason = "sizes of files are far below 2^52")]
fn rate(bytes: u64, start: Instant) -> f64 {
    bytes as f64 / start.elapsed().as_secs_f64() / MEGABYTE as f64
}

fn row(name: &str, bytes: u64, json: f64, import: f64, export: f64) {
    println!("{name:<40} {bytes:>13} {json:>6.0} {import:>7.0} {export:>7.0}");
}

/// Forgets the most memory used so far, where the system can.
fn begin_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Seconds of processor time used so far by all threads; shows what another load on the machine hides.
/// 0 where the system does not tell.
fn cpu_seconds() -> f64 {
    /// What Linux gives ticks in.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    ticks / TICKS_PER_SECOND
}

/// The most resident memory since, 0 where the system does not tell.
fn peak_megabytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1_024 / MEGABYTE
}
