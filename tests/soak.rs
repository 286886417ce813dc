//! What runs for as long as one likes, outside every change: `cargo run -p tests --release -- VERB`.
//!
//! * `soak --minutes N [--from SEED] [--only KIND]`: crash campaigns of every kind and random histories, on fresh
//!   seeds; with `--seeds N` so many instead, with `--only` of that kind alone.
//! * `mutate --count N [--from SEED] [--format NAME]`: mutated files of every format.
//! * `generations PATH [--generations N] [--window N]`: a session file of any tool, compacted again and again
//!   while it goes on. Prints what the model still sees.
//! * `bombs --count N [--only NAME]`: files made of N of what breaks readers, each imported by a process of
//!   its own, once with a tenth of them and once with all: what it costs, and whether that is linear.
//! * `bomb NAME --count N`: one of those processes.
//!
//! Prints counts, and the first seed that fails.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks by printing")]

use std::ops::Range;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tests::barrage::barrage;
use tests::bombing::Cost;
use tests::bombs::{BOMBS, Bomb};
use tests::campaign::{self, Counts};
use tests::corpus::formats;
use tests::generations::{self, Generation, of_file};
use tests::profile::CRASHES;
use tests::sequences;
use treering_policy::Preset;

const USAGE: &str = "usage: tests soak --minutes N | --seeds N [--from SEED] [--only KIND]
       tests generations PATH [--generations N] [--window N]
       tests mutate --count N [--from SEED] [--format NAME]
       tests bombs --count N [--only NAME]";
/// The kind that is no crash.
const SEQUENCE: &str = "sequence";
/// Seeds of each kind between two lines of progress.
const SEEDS_PER_LINE: u64 = 100;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let text = |name: &str| args.get(args.iter().position(|arg| arg == name)? + 1);
    let number = |name: &str| text(name)?.parse::<u64>().ok();
    match (args.first().map(String::as_str), number("--minutes"), number("--count")) {
        (Some("soak"), None, _) if number("--seeds").is_none() => usage(),
        (Some("soak"), minutes, _) => {
            let limit = minutes.map_or(Duration::MAX, |minutes| Duration::from_secs(60 * minutes));
            let (from, count) = (number("--from").unwrap_or(1_000_000), number("--seeds"));
            soak(limit, from..from.saturating_add(count.unwrap_or(u64::MAX)), text("--only"))
        }
        (Some("generations"), ..) if args.len() > 1 => {
            let count = usize::try_from(number("--generations").unwrap_or(5)).unwrap_or(5);
            compact(Path::new(&args[1]), count.max(1), number("--window").unwrap_or(200_000))
        }
        (Some("mutate"), _, Some(count)) => {
            mutate(count, number("--from").unwrap_or(0), text("--format"))
        }
        (Some("bombs"), _, Some(count)) => bombs(count, text("--only")),
        (Some("bomb"), _, Some(count)) => bomb(&args[1], count),
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn compact(path: &Path, count: usize, window: u64) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
        let pieces = runtime.block_on(of_file(path))?;
        let policy = Preset::Recommended.policy(window);
        Ok(runtime.block_on(generations::run(&pieces, count, &policy)))
    });
    let done = match done {
        Ok(done) => done,
        Err(why) => {
            eprintln!("{}: {why}", path.display());
            return ExitCode::FAILURE;
        }
    };
    println!("generation  entries   before    after        asks       files  wrong  unaccounted");
    for (at, done) in done.iter().enumerate() {
        let Generation { appended, tokens: (before, after), asks, files, .. } = done;
        let (wrong, lost) = (done.wrong_files, done.unaccounted);
        println!(
            "{:>10} {appended:>8} {before:>8} {after:>8} {asks:>11} {files:>11} {wrong:>6} {lost:>12}",
            at + 1
        );
        let skipped = done.skipped.iter().map(|why| format!("skipped: {why}"));
        skipped.chain(done.missing.iter().cloned()).for_each(|line| println!("    {line}"));
    }
    if done.iter().all(Generation::holds) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn mutate(count: u64, from: u64, only: Option<&String>) -> ExitCode {
    let start = Instant::now();
    let mut all = ExitCode::SUCCESS;
    for format in formats().iter().filter(|format| only.is_none_or(|only| only == *format)) {
        match barrage(format, from..from + count) {
            Ok(tally) => println!("{format:17}{tally:?}"),
            Err(why) => {
                eprintln!("failed after {:?}: {why}", start.elapsed());
                all = ExitCode::FAILURE;
            }
        }
    }
    println!("seeds {from}..{} of each format in {:?}", from + count, start.elapsed());
    all
}

fn bombs(count: u64, only: Option<&String>) -> ExitCode {
    let mut all = ExitCode::SUCCESS;
    println!("{:36} {}", "bomb", Cost::HEADING);
    for bomb in BOMBS.iter().filter(|bomb| only.is_none_or(|only| only == bomb.name)) {
        let told = Cost::of_process(bomb.name, count / 10).and_then(|tenth| {
            let full = Cost::of_process(bomb.name, count)?;
            println!("{:36} {full}", bomb.name);
            full.check(&tenth)
        });
        if let Err(why) = told {
            eprintln!("{}: {why}", bomb.name);
            all = ExitCode::FAILURE;
        }
    }
    all
}

fn bomb(name: &str, count: u64) -> ExitCode {
    let bomb: Option<&Bomb> = BOMBS.iter().find(|bomb| bomb.name == name);
    let cost = bomb.ok_or("unknown bomb".to_owned()).and_then(|bomb| Cost::of(bomb, count));
    match cost {
        Ok(cost) => {
            println!("{}", cost.line());
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn soak(limit: Duration, seeds: Range<u64>, only: Option<&String>) -> ExitCode {
    let is_wanted = |name: &str| only.is_none_or(|only| only == name);
    let crashes = CRASHES.iter().filter(|crash| is_wanted(crash.name));
    let mut crashes: Vec<_> =
        crashes.map(|crash| (crash, crash.engine(), Counts::default())).collect();
    let has_sequences = is_wanted(SEQUENCE);
    if crashes.is_empty() && !has_sequences {
        let names: Vec<&str> = CRASHES.iter().map(|crash| crash.name).collect();
        eprintln!("no such kind; there are {}, {SEQUENCE}", names.join(", "));
        return ExitCode::from(2);
    }
    let (start, from, mut done) = (Instant::now(), seeds.start, 0_u64);
    for seed in seeds.take_while(|_| start.elapsed() < limit) {
        let mut crashed = crashes.iter_mut().map(|(crash, engine, counts)| {
            campaign::run(engine, crash.plan(), seed).map(|more| counts.add(more))
        });
        let held = crashed.try_for_each(|ended| ended);
        let held = held.and_then(|()| if has_sequences { sequences::run(seed) } else { Ok(()) });
        if let Err(why) = held {
            eprintln!("failed after {:?}: {why}", start.elapsed());
            return ExitCode::FAILURE;
        }
        done += 1;
        if done.is_multiple_of(SEEDS_PER_LINE) {
            println!("{done} seeds in {:?}", start.elapsed());
        }
    }
    for (crash, _, counts) in crashes {
        println!("{}: {counts:?}", crash.name);
    }
    let sequences = if has_sequences { done } else { 0 };
    let took = start.elapsed();
    println!("seeds {from}..{} in {took:?}, {sequences} sequences: nothing lost", from + done);
    ExitCode::SUCCESS
}
