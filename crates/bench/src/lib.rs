//! What the benchmarks share: bodies of given sizes, stores of given lengths, and a table that prints
//! medians with the ratio to the first row, rounds of all rows interleaved.

#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_debug_implementations,
    reason = "a benchmark stops where it fails, and prints"
)]

pub mod peers;
pub mod readers;
pub mod sessions;

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use treering_tree::{
    Body, Draft, Expect, Id, Kind, Number, Options, RedbStore, Session, Sources, Store,
};

/// What is asked for on the command line, as `name=value`.
pub struct Asked(Vec<String>);

impl Asked {
    /// What this process was started with.
    pub fn from_args() -> Self {
        Self(std::env::args().skip(1).collect())
    }

    /// The value of that name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|arg| arg.strip_prefix(name)?.strip_prefix('='))
    }

    /// The number of that name.
    pub fn number(&self, name: &str, default: u64) -> u64 {
        self.text(name).map_or(default, |text| text.parse().unwrap())
    }
}

/// A body of `bytes` pseudo-random letters: it neither repeats nor compresses like a text of one word.
/// Cheap to make, eight letters to a step: an engine is measured, not this.
pub fn body(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut body = Vec::with_capacity(bytes + 8);
    while body.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // 64 letters from '0' on.
        let letters = (state & 0x3f3f_3f3f_3f3f_3f3f) + 0x3030_3030_3030_3030;
        body.extend(letters.to_le_bytes());
    }
    body.truncate(bytes);
    body
}

/// How large bodies are.
#[derive(Clone, Copy, Debug)]
pub enum Sizes {
    /// All of so many bytes.
    Bytes(usize),
    /// As in the sessions of real tools: many short ones, few long.
    Mixed,
}

impl Sizes {
    /// Of `mix` or a number.
    pub fn of(text: &str) -> Self {
        if text == "mix" { Self::Mixed } else { Self::Bytes(text.parse().unwrap()) }
    }

    /// The `seed`th body.
    pub fn body(self, seed: u64) -> Vec<u8> {
        let mixed = || MIXED[usize::try_from(seed % MIXED.len() as u64).unwrap()];
        body(seed, if let Self::Bytes(bytes) = self { bytes } else { mixed() })
    }

    /// Mean bytes of a body.
    pub fn mean_bytes(self) -> u64 {
        let all = MIXED.len() as u64;
        (0..all).map(|seed| self.body(seed).len() as u64).sum::<u64>() / all
    }
}

/// Mean bytes of each tenth of the 2,156 bodies in the 64 samples that import, as `cargo bench --bench bodies`
/// prints them; long and short ones by turns.
const MIXED: [usize; 10] = [564, 89, 1_775, 277, 864, 181, 10_985, 678, 405, 1_108];

impl From<usize> for Sizes {
    fn from(bytes: usize) -> Self {
        Self::Bytes(bytes)
    }
}

/// Bytes this process has given to files so far; 0 where the system does not count them.
pub fn written_bytes() -> u64 {
    let counts = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = counts.lines().find_map(|line| line.strip_prefix("wchar: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}

/// What a file takes on the disk, in bytes; 0 where there is none.
pub fn disk_bytes(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |file| file.blocks() * 512)
}

/// Takes a file's pages out of the system's memory, as far as it lets go of them.
pub fn forget_pages(file: &Path) {
    std::fs::File::open(file).unwrap().sync_all().unwrap();
    let mut forget = Command::new("dd");
    forget.arg(format!("if={}", file.display())).args(["iflag=nocache", "count=0", "status=none"]);
    assert!(forget.status().unwrap().success());
}

/// A store in a new file of `folder`.
pub fn store(folder: &tempfile::TempDir, name: &str, options: Options) -> Arc<dyn Store> {
    Arc::new(RedbStore::open(folder.path().join(name), options).unwrap())
}

/// The options benchmarks run with, where they do not compare options.
pub fn options() -> Options {
    Options::new(Sources::fixed(1))
}

/// A session of `entries` entries in turns of four, 100 tokens each, appended in large batches.
pub fn grow(
    runtime: &tokio::runtime::Runtime,
    session: &Session,
    entries: Number,
    sizes: impl Into<Sizes>,
) -> Vec<Id> {
    let sizes = sizes.into();
    let kinds = [Kind::User, Kind::Assistant, Kind::Note, Kind::Assistant];
    let mut ids = Vec::new();
    for start in (0..entries).step_by(5_000) {
        let drafts: Vec<Draft> = (start..entries.min(start + 5_000))
            .map(|n| {
                let kind = kinds[usize::try_from(n % 4).unwrap()];
                session.draft(kind, Body::new("text", sizes.body(n))).tokens(100)
            })
            .collect();
        ids.extend(runtime.block_on(session.append_all(drafts, Expect::Any)).unwrap().ids);
    }
    ids
}

/// A named way to measure something once.
pub type Row<'a> = (String, Box<dyn FnMut() -> f64 + 'a>);

/// Times `rounds` rounds, each of which runs every row once; prints median, spread and ratio.
pub fn compare(title: &str, unit: &str, rounds: usize, rows: &mut [Row<'_>]) -> Vec<f64> {
    let mut samples = vec![Vec::with_capacity(rounds); rows.len()];
    for _ in 0..rounds {
        for ((_, row), samples) in rows.iter_mut().zip(&mut samples) {
            samples.push(row());
        }
    }
    println!("\n{title}");
    println!("  {:<44} {:>12} {:>12} {:>12}   ratio", "", format!("median {unit}"), "min", "max");
    let mut medians = Vec::new();
    for ((name, _), samples) in rows.iter().zip(&mut samples) {
        samples.sort_by(f64::total_cmp);
        let median = samples[samples.len() / 2];
        medians.push(median);
        let (min, max) = (samples[0], samples[samples.len() - 1]);
        println!(
            "  {name:<44} {median:>12.2} {min:>12.2} {max:>12.2}   {:.2}",
            median / medians[0]
        );
    }
    medians
}

/// Mean microseconds of one call, over as many as fit in `budget`.
pub fn micros(budget: Duration, mut call: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut calls = 0_u32;
    while start.elapsed() < budget || calls < 3 {
        call();
        calls += 1;
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
}
