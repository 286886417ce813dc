//! `compact SESSION`: puts a summary in the place of the older part of the context.

use serde::Serialize;
use treering_compactor::{CompactionResult, RunOptions};
use treering_policy::{Policy, SkipReason};
use treering_tree::Id;

use crate::app::App;
use crate::defaults;
use crate::failure::Result;
use crate::output::text::{count, counted};
use crate::output::{Out, progress, style};
use crate::resolve;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    session: String,
    /// The model's limit in tokens; without it only --force compacts
    #[arg(long, value_name = "N")]
    window: Option<u64>,
    /// Tokens held back of the window [default: 20 %, at least 10,000 where the window allows it]
    #[arg(long, value_name = "N")]
    reserve: Option<u64>,
    /// User turns kept verbatim [default: 6]
    #[arg(long, value_name = "N")]
    keep_turns: Option<u64>,
    /// Compact although the context is not due
    #[arg(long)]
    force: bool,
    /// Do everything but write
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    fn policy(&self) -> Policy {
        let default = Policy::default();
        Policy {
            window: self.window.unwrap_or(default.window),
            reserve: self.reserve.or(default.reserve),
            keep_recent_turns: self.keep_turns.or(default.keep_recent_turns),
            ..default
        }
    }
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
    let options = RunOptions { force: args.force, dry_run: args.dry_run, ..RunOptions::default() };
    let (compactor, policy) = (defaults::compactor(), args.policy());
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
