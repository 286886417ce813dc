//! `cargo run -p tests --release -- soak --minutes N`: crash campaigns on fresh seeds for as long as
//! one likes. Prints counts, and the first seed that fails.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks by printing")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use tests::campaign::{Counts, Failure, Plan, run};
use tests::engines::Redb;
use treering_tree::Durability;

const USAGE: &str = "usage: tests soak --minutes N [--from SEED]";
const FAILURES: [Failure; 4] = [Failure::None, Failure::Sync, Failure::Call, Failure::Full];
/// Seeds of each failure between two lines of progress.
const SEEDS_PER_LINE: u64 = 100;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        args.get(at + 1)?.parse::<u64>().ok()
    };
    let soaks = args.first().is_some_and(|verb| verb == "soak");
    let Some(minutes) = number("--minutes").filter(|_| soaks) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let limit = Duration::from_secs(60 * minutes);
    soak(limit, number("--from").unwrap_or(1_000_000))
}

fn soak(limit: Duration, from: u64) -> ExitCode {
    let engine = Redb::new(Durability::TwoPhase);
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
