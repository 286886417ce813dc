//! `prune --older-than DAYS`: erases what sessions hold that did not change for so long.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;
use treering_tree::{Pruned, Retention, Store, limits, prune};

use crate::app::App;
use crate::failure::Result;
use crate::output::text::counted;
use crate::output::{Out, progress, style, time};
use crate::resolve;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Sessions that did not change for so many days
    #[arg(long, value_name = "DAYS")]
    older_than: u32,
    /// Leave sessions in which an entry has a label
    #[arg(long)]
    keep_labelled: bool,
    /// Only tell what would go
    #[arg(long)]
    dry_run: bool,
    /// Who erases; it stays in the tombstones
    #[arg(long, value_name = "NAME", default_value = crate::args::PROGRAM)]
    by: String,
}

#[derive(Serialize)]
struct Object {
    before: String,
    dry_run: bool,
    sessions: Vec<Pruned>,
}

pub(crate) async fn run(app: &mut App, args: Args) -> Result<()> {
    let store = app.store()?;
    let now_ms = app.sources.now_ms();
    let before_ms = now_ms.saturating_sub(i64::from(args.older_than).saturating_mul(DAY_MS));
    let keep = if args.keep_labelled { labelled(&store).await? } else { BTreeSet::new() };
    let days = counted(args.older_than.into(), "day", "days");
    let (by, dry_run) = (args.by, args.dry_run);
    let reason = format!("did not change for {days}");
    let rule = Retention { before_ms, keep, by, reason, dry_run };
    let sessions = progress::during("pruning", prune(&*store, &rule, now_ms)).await?;
    let object = Object { before: time::rfc3339(before_ms), dry_run, sessions };
    if app.out.json() { Ok(app.out.object(&object)?) } else { print(&mut app.out, &object) }
}

/// Sessions in which an entry has a label. Reads all entries.
async fn labelled(store: &Arc<dyn Store>) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    let mut after: Option<String> = None;
    loop {
        let page = store.sessions(after.as_deref(), limits::PAGE).await?;
        let Some(last) = page.last() else { return Ok(names) };
        after = Some(last.name.clone());
        for info in page {
            if !resolve::labels(store, &info.name).await?.is_empty() {
                names.insert(info.name);
            }
        }
    }
}

fn print(out: &mut Out, object: &Object) -> Result<()> {
    let done = if object.dry_run { "would be erased" } else { "erased" };
    for pruned in &object.sessions {
        let session = out.paint(&out.foreign(&pruned.session), style::BOLD);
        let entries = counted(pruned.erased, "entry", "entries");
        let shared = match pruned.shared {
            0 => String::new(),
            shared => {
                format!(", {} stay for sessions that stay", counted(shared, "entry", "entries"))
            }
        };
        let changed = time::minute(pruned.changed_ms);
        out.line(format!("{session}, changed last {changed}: {entries} {done}{shared}"))?;
        for id in &pruned.dependants.summaries {
            let id = out.paint(&id.short(), style::SUMMARY);
            out.line(format!("summary {id} may still tell of it"))?;
        }
        for id in &pruned.dependants.labels {
            let id = out.paint(&id.short(), style::LABEL);
            out.line(format!("label {id} names it"))?;
        }
    }
    if object.sessions.is_empty() {
        return Ok(out.line(format!("nothing to erase before {}", object.before))?);
    }
    Ok(out.line("the bytes leave the file with `treering compact-store`")?)
}
