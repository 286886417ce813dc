//! `verify`: the check of everything.

use serde::Serialize;
use treering_tree::{Error, Problem, RedbStore, Report, Stamp, Store as _};

use crate::app::App;
use crate::failure::{Failure, Group, Result};
use crate::output::text::counted;
use crate::output::{Out, progress, style};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Also check that the store goes on from where `stats` gave this stamp, and is no older copy of itself
    #[arg(long, value_name = "STAMP")]
    since: Option<Stamp>,
}

#[derive(Serialize)]
pub(crate) struct Object<'a> {
    entries: u64,
    sessions: u64,
    problems: &'a [Problem],
}

pub(crate) async fn run(app: &mut App, args: &Args) -> Result<()> {
    let store = app.redb()?;
    let mut report = progress::during("verifying", store.verify()).await?;
    if let Some(stamp) = &args.since {
        report.problems.extend(since(&store, stamp)?);
    }
    if app.out.json() {
        app.out.object(&object(&report))?;
    } else {
        print_problems(&mut app.out, &report.problems)?;
        app.out.line(sentence(&report))?;
    }
    outcome(&report.problems)
}

/// What contradicts a stamp.
fn since(store: &RedbStore, stamp: &Stamp) -> Result<Option<Problem>> {
    match store.continues(stamp) {
        Ok(()) => Ok(None),
        Err(error @ (Error::RolledBack { .. } | Error::OtherStore)) => {
            let (what, name) = ("stamp".to_owned(), stamp.to_string());
            Ok(Some(Problem { what, name, detail: error.to_string() }))
        }
        Err(error) => Err(error.into()),
    }
}

/// A report as `--json` writes it.
pub(crate) fn object(report: &Report) -> Object<'_> {
    let Report { entries, sessions, problems, .. } = report;
    Object { entries: *entries, sessions: *sessions, problems }
}

/// A failed check where there are problems.
pub(crate) fn outcome(problems: &[Problem]) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    let found = counted(problems.len() as u64, "problem", "problems");
    let hint = "keep a copy of the file before anything else; what is undamaged stays readable";
    Err(Failure::new(Group::Failed, format!("the store has {found}")).hint(hint))
}

/// One line for each.
pub(crate) fn print_problems(out: &mut Out, problems: &[Problem]) -> Result<()> {
    for problem in problems {
        let what = out.paint(&problem.what, style::BAD);
        let rest = out.foreign(&format!("{}: {}", problem.name, problem.detail));
        out.line(format!("{what} {rest}"))?;
    }
    Ok(())
}

/// What a report comes to.
pub(crate) fn sentence(report: &Report) -> String {
    format!(
        "{}, {}, {} checked: {}",
        counted(report.entries, "entry", "entries"),
        counted(report.sessions, "session", "sessions"),
        counted(report.journal_rows, "journal row", "journal rows"),
        counted(report.problems.len() as u64, "problem", "problems"),
    )
}
