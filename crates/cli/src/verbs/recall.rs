//! `recall SESSION QUERY`: what the newest compaction covers, found again by words or by id.

use serde::Serialize;
use treering_provider::{JobEntry, Recall, Recalled};
use treering_tree::{Id, Kind, Session, Stored};

use crate::app::App;
use crate::failure::Result;
use crate::output::{Out, progress, style};
use crate::read;
use crate::resolve::{self, SCAN_PAGE};

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
    let found = progress::during("searching", look(&session, recall)).await?.found(args.most);
    if app.out.json() {
        return Ok(found.iter().try_for_each(|find| app.out.object(&row(find)))?);
    }
    if found.is_empty() {
        return Ok(app.out.line("nothing of that in what is covered")?);
    }
    found.iter().try_for_each(|find| print(&mut app.out, find))
}

/// Shows the search what stands before the first kept entry, oldest first.
async fn look(session: &Session, mut recall: Recall) -> Result<Recall> {
    let store = session.store();
    let Some(head) = session.head().await? else { return Ok(recall) };
    let compaction = store.tail(head).await?.compaction;
    let covered =
        compaction.and_then(|stored| stored.place.cut).map_or(0, |cut| cut.first_kept_depth);
    let mut depth = 0;
    while depth < covered {
        let to = covered.min(depth + SCAN_PAGE as u64);
        for stored in store.path(head, depth..to).await? {
            recall.look(&entry(&stored));
        }
        depth = to;
    }
    Ok(recall)
}

fn entry(stored: &Stored) -> JobEntry {
    let place = &stored.place;
    JobEntry {
        id: place.id,
        kind: place.kind,
        turn: place.turn,
        tokens: place.tokens,
        message: read::message(stored),
    }
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
