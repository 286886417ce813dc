//! `branches SESSION`.

use serde::Serialize;
use treering_tree::{Branch, Id, Measure};

use crate::app::App;
use crate::failure::Result;
use crate::output::style;
use crate::output::table::{Column, Table};
use crate::output::text::count;
use crate::resolve;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    session: String,
}

#[derive(Serialize)]
struct Row<'a> {
    branch: &'a str,
    active: bool,
    head: Option<Id>,
    /// Entries on its path.
    entries: u64,
    turns: u64,
    /// Size of the context at its head.
    tokens: u64,
}

pub(crate) async fn run(app: &mut App, args: &Args) -> Result<()> {
    let store = app.store()?;
    let session = resolve::session(&store, &app.sources, &args.session).await?;
    let mut rows = Vec::new();
    for branch in resolve::all_branches(&session).await? {
        let measure = match branch.head {
            Some(head) => Some(store.measure(head).await?),
            None => None,
        };
        let row = row(&branch, measure.as_ref());
        if app.out.json() {
            app.out.object(&row)?;
        } else {
            rows.push(cells(&row));
        }
    }
    let mut table = Table::new([
        Column::left("", style::BRANCH),
        Column::left("branch", style::BRANCH),
        Column::left("head", style::ID),
        Column::right("entries", style::PLAIN),
        Column::right("turns", style::PLAIN),
        Column::right("tokens", style::PLAIN),
    ]);
    Ok(table.print(&mut app.out, &rows)?)
}

fn row<'a>(branch: &'a Branch, measure: Option<&Measure>) -> Row<'a> {
    Row {
        branch: &branch.name,
        active: branch.active,
        head: branch.head,
        entries: measure.map_or(0, |measure| measure.head.depth + 1),
        turns: measure.map_or(0, |measure| measure.head.turn),
        tokens: measure.map_or(0, |measure| measure.tokens),
    }
}

fn cells(row: &Row<'_>) -> [String; 6] {
    [
        if row.active { "@" } else { " " }.to_owned(),
        row.branch.to_owned(),
        resolve::short(row.head),
        count(row.entries),
        count(row.turns),
        count(row.tokens),
    ]
}
