//! `import PATH...`: foreign sessions into the store.

use std::path::PathBuf;

use serde::Serialize;
use treering_interchange::{Input, Options, Repair, SessionReport, load};

use crate::app::App;
use crate::defaults;
use crate::failure::Result;
use crate::output::progress::Bar;
use crate::output::table::{Column, Table};
use crate::output::text::{count, name};
use crate::output::{Out, style};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files, folders or globs
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Take the files for this format instead of looking at their content
    #[arg(long, value_name = "F")]
    format: Option<String>,
}

#[derive(Serialize)]
struct Row<'a> {
    session: &'a str,
    format: &'a str,
    entries: u64,
    added: u64,
    branches: u64,
    leaves: u64,
    compactions: u64,
    repairs: &'a [Repair],
}

pub(crate) async fn run(app: &mut App, args: Args) -> Result<()> {
    let store = app.store_or_new()?;
    let inputs = args.paths.into_iter().map(Input::Path).collect();
    let mut bar = Bar::new("importing");
    let options = Options {
        count: &defaults::message_tokens,
        format: args.format.as_deref(),
        at_ms: app.sources.now_ms(),
        progress: &mut |progress| bar.set(progress.done_bytes, progress.total_bytes),
    };
    let loaded = load(&*store, inputs, options).await;
    bar.clear();
    print(&mut app.out, &loaded?)
}

fn print(out: &mut Out, reports: &[SessionReport]) -> Result<()> {
    if out.json() {
        return Ok(reports.iter().try_for_each(|report| out.object(&row(report)))?);
    }
    let mut table = Table::new([
        Column::left("session", style::BOLD),
        Column::left("format", style::PLAIN),
        Column::right("entries", style::PLAIN),
        Column::right("added", style::PLAIN),
        Column::right("branches", style::PLAIN),
        Column::right("leaves", style::PLAIN),
        Column::right("compactions", style::PLAIN),
        Column::right("repairs", style::PLAIN),
    ]);
    table.print(out, &reports.iter().map(cells).collect::<Vec<_>>())?;
    reports.iter().try_for_each(|report| repairs(out, report))
}

/// The first repair of each kind, and how many more there are.
fn repairs(out: &mut Out, report: &SessionReport) -> Result<()> {
    let mut kinds: Vec<(&Repair, u64)> = Vec::new();
    for repair in &report.repairs {
        match kinds.iter_mut().find(|(first, _)| first.kind == repair.kind) {
            Some((_, more)) => *more += 1,
            None => kinds.push((repair, 0)),
        }
    }
    for (first, more) in kinds {
        let place = out.foreign(&format!("{}:{}", first.file, first.line));
        let place = out.paint(&place, style::LABEL);
        let detail = out.foreign(&first.detail);
        let kind = name(&first.kind);
        let more =
            if more > 0 { format!(" (and {} more {kind})", count(more)) } else { String::new() };
        out.line(format!("{place}: {detail}{more}"))?;
    }
    Ok(())
}

fn row(report: &SessionReport) -> Row<'_> {
    Row {
        session: &report.session,
        format: &report.format,
        entries: report.entries,
        added: report.added,
        branches: report.branches,
        leaves: report.leaves,
        compactions: report.compactions,
        repairs: &report.repairs,
    }
}

fn cells(report: &SessionReport) -> [String; 8] {
    [
        report.session.clone(),
        report.format.clone(),
        count(report.entries),
        count(report.added),
        count(report.branches),
        count(report.leaves),
        count(report.compactions),
        count(report.repairs.len() as u64 + report.repairs_left_off),
    ]
}
