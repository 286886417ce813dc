//! Bytes on disk for each byte of a body: the samples imported as the command line does it, and random bodies,
//! `-- [entries=N]`, N of each size, a tenth of that where each is a commit; before and after `compact-store`.
//! And what codecs make of the samples' bodies.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark stops where it fails and prints, and sizes are far below 2^52"
)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Runtime;
use treering_bench::body;
use treering_interchange::{Input, Options, load};
use treering_provider::{ByteClasses, TokenCounter as _, count_message};
use treering_tree::{
    Body, Counted, Counter, Draft, Expect, Kind, Message, RedbStore, Session, Sources, Store,
};

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/samples");
/// What the command line keeps in memory of a store's pages and entries.
const PAGES_BYTES: usize = 48 << 20;
const ENTRIES_BYTES: u64 = 16 << 20;
const ENTRIES: u64 = 100_000;
/// Bytes of random bodies in one store at most.
const MOST_BYTES: u64 = 200_000_000;
const SCAN: usize = 500;
const ROUNDS: usize = 5;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let asked = |arg: &String| arg.strip_prefix("entries=").and_then(|n| n.parse().ok());
    let entries: u64 = args.iter().find_map(asked).unwrap_or(ENTRIES);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    println!(
        "bytes on disk for each of the bodies: frames, blocks and length of the file, blocks once compacted"
    );
    let bodies = samples(&runtime, &folder.path().join("samples"));
    for bytes in [200, 1_000, 8_000] {
        for (commit, part) in [(1, 10), (64, 1)] {
            let entries = (entries / part).min(MOST_BYTES / bytes as u64);
            random(&runtime, folder.path(), (bytes, "letters", body), entries, commit);
        }
    }
    random(&runtime, folder.path(), (1_000, "bytes", any_bytes), entries, 64);
    if !bodies.is_empty() {
        codecs(&bodies);
    }
}

fn options() -> treering_tree::Options {
    treering_bench::options().cache_bytes(PAGES_BYTES).entry_cache_bytes(ENTRIES_BYTES)
}

fn open(path: &Path) -> Arc<dyn Store> {
    Arc::new(RedbStore::open(path, options()).unwrap())
}

/// Answers the bodies, none where there are no samples.
fn samples(runtime: &Runtime, path: &Path) -> Vec<Vec<u8>> {
    if !Path::new(SAMPLES).is_dir() {
        println!("samples: skipped, not beside the project");
        return Vec::new();
    }
    let store = open(path);
    let counter = ByteClasses::default();
    let count = |message: &Message| Counted {
        tokens: count_message(&counter, message),
        counter: Counter::named(counter.id()),
    };
    let mut of = 0;
    let progress = &mut |progress: treering_interchange::Progress| of = progress.total_bytes;
    let options = Options { count: &count, format: None, at_ms: 0, progress };
    runtime.block_on(load(&*store, vec![Input::Path(SAMPLES.into())], options)).unwrap();
    let (mut bodies, mut next) = (Vec::new(), 0);
    loop {
        let page = runtime.block_on(store.scan(None, next, SCAN)).unwrap();
        let Some(last) = page.last() else { break };
        next = last.place.number + 1;
        bodies.extend(page.iter().map(|stored| stored.entry.body().unwrap().bytes.clone()));
    }
    row(runtime, "samples, for each byte of their files", path, store, of);
    bodies
}

/// Bytes at random, which nothing makes shorter.
fn any_bytes(seed: u64, bytes: usize) -> Vec<u8> {
    let mut body = vec![0; bytes];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut body);
    body
}

type Bodies = (usize, &'static str, fn(u64, usize) -> Vec<u8>);

fn random(
    runtime: &Runtime,
    folder: &Path,
    (bytes, what, body): Bodies,
    entries: u64,
    commit: u64,
) {
    let path = folder.join(format!("{what}-{bytes}-{commit}"));
    let store = open(&path);
    let session = Session::new(Arc::clone(&store), "s", Sources::fixed(2));
    for first in (0..entries).step_by(usize::try_from(commit).unwrap()) {
        let draft = |seed| session.draft(Kind::User, Body::new("text", body(seed, bytes)));
        let drafts: Vec<Draft> = (first..entries.min(first + commit)).map(draft).collect();
        runtime.block_on(session.append_all(drafts, Expect::Any)).unwrap();
    }
    drop(session);
    let name = format!("{entries} of {bytes} random {what}, {commit} a commit");
    row(runtime, &name, &path, store, entries * bytes as u64);
    fs::remove_file(path).unwrap();
}

fn row(runtime: &Runtime, name: &str, path: &Path, store: Arc<dyn Store>, of: u64) {
    let frames = runtime.block_on(store.stats()).unwrap().stored_bytes;
    drop(store);
    let length = fs::metadata(path).unwrap().len();
    let blocks = on_disk(path);
    RedbStore::rewrite(path, &options(), &mut |_, _| {}).unwrap();
    let [frames, blocks, length, compacted] =
        [frames, blocks, length, on_disk(path)].map(|bytes| bytes as f64 / of as f64);
    println!("{name:<48} {of:>12}  {frames:.3}  {blocks:.3}  {length:.3}  {compacted:.3}");
}

#[cfg(unix)]
fn on_disk(path: &Path) -> u64 {
    /// What the system counts blocks in, whatever the file system's own are.
    const BLOCK_BYTES: u64 = 512;
    std::os::unix::fs::MetadataExt::blocks(&fs::metadata(path).unwrap()) * BLOCK_BYTES
}

#[cfg(not(unix))]
fn on_disk(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

type Codec<'a> =
    (&'a str, Box<dyn FnMut(&[u8]) -> Vec<u8>>, Box<dyn FnMut(&[u8], usize) -> Vec<u8>>);

fn zstd(name: &'static str, level: i32) -> Codec<'static> {
    let (mut shrinking, mut expanding) = (zstd_safe::CCtx::create(), zstd_safe::DCtx::create());
    let compress = move |body: &[u8]| {
        let mut out = Vec::with_capacity(zstd_safe::compress_bound(body.len()));
        shrinking.compress(&mut out, body, level).unwrap();
        out
    };
    let expand = move |bytes: &[u8], len| {
        let mut out = Vec::with_capacity(len);
        expanding.decompress(&mut out, bytes).unwrap();
        out
    };
    (name, Box::new(compress), Box::new(expand))
}

/// As bodies that are not large are stored.
fn with_words() -> Codec<'static> {
    const WORDS: &[u8] = include_bytes!("../../tree/src/redb/shrink/words-1.txt");
    let (words, known) = (zstd_safe::CDict::create(WORDS, 1), zstd_safe::DDict::create(WORDS));
    let (mut shrinking, mut expanding) = (zstd_safe::CCtx::create(), zstd_safe::DCtx::create());
    let compress = move |body: &[u8]| {
        let mut out = Vec::with_capacity(zstd_safe::compress_bound(body.len()));
        shrinking.compress_using_cdict(&mut out, body, &words).unwrap();
        out
    };
    let expand = move |bytes: &[u8], len| {
        let mut out = Vec::with_capacity(len);
        expanding.decompress_using_ddict(&mut out, bytes, &known).unwrap();
        out
    };
    ("zstd 1, with words", Box::new(compress), Box::new(expand))
}

fn codecs(bodies: &[Vec<u8>]) {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    let expand = |bytes: &[u8], len| {
        let mut out = Vec::with_capacity(len);
        ruzstd::decoding::FrameDecoder::new().decode_all_to_vec(bytes, &mut out).unwrap();
        out
    };
    let unpack = |bytes: &[u8], len| lz4_flex::block::decompress(bytes, len).unwrap();
    let all: [Codec<'_>; 7] = [
        ("LZ4 (lz4_flex)", Box::new(lz4_flex::block::compress), Box::new(unpack)),
        zstd("zstd 1", 1),
        with_words(),
        zstd("zstd 3", 3),
        zstd("zstd 9", 9),
        (
            "zstd, fastest (ruzstd)",
            Box::new(|body| compress_to_vec(body, CompressionLevel::Fastest)),
            Box::new(expand),
        ),
        ("none", Box::new(<[u8]>::to_vec), Box::new(|bytes, _| bytes.to_vec())),
    ];
    let bytes: usize = bodies.iter().map(Vec::len).sum();
    println!(
        "{} bodies of the samples, {bytes} bytes: left of a byte, MB/s in and out",
        bodies.len()
    );
    for (name, mut compress, mut expand) in all {
        let (mut left, mut best) = (0, [f64::MAX; 2]);
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let shorter: Vec<Vec<u8>> = bodies.iter().map(|body| compress(body)).collect();
            best[0] = best[0].min(start.elapsed().as_secs_f64());
            let start = Instant::now();
            for (shorter, body) in shorter.iter().zip(bodies) {
                assert!(expand(shorter, body.len()) == *body, "{name} gives back what it took");
            }
            best[1] = best[1].min(start.elapsed().as_secs_f64());
            left = shorter
                .iter()
                .zip(bodies)
                .map(|(shorter, body)| shorter.len().min(body.len()))
                .sum();
        }
        let [compressed, expanded] = best.map(|seconds| bytes as f64 / seconds / 1e6);
        let left = left as f64 / bytes as f64;
        println!("  {name:<24} {left:.3} {compressed:>6.0} {expanded:>6.0}");
    }
}
