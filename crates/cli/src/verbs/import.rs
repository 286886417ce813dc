//! `import PATH...`: foreign sessions, and bundles of other stores, into the store.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;
use treering_interchange::{
    BundleOptions, BundleReport, Input, Options, Repair, SessionReport, import_bundle, load,
};
use treering_tree::Store;

use crate::app::App;
use crate::defaults;
use crate::failure::Result;
use crate::output::progress::Bar;
use crate::output::table::{Column, Table};
use crate::output::text::{count, counted, name};
use crate::output::{Out, progress, style};

/// What a bundle begins with, and no file of another format.
const BUNDLE: &[u8] = b"{\"bundle\":";

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
    let (mut bundles, mut inputs) = (Vec::new(), Vec::new());
    for path in args.paths {
        if args.format.is_none() && is_bundle(&path)? {
            bundles.push(path);
        } else {
            inputs.push(Input::Path(path));
        }
    }
    for path in &bundles {
        let report = progress::during("importing", take(&*store, path, app.sources.now_ms()));
        print_bundle(&mut app.out, &report.await?)?;
    }
    if inputs.is_empty() {
        return Ok(());
    }
    let mut bar = Bar::new("importing");
    let options = Options {
        count: &defaults::message_size,
        format: args.format.as_deref(),
        at_ms: app.sources.now_ms(),
        progress: &mut |progress| bar.set(progress.done_bytes, progress.total_bytes),
    };
    let loaded = load(&*store, inputs, options).await;
    bar.clear();
    print(&mut app.out, &loaded?)
}

/// Whether a file begins as bundles do. What is no file is none.
fn is_bundle(path: &Path) -> io::Result<bool> {
    if !path.is_file() {
        return Ok(false);
    }
    let mut head = Vec::with_capacity(BUNDLE.len());
    File::open(path)?.take(BUNDLE.len() as u64).read_to_end(&mut head)?;
    Ok(head == BUNDLE)
}

async fn take(store: &dyn Store, path: &Path, at_ms: i64) -> Result<BundleReport> {
    let mut file = BufReader::new(File::open(path)?);
    Ok(import_bundle(store, &mut file, BundleOptions { session: None, at_ms }).await?)
}

fn print_bundle(out: &mut Out, report: &BundleReport) -> Result<()> {
    if out.json() {
        return Ok(out.object(report)?);
    }
    let session = out.paint(&out.clipped(&report.session, out.width()), style::BOLD);
    let entries = counted(report.entries, "entry", "entries");
    let moved = counted(report.moved.len() as u64, "branch", "branches");
    out.line(format!("{session}: {entries}, {} added, {moved} moved", count(report.added)))?;
    for branch in &report.diverged {
        let branch = out.paint(&out.foreign(branch), style::BRANCH);
        out.line(format!("{branch} is elsewhere here, and stays"))?;
    }
    Ok(())
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
