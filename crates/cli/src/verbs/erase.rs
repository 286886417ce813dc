//! `erase SESSION ENTRY...`: takes bodies away for good; ids and ancestry stay.

use std::sync::Arc;

use treering_tree::{Erased, Erasure, Id, Store};

use crate::app::App;
use crate::failure::Result;
use crate::output::text::counted;
use crate::output::{Out, progress, style};
use crate::resolve;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    session: String,
    #[arg(required_unless_present = "forget_key", value_name = "ENTRY")]
    entries: Vec<String>,
    /// In an encrypted store: forget the session's key, which erases all that it holds at once
    #[arg(long, conflicts_with = "entries")]
    forget_key: bool,
    /// Why; it stays in the tombstones
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who erases them; it stays in the tombstones
    #[arg(long, value_name = "NAME", default_value = crate::args::PROGRAM)]
    by: String,
}

pub(crate) async fn run(app: &mut App, args: Args) -> Result<()> {
    let redb = Arc::new(app.redb()?);
    let store: Arc<dyn Store> = Arc::clone(&redb) as Arc<dyn Store>;
    let session = resolve::session(&store, &app.sources, &args.session).await?;
    let mut entries = Vec::with_capacity(args.entries.len());
    for text in &args.entries {
        entries.push(resolve::entry(&session, text).await?);
    }
    let erasure = Erasure {
        session: session.name().to_owned(),
        entries,
        by: args.by,
        reason: args.reason,
        at_ms: app.sources.now_ms(),
    };
    if args.forget_key {
        let tombstone = progress::during("erasing", redb.forget(&erasure)).await?;
        return print_forgotten(&mut app.out, tombstone);
    }
    let erased = progress::during("erasing", store.erase(erasure)).await?;
    if app.out.json() { Ok(app.out.object(&erased)?) } else { print(&mut app.out, &erased) }
}

fn print_forgotten(out: &mut Out, tombstone: Option<Id>) -> Result<()> {
    if out.json() {
        return Ok(out.object(&serde_json::json!({ "tombstone": tombstone }))?);
    }
    let Some(tombstone) = tombstone else {
        return Ok(out.line("there is no key to forget: the session has none (any more)")?);
    };
    let tombstone = out.paint(&tombstone.short(), style::BAD);
    out.line(format!("the session's key is forgotten, tombstone {tombstone}"))?;
    Ok(out.line("the bytes leave the file with `treering compact-store`")?)
}

fn print(out: &mut Out, erased: &Erased) -> Result<()> {
    let entries = counted(erased.erased.len() as u64, "entry", "entries");
    out.line(format!("{entries} erased"))?;
    for id in &erased.dependants.summaries {
        let id = out.paint(&id.short(), style::SUMMARY);
        out.line(format!("summary {id} may still tell of it"))?;
    }
    for (session, branch) in &erased.dependants.branches {
        let session = out.paint(&out.foreign(session), style::BOLD);
        let branch = out.paint(&out.foreign(branch), style::BRANCH);
        out.line(format!("on {session} {branch}"))?;
    }
    Ok(out.line("the bytes leave the file with `treering compact-store`")?)
}
