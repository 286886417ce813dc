//! `compact SESSION`: puts a summary in the place of the older part of the context.

use std::pin::pin;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval, timeout};
use treering_compactor::{
    CompactionResult, Compactor, Error, Event, Events, Handle, Happened, OnDrop, RunOptions,
};
use treering_policy::{Policy, SkipReason};
use treering_tree::{Id, Session};

use crate::app::App;
use crate::config::{Flags, RULES, SUMMARY};
use crate::defaults;
use crate::failure::Result;
use crate::output::steps::Steps;
use crate::output::text::{count, counted};
use crate::output::{Out, progress, style};
use crate::resolve;
use crate::summarizer::{self, Chosen};
use crate::verbs::policy::policy;

/// How often people who watch are told how far a model is.
const TICK: Duration = Duration::from_millis(100);
/// How long one that was cancelled may take to give its lease back.
const GRACE: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    session: String,
    #[command(flatten)]
    rules: Flags<RULES>,
    #[command(flatten)]
    summary: Flags<SUMMARY>,
    /// Cover everything up to this entry, whatever the rules keep
    #[arg(long, value_name = "ENTRY")]
    up_to: Option<String>,
    /// Compact although the context is not due
    #[arg(long)]
    force: bool,
    /// Do everything but write
    #[arg(long)]
    dry_run: bool,
    /// Run it as a runtime does, in the background, and tell every step on standard error; an
    /// interrupt cancels it in either case, and nothing is written
    #[arg(long)]
    background: bool,
}

#[derive(Serialize)]
pub(crate) struct Object<'a> {
    compaction_entry_id: Option<Id>,
    first_kept_entry_id: Option<Id>,
    summarized_count: u64,
    masked_count: u64,
    tokens_before: u64,
    tokens_after: u64,
    skipped_reason: Option<&'a SkipReason>,
}

pub(crate) async fn run(app: &mut App, args: &Args) -> Result<()> {
    let config = app.config.under(&args.rules).under(&args.summary);
    let chosen = summarizer::chosen(&config, &app.environment, &app.sources)?;
    let store = app.store()?;
    let session = resolve::session(&store, &app.sources, &args.session).await?;
    let up_to = match &args.up_to {
        Some(text) => Some(resolve::entry(&session, text).await?),
        None => None,
    };
    let Args { force, dry_run, .. } = *args;
    let options = RunOptions { force, dry_run, up_to, ..RunOptions::default() };
    let compactor = defaults::compactor_with(chosen.summarizer.clone());
    let policy = policy(&config);
    let result = if dry_run {
        progress::during("planning", compactor.run(&session, &policy, &options)).await?
    } else {
        let mut steps = Steps::new(args.background && !app.out.json(), &app.err, app.terminal);
        watched(&compactor, &session, &policy, &options, &chosen, &mut steps).await?
    };
    if app.out.json() {
        Ok(app.out.object(&object(&result))?)
    } else {
        print(&mut app.out, &result)
    }
}

/// Runs a compaction in the background, tells its steps, and cancels it on an interrupt.
async fn watched(
    compactor: &Compactor,
    session: &Session,
    policy: &Policy,
    options: &RunOptions,
    chosen: &Chosen,
    steps: &mut Steps,
) -> Result<CompactionResult, Error> {
    let mut events = compactor.events();
    let mut handle = compactor.start(session, policy, options, OnDrop::Cancel).await?;
    let mut interrupt = pin!(tokio::signal::ctrl_c());
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            // Before the result, which comes behind all of them.
            Some(event) = events.next() => tell(event, chosen, steps),
            result = handle.result() => return result,
            // Where interrupts cannot be heard, they end the process as ever.
            Ok(()) = &mut interrupt => return cancelled(handle, events).await,
            _ = ticks.tick() => steps.detail(&pulse(chosen)),
        }
    }
}

/// Cancels it; one that is just being written is seen through to its end.
async fn cancelled(handle: Handle, mut events: Events) -> Result<CompactionResult, Error> {
    let mut landing = handle.another();
    if !handle.cancel() {
        return landing.result().await;
    }
    // Its lease is given back before the end is told; one that is not runs out by itself.
    let ended = async {
        while let Some(event) = events.next().await {
            if event.is_ok_and(|event| matches!(event.what, Happened::Failed(_))) {
                break;
            }
        }
    };
    let _ = timeout(GRACE, ended).await;
    Err(Error::Cancelled)
}

/// Tells a step; what was missed is not worth a word.
fn tell(event: Result<Event, u64>, chosen: &Chosen, steps: &mut Steps) {
    match event.map(|event| event.what) {
        Ok(Happened::Started) => steps.step("planning"),
        Ok(Happened::Chunk { entries, tokens, .. }) => {
            let (entries, tokens) = (counted(entries, "entry", "entries"), count(tokens));
            steps.step(&format!("{} summarizes {entries}, {tokens} tokens", chosen.name));
        }
        // The end is for the result to tell.
        _ => {}
    }
}

fn pulse(chosen: &Chosen) -> String {
    match chosen.pulse() {
        None | Some((0, _)) => String::new(),
        Some((1, bytes)) => format!(": {} bytes heard", count(bytes as u64)),
        Some((attempt, bytes)) => {
            format!(": try {attempt}, {} bytes heard", count(bytes as u64))
        }
    }
}

/// A result as `--json` writes it.
pub(crate) fn object(result: &CompactionResult) -> Object<'_> {
    Object {
        compaction_entry_id: result.entry,
        first_kept_entry_id: result.first_kept_entry_id,
        summarized_count: result.summarized_count,
        masked_count: result.masked_count,
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
    if result.masked_count > 0 {
        let masked = counted(result.masked_count, "kept entry", "kept entries");
        out.line(format!("{masked} masked: large outputs and arguments, whole in the store"))?;
    }
    let (before, after) = (count(result.tokens_before), count(result.tokens_after));
    Ok(out.line(format!("context: {before} -> {after} tokens"))?)
}
