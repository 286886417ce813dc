//! `erase SESSION ENTRY...`: takes bodies away for good; ids and ancestry stay. What may still tell of them
//! is always listed, and erased too where that is asked for.

use std::sync::Arc;

use serde::Serialize;
use treering_tree::{Dependants, Erased, Erasure, Id, RedbStore, RewriteReport, Store, limits};

use crate::app::App;
use crate::failure::{Failure, Result};
use crate::output::text::counted;
use crate::output::{Out, progress, style};
use crate::resolve;
use crate::verbs::compact_store;

/// What takes erased bytes out of the file.
const LATER: &str = "the bytes leave the file with `treering compact-store`";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    session: String,
    #[arg(required_unless_present = "forget_key", value_name = "ENTRY")]
    entries: Vec<String>,
    /// In an encrypted store: forget the session's key, which erases all that it holds at once
    #[arg(long, conflicts_with = "entries")]
    forget_key: bool,
    /// Also erase the summaries and labels that may tell of them; the next compaction summarizes anew
    #[arg(long, conflicts_with = "forget_key")]
    summaries: bool,
    /// Then rewrite the store's file, so that no byte of them stays in it
    #[arg(long)]
    physical: bool,
    /// Why; it stays in the tombstones
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who erases them; it stays in the tombstones
    #[arg(long, value_name = "NAME", default_value = crate::args::PROGRAM)]
    by: String,
}

/// What was done, as `--json` writes it.
#[derive(Serialize)]
struct Object<T> {
    #[serde(flatten)]
    done: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    rewritten: Option<RewriteReport>,
}

/// The end of a session's key.
#[derive(Serialize)]
struct Forgotten {
    tombstone: Option<Id>,
}

pub(crate) async fn run(app: &mut App, args: Args) -> Result<()> {
    // Gone before the file is rewritten: nobody may have it open then.
    let store = Arc::new(app.redb()?);
    let erasure = erasure(app, &store, &args).await?;
    if args.forget_key {
        let tombstone = progress::during("erasing", store.forget(&erasure)).await?;
        drop(store);
        return finish(app, args.physical, Forgotten { tombstone }, print_forgotten).await;
    }
    let erased = progress::during("erasing", erase(&*store, erasure, args.summaries)).await?;
    drop(store);
    finish(app, args.physical, erased, print).await
}

/// What is to go.
async fn erasure(app: &App, store: &Arc<RedbStore>, args: &Args) -> Result<Erasure> {
    let store = Arc::clone(store) as Arc<dyn Store>;
    let session = resolve::session(&store, &app.sources, &args.session).await?;
    let mut entries = Vec::with_capacity(args.entries.len());
    for text in &args.entries {
        entries.push(resolve::entry(&session, text).await?);
    }
    Ok(Erasure {
        session: session.name().to_owned(),
        entries,
        by: args.by.clone(),
        reason: args.reason.clone(),
        at_ms: app.sources.now_ms(),
    })
}

/// Erases the entries, and then the summaries that may tell of them; lists those that still may.
async fn erase(store: &dyn Store, erasure: Erasure, summaries: bool) -> Result<Erased> {
    let mut all = store.erase(erasure.clone()).await?;
    let Dependants { summaries: telling, labels, .. } = &mut all.dependants;
    *telling = with_bodies(store, telling).await?;
    if summaries {
        let most = usize::try_from(limits::ENTRIES_PER_CHANGE).unwrap_or(usize::MAX);
        let both = [std::mem::take(telling), std::mem::take(labels)].concat();
        for entries in both.chunks(most) {
            let more = Erasure { entries: entries.to_vec(), ..erasure.clone() };
            let more = store.erase(more).await?;
            all.erased.extend(more.erased);
            all.tombstones.extend(more.tombstones);
            all.journal = more.journal.or(all.journal);
        }
    }
    Ok(all)
}

/// Those that have a body.
async fn with_bodies(store: &dyn Store, ids: &[Id]) -> Result<Vec<Id>> {
    let mut left = Vec::new();
    for page in ids.chunks(limits::PAGE) {
        let stored = store.entries(page).await?.into_iter().flatten();
        let stored = stored.filter(|stored| stored.entry.body().is_some());
        left.extend(stored.map(|stored| stored.place.id));
    }
    Ok(left)
}

/// Rewrites the file where that is asked for, and tells what was done.
async fn finish<T: Serialize>(
    app: &mut App,
    physical: bool,
    done: T,
    print: fn(&mut Out, &T) -> Result<()>,
) -> Result<()> {
    if !app.out.json() {
        print(&mut app.out, &done)?;
        app.out.flush()?;
    }
    let erased_so_far = |failure: Failure| {
        failure.hint("they are erased, and gone from every read; for the file, try compact-store")
    };
    let rewritten = if physical {
        Some(compact_store::rewrite(app, None).await.map_err(erased_so_far)?)
    } else {
        None
    };
    match rewritten {
        rewritten if app.out.json() => Ok(app.out.object(&Object { done, rewritten })?),
        Some(report) => compact_store::print(&mut app.out, &report),
        None => Ok(app.out.line(LATER)?),
    }
}

fn print_forgotten(out: &mut Out, forgotten: &Forgotten) -> Result<()> {
    let Some(tombstone) = forgotten.tombstone else {
        return Ok(out.line("there is no key to forget: the session has none (any more)")?);
    };
    let tombstone = out.paint(&tombstone.short(), style::BAD);
    Ok(out.line(format!("the session's key is forgotten, tombstone {tombstone}"))?)
}

fn print(out: &mut Out, erased: &Erased) -> Result<()> {
    let entries = counted(erased.erased.len() as u64, "entry", "entries");
    out.line(format!("{entries} erased"))?;
    for id in &erased.dependants.summaries {
        let id = out.paint(&id.short(), style::SUMMARY);
        out.line(format!("summary {id} may still tell of it"))?;
    }
    for id in &erased.dependants.labels {
        let id = out.paint(&id.short(), style::LABEL);
        out.line(format!("label {id} names it"))?;
    }
    for (session, branch) in &erased.dependants.branches {
        let session = out.paint(&out.foreign(session), style::BOLD);
        let branch = out.paint(&out.foreign(branch), style::BRANCH);
        out.line(format!("on {session} {branch}"))?;
    }
    if !erased.dependants.summaries.is_empty() || !erased.dependants.labels.is_empty() {
        out.line("the same command with --summaries erases the summaries and labels too")?;
    }
    Ok(())
}
