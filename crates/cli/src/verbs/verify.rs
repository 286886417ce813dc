//! `verify`: the check of everything.

use serde::Serialize;
use treering_tree::{Problem, Report};

use crate::app::App;
use crate::failure::{Failure, Group, Result};
use crate::output::text::counted;
use crate::output::{Out, progress, style};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

#[derive(Serialize)]
pub(crate) struct Object<'a> {
    entries: u64,
    sessions: u64,
    problems: &'a [Problem],
}

pub(crate) async fn run(app: &mut App, _: &Args) -> Result<()> {
    let store = app.store()?;
    let report = progress::during("verifying", store.verify()).await?;
    if app.out.json() {
        app.out.object(&object(&report))?;
    } else {
        print_problems(&mut app.out, &report.problems)?;
        app.out.line(sentence(&report))?;
    }
    outcome(&report.problems)
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
