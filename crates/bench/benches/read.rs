//! Reads in stores of growing length: the context of a kept tail against `SQLite` and JSON lines, that of a
//! head with one entry more, decisions about the history. What must not grow with the history is printed
//! as a ratio to the shortest store.
//!
//! `cargo bench --bench read -- [largest=N] [bytes=N|mix] [rounds=N]`

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark stops where it fails and prints"
)]

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::runtime::Runtime;
use treering_bench::readers::{JsonLines, SqliteRows, hashed};
use treering_bench::{Asked, Row, Sizes, compare, forget_pages, grow, micros, options, store};
use treering_tree::{
    Body, Context, Expect, Id, Kind, Replay, Seek, Session, Sources, Store, Stored,
};

const BUDGET: Duration = Duration::from_millis(60);
/// Entries of the tails whose contexts are read.
const TAILS: [u64; 2] = [200, 10_000];
/// Appends for each figure of a context that goes on.
const APPENDS: u32 = 20;

/// Entries that are asked about by turns.
const STRANGERS: usize = 100_000;

/// What a run is made of.
struct Run {
    runtime: Runtime,
    folder: TempDir,
    rounds: usize,
    sizes: Sizes,
}

/// A session of that many entries, and compactions at its end that keep a tail.
struct Grown {
    entries: u64,
    store: Arc<dyn Store>,
    middle: Id,
    /// More than are found again without the index, where there are as many.
    strangers: Vec<Id>,
    tails: Vec<Tail>,
}

struct Tail {
    entries: u64,
    /// The compaction that keeps it.
    head: Id,
}

fn main() {
    let asked = Asked::from_args();
    let largest = asked.number("largest", 1_000_000);
    let run = Run {
        runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
        folder: tempfile::tempdir().unwrap(),
        rounds: usize::try_from(asked.number("rounds", 9)).unwrap(),
        sizes: Sizes::of(asked.text("bytes").unwrap_or("1000")),
    };
    println!("bodies of {:?}, {} in the mean", run.sizes, run.sizes.mean_bytes());
    let sizes = [1_000, 100_000, 1_000_000].into_iter().filter(|entries| *entries <= largest);
    let grown: Vec<Grown> = sizes.map(|entries| run.grown(entries)).collect();
    run.by_length(&grown);
    for one in &grown {
        run.against_peers(one);
    }
    run.goes_on(&grown);
    run.decisions(&grown);
}

impl Run {
    fn grown(&self, entries: u64) -> Grown {
        let store = store(&self.folder, &entries.to_string(), options());
        let session = Session::new(Arc::clone(&store), "long", Sources::fixed(2));
        let start = Instant::now();
        let ids = grow(&self.runtime, &session, entries, self.sizes);
        println!("{entries} entries appended in {:.1} s", start.elapsed().as_secs_f64());
        let middle = ids[ids.len() / 2];
        // By turns from everywhere: none stands beside the one before it.
        let turns = ids.len() / 1_000 * 7 + 1;
        let strangers: Vec<Id> =
            ids.iter().copied().cycle().step_by(turns).take(STRANGERS).collect();
        let mut tails = Vec::new();
        for tail in TAILS.into_iter().rev().filter(|tail| *tail < entries) {
            let kept = ids[ids.len() - usize::try_from(tail).unwrap()];
            let summary = session.draft(Kind::Compaction, Body::new("text", "summary"));
            let landed = session.append(summary.target(kept), Expect::Any);
            let head = self.runtime.block_on(landed).unwrap().ids[0];
            tails.insert(0, Tail { entries: tail, head });
        }
        Grown { entries, store, middle, strangers, tails }
    }

    /// The tail's context must not cost more for what is before it.
    fn by_length(&self, grown: &[Grown]) {
        for tail in TAILS {
            for (what, how) in [("made anew", made_anew as Way), ("kept", kept)] {
                let mut rows: Vec<Row<'_>> = Vec::new();
                for one in grown {
                    for Tail { head, .. } in one.tails.iter().filter(|it| it.entries == tail) {
                        let name = format!("{} entries", one.entries);
                        let read = move || check(how(self, &*one.store, *head), tail);
                        rows.push((name, Box::new(move || micros(BUDGET, read))));
                    }
                }
                compare(
                    &format!("context of a {tail}-entry tail, {what}"),
                    "us",
                    self.rounds,
                    &mut rows,
                );
            }
        }
    }

    /// The same contexts out of a second handle that keeps no entries, out of tables of `SQLite`, and out of
    /// a file of JSON lines that holds the tail alone.
    fn against_peers(&self, one: &Grown) {
        let path = self.folder.path();
        let (file, bare) = (path.join(one.entries.to_string()), path.join("bare"));
        // What a checkpoint has settled is a whole store.
        std::thread::sleep(Duration::from_millis(500));
        fs::copy(&file, &bare).unwrap();
        let uncached = || options().entry_cache_bytes(0).context_cache_bytes(0);
        let rows = path.join("rows");
        let all = self.fill(one, &rows);
        for Tail { entries: tail, head } in &one.tails {
            let cold = store(&self.folder, "bare", uncached());
            let sqlite = SqliteRows::open(&rows);
            let (first, last) = (all - tail, all - 1);
            let count = usize::try_from(*tail).unwrap();
            let lines = self.lines(one, first..all);
            let ours = |store: &Arc<dyn Store>, how: Way| {
                let store = Arc::clone(store);
                Box::new(move || micros(BUDGET, || check(how(self, &*store, *head), *tail)))
            };
            let theirs =
                |read: &dyn Fn() -> usize| micros(BUDGET, || assert_eq!(black_box(read()), count));
            let range = || sqlite.range(first);
            let path = || sqlite.path(last, count);
            let mut rows: Vec<Row<'_>> = vec![
                (
                    "SQLite, range, decoded".into(),
                    Box::new(|| theirs(&|| black_box(range()).len())),
                ),
                (
                    "SQLite, range, decoded and hashed".into(),
                    Box::new(|| theirs(&|| black_box(hashed(range())).len())),
                ),
                (
                    "SQLite, recursive, decoded".into(),
                    Box::new(|| theirs(&|| black_box(path()).len())),
                ),
                (
                    "JSON lines of the tail alone, parsed".into(),
                    Box::new(|| theirs(&|| black_box(lines.parse()).len())),
                ),
                ("Treering, pages in memory, decoded and hashed".into(), ours(&cold, made_anew)),
                ("Treering, entries in memory".into(), ours(&one.store, made_anew)),
                ("Treering, context in memory".into(), ours(&one.store, kept)),
            ];
            let title = format!("context of a {tail}-entry tail, store of {} entries", one.entries);
            compare(&title, "us", self.rounds, &mut rows);
            drop(rows);
            drop((cold, sqlite));
            self.unread(one, *head, (first, count));
        }
        fs::remove_file(bare).unwrap();
        fs::remove_file(rows).unwrap();
    }

    /// The first context of a process, with nothing of the file in memory: opening included.
    fn unread(&self, one: &Grown, head: Id, (first, count): (u64, usize)) {
        let path = self.folder.path();
        let (bare, table) = (path.join("bare"), path.join("rows"));
        let mut rows: Vec<Row<'_>> = vec![
            (
                "SQLite, range, decoded".into(),
                Box::new(|| {
                    forget_pages(&table);
                    once(|| assert_eq!(SqliteRows::open(&table).range(first).len(), count))
                }),
            ),
            (
                "Treering".into(),
                Box::new(|| {
                    forget_pages(&bare);
                    let mut opened = None;
                    let took = once(|| {
                        let store = opened.insert(store(&self.folder, "bare", options()));
                        check(made_anew(self, &**store, head), count as u64);
                    });
                    drop(opened);
                    took
                }),
            ),
        ];
        let title = format!(
            "opening and the first context of {count} entries, no page in memory, store of {} entries",
            one.entries
        );
        compare(&title, "us", self.rounds, &mut rows);
    }

    /// Puts the session into a table; answers how many entries there are before the compactions.
    fn fill(&self, one: &Grown, path: &Path) -> u64 {
        let start = Instant::now();
        let mut table = SqliteRows::open(path);
        let mut replay = Replay::new(Arc::clone(&one.store), Some(one.tails[0].head));
        let mut rows = 0;
        loop {
            let mut page = self.runtime.block_on(replay.next_page()).unwrap();
            page.retain(|stored| stored.place.kind != Kind::Compaction);
            if page.is_empty() {
                break;
            }
            table.append(&page);
            rows += page.len() as u64;
        }
        println!("\n{rows} entries put into a table in {:.1} s", start.elapsed().as_secs_f64());
        rows
    }

    fn lines(&self, one: &Grown, depths: std::ops::Range<u64>) -> JsonLines {
        let path = one.store.path(one.tails[0].head, depths);
        let entries: Vec<Stored> = self.runtime.block_on(path).unwrap();
        JsonLines::new(&self.folder.path().join("lines"), &entries)
    }

    /// The context right behind an append, of sessions that fork from the tails.
    fn goes_on(&self, grown: &[Grown]) {
        let Some(one) = grown.last() else { return };
        let mut rows: Vec<Row<'_>> = Vec::new();
        for Tail { entries, head } in &one.tails {
            for (what, how) in [("gone on", kept as Way), ("made anew", made_anew)] {
                let parent = Session::new(Arc::clone(&one.store), "long", Sources::fixed(7));
                let name = format!("{entries} {what}");
                let fork = self.runtime.block_on(parent.fork_session(&name, *head)).unwrap();
                let mut at = *head;
                let mut seed = 0;
                rows.push((
                    format!("{entries} entries, {what}"),
                    Box::new(move || {
                        kept(self, &*one.store, at);
                        let mut took = 0.0;
                        for _ in 0..APPENDS {
                            seed += 1;
                            let body = Body::new("text", self.sizes.body(seed));
                            let draft = fork.draft(Kind::Note, body).tokens(100);
                            at =
                                self.runtime.block_on(fork.append(draft, Expect::Any)).unwrap().ids
                                    [0];
                            took += once(|| drop(how(self, &*one.store, at)));
                        }
                        took / f64::from(APPENDS)
                    }),
                ));
            }
        }
        let title = format!("context right behind an append, store of {} entries", one.entries);
        compare(&title, "us", self.rounds, &mut rows);
    }

    fn decisions(&self, grown: &[Grown]) {
        let mut rows: Vec<Row<'_>> = Vec::new();
        for one in grown {
            let ask = || {
                self.runtime.block_on(one.store.measure(one.tails[0].head)).unwrap();
            };
            rows.push((format!("{} entries", one.entries), Box::new(move || micros(BUDGET, ask))));
        }
        compare("is it time (measure)", "us", self.rounds, &mut rows);
        let question = |title: &str, ask: fn(&Grown, usize) -> Seek| {
            let mut rows: Vec<Row<'_>> = Vec::new();
            for one in grown {
                let head = one.tails[0].head;
                let mut asked = 0;
                let mut ask = move || {
                    let seek = ask(one, asked);
                    self.runtime.block_on(one.store.seek(head, &[seek])).unwrap();
                    asked += 1;
                };
                rows.push((
                    format!("{} entries", one.entries),
                    Box::new(move || micros(BUDGET, &mut ask)),
                ));
            }
            compare(title, "us", self.rounds, &mut rows);
        };
        question("where to cut (start of the 6th last turn)", |one, _| {
            Seek::Turn(one.entries / 4 - 5)
        });
        question("where to cut (tail of 20,000 tokens)", |_, _| Seek::TokensAtMost(20_000));
        question("is-ancestor of the middle", |one, _| Seek::Entry(one.middle));
        question("common ancestor with the middle", |one, _| Seek::Common(one.middle));
        question("is-ancestor of another entry each time", |one, asked| {
            Seek::Entry(one.strangers[asked % STRANGERS])
        });
    }
}

fn check(context: Context, tail: u64) {
    assert_eq!(black_box(context).items.len() as u64, tail + 1);
}

/// How a context is come by.
type Way = fn(&Run, &dyn Store, Id) -> Context;

/// From the entries, nothing rendered before.
fn made_anew(run: &Run, store: &dyn Store, head: Id) -> Context {
    run.runtime.block_on(async {
        let measure = store.measure(head).await.unwrap();
        Context::of(&measure, store.tail(head).await.unwrap())
    })
}

/// As everybody asks for it.
fn kept(run: &Run, store: &dyn Store, head: Id) -> Context {
    run.runtime.block_on(Context::at(store, head)).unwrap()
}

/// Microseconds of one call.
fn once(call: impl FnOnce()) -> f64 {
    let start = Instant::now();
    call();
    start.elapsed().as_secs_f64() * 1e6
}
