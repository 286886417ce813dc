//! What runs for as long as one likes, outside every change: `cargo run -p tests --release -- VERB`.
//!
//! * `soak --minutes N [--from SEED]`: crash campaigns on fresh seeds.
//! * `mutate --count N [--from SEED] [--format NAME]`: mutated files of every format.
//! * `generations PATH [--generations N] [--window N]`: a session file of any tool, compacted again and again
//!   while it goes on. Prints what the model still sees.
//! * `bombs --count N [--only NAME]`: files made of N of what breaks readers, each imported by a process of
//!   its own, once with a tenth of them and once with all: what it costs, and whether that is linear.
//! * `bomb NAME --count N`: one of those processes.
//!
//! Prints counts, and the first seed that fails.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks by printing")]

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tests::barrage::barrage;
use tests::bombing::Cost;
use tests::bombs::{BOMBS, Bomb};
use tests::campaign::{Counts, Failure, Plan, run};
use tests::corpus::formats;
use tests::engines::Redb;
use tests::generations::{self, Generation, of_file};
use treering_policy::Preset;
use treering_tree::Durability;

const USAGE: &str = "usage: tests soak --minutes N [--from SEED]
       tests generations PATH [--generations N] [--window N]
       tests mutate --count N [--from SEED] [--format NAME]
       tests bombs --count N [--only NAME]";
const FAILURES: [Failure; 4] = [Failure::None, Failure::Sync, Failure::Call, Failure::Full];
/// Seeds of each failure between two lines of progress.
const SEEDS_PER_LINE: u64 = 100;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let text = |name: &str| args.get(args.iter().position(|arg| arg == name)? + 1);
    let number = |name: &str| text(name)?.parse::<u64>().ok();
    match (args.first().map(String::as_str), number("--minutes"), number("--count")) {
        (Some("soak"), Some(minutes), _) => {
            soak(Duration::from_secs(60 * minutes), number("--from").unwrap_or(1_000_000))
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
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
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

fn soak(limit: Duration, from: u64) -> ExitCode {
    let engine = Redb::new(Durability::Logged);
    let start = Instant::now();
    let mut counts = [Counts::default(); FAILURES.len()];
    let mut seed = from;
    while start.elapsed() < limit {
        for (failure, counts) in FAILURES.into_iter().zip(&mut counts) {
            let plan = Plan::new(failure);
            match run(&engine, plan, seed) {
                Ok(done) => counts.add(done),
                Err(why) => {
                    eprintln!("failed after {:?}: {why}", start.elapsed());
                    return ExitCode::FAILURE;
                }
            }
        }
        seed += 1;
        if (seed - from).is_multiple_of(SEEDS_PER_LINE) {
            println!("{} seeds in {:?}", seed - from, start.elapsed());
        }
    }
    for (failure, counts) in FAILURES.into_iter().zip(counts) {
        println!("{failure:?}: {counts:?}");
    }
    println!("seeds {from}..{seed} in {:?}: nothing lost", start.elapsed());
    ExitCode::SUCCESS
}
