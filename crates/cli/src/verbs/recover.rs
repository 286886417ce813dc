//! `recover DAMAGED NEW`: what is left of a damaged store, into a new one.

use std::path::PathBuf;

use treering_tree::{RecoverReport, RedbStore};

use crate::app::App;
use crate::failure::{Failure, Group, Result};
use crate::output::progress::Bar;
use crate::output::text::{count, counted};
use crate::output::{Out, style};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The damaged file; it is only read
    damaged: PathBuf,
    /// The new store, where nothing may be yet
    new: PathBuf,
}

pub(crate) fn run(app: &mut App, args: &Args) -> Result<()> {
    let (damaged, new) = (app.at(&args.damaged), app.at(&args.new));
    if !damaged.try_exists()? {
        let message = format!("no store at {}", damaged.display());
        return Err(Failure::new(Group::NotFound, message));
    }
    let options = app.options()?;
    let mut bar = Bar::new("recovering");
    let progress = &mut |done, all| bar.set(done, all);
    let report = RedbStore::recover(&damaged, &new, &options, progress);
    bar.clear();
    let report = report?;
    if app.out.json() { Ok(app.out.object(&report)?) } else { print(&mut app.out, &report) }
}

fn print(out: &mut Out, report: &RecoverReport) -> Result<()> {
    for session in &report.sessions {
        let name = out.paint(&out.clipped(&session.name, out.width()), style::BOLD);
        let entries = counted(session.entries, "entry", "entries");
        let branches = counted(session.branches, "branch", "branches");
        let made = count(session.recovered_branches);
        out.line(format!("{name}: {entries}, {branches}, {made} more made for loose ends"))?;
    }
    for gone in &report.gone {
        let gone = out.foreign(gone);
        out.line(format!("{} {gone}", out.paint("gone:", style::BAD)))?;
    }
    let of = report.counted.map_or_else(String::new, |all| format!(" of {}", count(all)));
    let entries = counted(report.entries, "entry", "entries");
    let (lost, erased) = (count(report.lost), count(report.erased));
    Ok(out.line(format!("{entries}{of} recovered, {erased} of them erased, {lost} lost"))?)
}
