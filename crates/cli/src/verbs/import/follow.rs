//! Files that are followed while their tools write them, until somebody interrupts.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use treering_interchange::{Follow, Options, Repair, RepairKind, SessionReport};
use treering_tree::Store;

use super::{is_stdin, print};
use crate::app::App;
use crate::defaults;
use crate::failure::{Failure, Group, Result};
use crate::output::progress::Bar;
use crate::output::text::counted;
use crate::output::{Out, style};

/// How long until the files are looked at again.
const PAUSE: Duration = Duration::from_millis(250);

/// Runs until it is interrupted, which is how it ends well.
pub(super) async fn run(app: &mut App, paths: Vec<PathBuf>, format: Option<&str>) -> Result<()> {
    if paths.iter().any(|path| is_stdin(path)) {
        let failure = Failure::new(Group::Usage, "standard input cannot be followed");
        return Err(failure.hint("name the file that is written to"));
    }
    let mut follow = Follow::new(paths.iter().map(|path| app.at(path)).collect::<Vec<_>>());
    let mut store: Option<Arc<dyn Store>> = None;
    let mut told = Told::default();
    // One for all rounds: an interruption while something is imported counts too.
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    loop {
        let changed = follow.changed(format)?;
        if !changed.is_empty() {
            let store = match &mut store {
                Some(store) => store,
                none => none.insert(app.store_or_new()?),
            };
            let mut bar = Bar::new("importing");
            let options = Options {
                count: &defaults::message_size,
                format,
                at_ms: app.sources.now_ms(),
                progress: &mut |progress| bar.set(progress.done_bytes, progress.total_bytes),
            };
            let loaded = changed.load(&**store, options).await;
            bar.clear();
            for report in loaded? {
                told.print(&mut app.out, report)?;
            }
            app.out.flush()?;
        }
        follow.saw(&changed);
        tokio::select! {
            interrupted = &mut interrupted => return Ok(interrupted?),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// The repairs that were told already, by session: each reading of a file finds them again.
#[derive(Default)]
struct Told(HashMap<String, HashSet<(RepairKind, u64, String)>>);

impl Told {
    fn print(&mut self, out: &mut Out, mut report: SessionReport) -> Result<()> {
        let told = self.0.entry(report.session.clone()).or_default();
        let is_new =
            |repair: &Repair| told.insert((repair.kind, repair.line, repair.detail.clone()));
        report.repairs.retain(is_new);
        if report.added == 0 && report.repairs.is_empty() {
            return Ok(());
        }
        if out.json() {
            return Ok(out.object(&print::row(&report))?);
        }
        let session = out.paint(&out.clipped(&report.session, out.width()), style::BOLD);
        if report.added > 0 {
            let added = counted(report.added, "entry", "entries");
            let all = counted(report.entries, "record", "records");
            out.line(format!("{session}: {added} more, {all} in its files"))?;
        }
        print::repairs(out, &report.repairs)
    }
}
