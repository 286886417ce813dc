//! `recall SESSION QUERY`: what the newest compaction covers, found again by words or by id.

use serde::Serialize;
use treering_provider::{Recall, Recalled};
use treering_tree::{Id, Kind};

use crate::app::App;
use crate::failure::Result;
use crate::output::{Out, progress, style};
use crate::resolve;

/// Finds that are shown where nobody says how many.
const MOST: usize = 5;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    session: String,
    /// Words, or the first six or more digits of an entry's id
    #[arg(required = true, value_name = "QUERY")]
    query: Vec<String>,
    /// The most finds to show
    #[arg(long, value_name = "N", default_value_t = MOST)]
    most: usize,
}

#[derive(Serialize)]
struct Row<'a> {
    id: Id,
    kind: Kind,
    turn: u64,
    excerpt: &'a str,
}

pub(crate) async fn run(app: &mut App, args: &Args) -> Result<()> {
    let recall = Recall::new(&args.query.join(" "))?;
    let store = app.store()?;
    let session = resolve::session(&store, &app.sources, &args.session).await?;
    let found = progress::during("searching", treering_compactor::recall(&session, recall)).await?;
    let found = found.found(args.most);
    if app.out.json() {
        return Ok(found.iter().try_for_each(|find| app.out.object(&row(find)))?);
    }
    if found.is_empty() {
        return Ok(app.out.line("nothing of that in what is covered")?);
    }
    found.iter().try_for_each(|find| print(&mut app.out, find))
}

fn row(find: &Recalled) -> Row<'_> {
    Row { id: find.id, kind: find.kind, turn: find.turn, excerpt: &find.excerpt }
}

fn print(out: &mut Out, find: &Recalled) -> Result<()> {
    let id = out.paint(&find.id.short(), style::ID);
    out.line(format!("{id}  {}, turn {}", find.kind.name(), find.turn))?;
    let excerpt = out.foreign(find.excerpt.trim());
    Ok(excerpt.lines().try_for_each(|line| out.line(format!("  {line}")))?)
}
