//! `scrub`: the check of everything, a share at a time, from the disk and not from memory; or a whole pass,
//! with pauses, while others work in the store.

use std::num::NonZeroU32;
use std::pin::pin;

use treering_tree::{ScrubPass, ScrubReport};

use crate::app::App;
use crate::failure::Result;
use crate::output::progress;
use crate::output::text::{count, counted};
use crate::verbs::verify;

/// Entries that one call checks where nobody says how many.
const SHARE: usize = 10_000;
/// Some hundredths of a processor's time.
const RATE: NonZeroU32 = NonZeroU32::new(1_000).unwrap();
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Entries to check; the next call goes on behind them
    #[arg(long, value_name = "N", default_value_t = SHARE, conflicts_with = "pass")]
    entries: usize,
    /// Go on to the end of the pass, with pauses; an interrupt stops it, and the next call goes on
    #[arg(long)]
    pass: bool,
    /// Entries that a pass checks in a second, at most
    #[arg(long, value_name = "ENTRIES_PER_SECOND", default_value_t = RATE, requires = "pass")]
    rate: NonZeroU32,
}

pub(crate) async fn run(app: &mut App, args: &Args) -> Result<()> {
    let store = app.redb()?;
    let report = if args.pass {
        pass(store.scrub_pass(args.rate)).await?
    } else {
        progress::during("scrubbing", store.scrub(args.entries)).await?
    };
    if app.out.json() {
        app.out.object(&report)?;
    } else {
        verify::print_problems(&mut app.out, &report.problems)?;
        app.out.line(sentence(&report))?;
    }
    verify::outcome(&report.problems)
}

/// Goes on to the end of the pass, or until somebody interrupts, which is no failure: the store keeps how far
/// it came.
async fn pass(mut pass: ScrubPass<'_>) -> Result<ScrubReport> {
    let line = progress::drawn("scrubbing");
    // One for all pauses: an interruption during a step counts too.
    let mut interrupt = pin!(tokio::signal::ctrl_c());
    while let Some(pause) = pass.step().await? {
        let ScrubReport { next, entries, .. } = pass.found();
        line.set_message(format!("scrubbing: {} of {}", count(*next), count(*entries)));
        line.tick();
        tokio::select! {
            biased;
            // Where interrupts cannot be heard, they end the process as ever.
            Ok(()) = &mut interrupt => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    line.finish_and_clear();
    Ok(pass.found().clone())
}

fn sentence(report: &ScrubReport) -> String {
    let goes_on = match report.next {
        0 => "the end of a pass".to_owned(),
        next => format!("goes on at {}", count(next)),
    };
    format!(
        "{} of {} checked, {goes_on}: {}; nothing is unverified for more than {}",
        count(report.checked),
        counted(report.entries, "entry", "entries"),
        counted(report.problems.len() as u64, "problem", "problems"),
        counted(report.oldest_unverified_ms.div_ceil(DAY_MS), "day", "days"),
    )
}
