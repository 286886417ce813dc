//! `log SESSION`: the path to a head, root first, a page at a time.

use serde::Serialize;
use treering_tree::{Id, Kind, Stored};

use crate::app::App;
use crate::failure::Result;
use crate::output::style;
use crate::output::table::{Column, Table};
use crate::output::text::count;
use crate::output::time;
use crate::read;
use crate::resolve;

/// Entries fetched and printed at a time.
const PAGE: u64 = 512;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    session: String,
    /// End at this entry instead of the active head
    #[arg(long, value_name = "ENTRY")]
    at: Option<String>,
    /// Only the newest N entries
    #[arg(short = 'n', long, value_name = "N")]
    last: Option<u64>,
}

#[derive(Serialize)]
struct Row<'a> {
    id: Id,
    parent: Option<Id>,
    kind: Kind,
    at: String,
    alias: Option<&'a str>,
    turn: u64,
    tokens: u32,
    text: String,
}

pub(crate) async fn run(app: &mut App, args: &Args) -> Result<()> {
    let store = app.store()?;
    let session = resolve::session(&store, &app.sources, &args.session).await?;
    let head = match &args.at {
        Some(text) => Some(resolve::entry(&session, text).await?),
        None => session.head().await?,
    };
    let Some(head) = head else { return Ok(()) };
    let length = store.measure(head).await?.head.depth + 1;
    let mut depth = args.last.map_or(0, |last| length.saturating_sub(last));
    let mut table = table();
    while depth < length {
        let page = store.path(head, depth..length.min(depth + PAGE)).await?;
        depth += PAGE;
        if app.out.json() {
            page.iter().try_for_each(|stored| app.out.object(&row(stored)))?;
        } else {
            let rows: Vec<_> = page.iter().map(cells).collect();
            table.print(&mut app.out, &rows)?;
        }
    }
    Ok(())
}

fn table() -> Table<6> {
    Table::new([
        Column::left("id", style::ID).at_least(12),
        Column::left("kind", style::PLAIN).at_least("branch-summary".len()),
        Column::right("turn", style::DIM).at_least(5),
        Column::right("tokens", style::DIM).at_least(7),
        Column::left("at (UTC)", style::DIM).at_least("2026-01-01 00:00".len()),
        Column::left("text", style::PLAIN),
    ])
}

fn row(stored: &Stored) -> Row<'_> {
    let envelope = stored.entry.envelope();
    Row {
        id: stored.place.id,
        parent: envelope.parent,
        kind: envelope.kind,
        at: time::rfc3339(envelope.at_ms),
        alias: envelope.alias.as_deref(),
        turn: stored.place.turn,
        tokens: stored.place.tokens,
        text: read::text(stored),
    }
}

fn cells(stored: &Stored) -> [String; 6] {
    let envelope = stored.entry.envelope();
    [
        stored.place.id.short(),
        envelope.kind.name().to_owned(),
        count(stored.place.turn),
        count(u64::from(stored.place.tokens)),
        time::minute(envelope.at_ms),
        read::text(stored),
    ]
}
