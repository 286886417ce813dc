//! `compact SESSION`: puts a summary in the place of the older part of the context.

use serde::Serialize;
use treering_compactor::{CompactionResult, RunOptions};
use treering_policy::SkipReason;
use treering_tree::Id;

use crate::app::App;
use crate::defaults;
use crate::failure::Result;
use crate::output::text::{count, counted};
use crate::output::{Out, progress, style};
use crate::resolve;
use crate::verbs::policy::Rules;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    session: String,
    #[command(flatten)]
    rules: Rules,
    /// Cover everything up to this entry, whatever the rules keep
    #[arg(long, value_name = "ENTRY")]
    up_to: Option<String>,
    /// Compact although the context is not due
    #[arg(long)]
    force: bool,
    /// Do everything but write
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
pub(crate) struct Object<'a> {
    compaction_entry_id: Option<Id>,
    first_kept_entry_id: Option<Id>,
    summarized_count: u64,
    tokens_before: u64,
    tokens_after: u64,
    skipped_reason: Option<&'a SkipReason>,
}

pub(crate) async fn run(app: &mut App, args: &Args) -> Result<()> {
    let store = app.store()?;
    let session = resolve::session(&store, &app.sources, &args.session).await?;
    let up_to = match &args.up_to {
        Some(text) => Some(resolve::entry(&session, text).await?),
        None => None,
    };
    let Args { force, dry_run, .. } = *args;
    let options = RunOptions { force, dry_run, up_to, ..RunOptions::default() };
    let (compactor, policy) = (defaults::compactor(), args.rules.policy());
    let work = compactor.run(&session, &policy, &options);
    let result = progress::during("compacting", work).await?;
    if app.out.json() {
        Ok(app.out.object(&object(&result))?)
    } else {
        print(&mut app.out, &result)
    }
}

/// A result as `--json` writes it.
pub(crate) fn object(result: &CompactionResult) -> Object<'_> {
    Object {
        compaction_entry_id: result.entry,
        first_kept_entry_id: result.first_kept_entry_id,
        summarized_count: result.summarized_count,
        tokens_before: result.tokens_before,
        tokens_after: result.tokens_after,
        skipped_reason: result.skipped_reason.as_ref(),
    }
}

/// Says what came of a compaction.
pub(crate) fn print(out: &mut Out, result: &CompactionResult) -> Result<()> {
    if let Some(reason) = &result.skipped_reason {
        return Ok(out.line(format!("not compacted: {reason}"))?);
    }
    let summarized = counted(result.summarized_count, "entry", "entries");
    let entry = match result.entry {
        Some(id) => format!("became the summary {}", out.paint(&id.short(), style::SUMMARY)),
        None => "would become a summary".to_owned(),
    };
    let kept = match result.first_kept_entry_id {
        Some(id) => format!("kept from {}", out.paint(&id.short(), style::ID)),
        None => "nothing kept".to_owned(),
    };
    out.line(format!("{summarized} {entry}, {kept}"))?;
    let (before, after) = (count(result.tokens_before), count(result.tokens_after));
    Ok(out.line(format!("context: {before} -> {after} tokens"))?)
}
