//! `sessions`: what is in the store.

use serde::Serialize;
use treering_tree::{Id, SessionInfo, Store, limits};

use crate::app::App;
use crate::failure::Result;
use crate::output::style;
use crate::output::table::{Column, Table};
use crate::output::text::count;
use crate::output::time;
use crate::resolve;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

#[derive(Serialize)]
struct Row<'a> {
    session: &'a str,
    active: &'a str,
    head: Option<Id>,
    entries: u64,
    branches: u64,
    /// Size of the context at the active head.
    tokens: u64,
    created: String,
    changed: String,
}

pub(crate) async fn run(app: &mut App, _: &Args) -> Result<()> {
    let store = app.store()?;
    let mut table = Table::new([
        Column::left("session", style::BOLD),
        Column::left("branch", style::BRANCH),
        Column::right("branches", style::PLAIN),
        Column::right("entries", style::PLAIN),
        Column::right("tokens", style::PLAIN),
        Column::left("head", style::ID),
        Column::left("changed", style::DIM),
    ]);
    let mut after = None;
    loop {
        let page = store.sessions(after.as_deref(), limits::PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = Some(last.name.clone());
        let mut rows = Vec::new();
        for info in &page {
            let tokens = context_tokens(&*store, info).await?;
            if app.out.json() {
                app.out.object(&row(info, tokens))?;
            } else {
                rows.push(cells(info, tokens, app.sources.now_ms()));
            }
        }
        table.print(&mut app.out, &rows)?;
    }
}

async fn context_tokens(store: &dyn Store, info: &SessionInfo) -> Result<u64> {
    match info.head {
        Some(head) => Ok(store.measure(head).await?.tokens),
        None => Ok(0),
    }
}

fn row(info: &SessionInfo, tokens: u64) -> Row<'_> {
    Row {
        session: &info.name,
        active: &info.active,
        head: info.head,
        entries: info.entries,
        branches: info.branches,
        tokens,
        created: time::rfc3339(info.created_ms),
        changed: time::rfc3339(info.changed_ms),
    }
}

fn cells(info: &SessionInfo, tokens: u64, now_ms: i64) -> [String; 7] {
    [
        info.name.clone(),
        info.active.clone(),
        count(info.branches),
        count(info.entries),
        count(tokens),
        resolve::short(info.head),
        time::ago(now_ms, info.changed_ms),
    ]
}
