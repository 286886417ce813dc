//! `scrub`: the check of everything, a share at a time, from the disk and not from memory.

use treering_tree::ScrubReport;

use crate::app::App;
use crate::failure::Result;
use crate::output::progress;
use crate::output::text::{count, counted};
use crate::verbs::verify;

/// Entries that one call checks where nobody says how many.
const SHARE: usize = 10_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Entries to check; the next call goes on behind them
    #[arg(long, value_name = "N", default_value_t = SHARE)]
    entries: usize,
}

pub(crate) async fn run(app: &mut App, args: &Args) -> Result<()> {
    let store = app.redb()?;
    let report = progress::during("scrubbing", store.scrub(args.entries)).await?;
    if app.out.json() {
        app.out.object(&report)?;
    } else {
        verify::print_problems(&mut app.out, &report.problems)?;
        app.out.line(sentence(&report))?;
    }
    verify::outcome(&report.problems)
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
