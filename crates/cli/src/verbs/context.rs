//! `context SESSION`: what a model is given at a head, or what changed for it since another one.

mod diff;

use serde::Serialize;
use treering_tree::context::{Difference, Form, Item, Source};
use treering_tree::{Context, Error, Id, Role};

use crate::app::App;
use crate::failure::Result;
use crate::output::Out;
use crate::output::style;
use crate::output::table::{Column, Table};
use crate::output::text::{count, counted, name};
use crate::read;
use crate::resolve;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    session: String,
    /// At this entry instead of the active head
    #[arg(long, value_name = "ENTRY")]
    at: Option<String>,
    /// What changed for the model since this head, and how much of the prefix stayed the same
    #[arg(long, value_name = "ENTRY")]
    diff: Option<String>,
}

#[derive(Serialize)]
struct Object {
    head: Option<Id>,
    tokens: u64,
    items: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    id: Id,
    role: Role,
    source: Source,
    tokens: u32,
    text: String,
    /// Calls of this entry that never got a result: the model is shown an "interrupted" one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    interrupted: Vec<String>,
}

pub(crate) async fn run(app: &mut App, args: &Args) -> Result<()> {
    let store = app.store()?;
    let session = resolve::session(&store, &app.sources, &args.session).await?;
    let head = match &args.at {
        Some(text) => Some(resolve::entry(&session, text).await?),
        None => session.head().await?,
    };
    if let Some(text) = &args.diff {
        let before = resolve::entry(&session, text).await?;
        let after = head.ok_or_else(|| Error::invalid("diff", "the active branch is empty"))?;
        let difference = Difference::between(&*store, before, after).await?;
        return diff::print(&mut app.out, session.name(), &difference);
    }
    let context = match head {
        Some(head) => Context::at(&*store, head).await?,
        None => Context::empty(),
    };
    let Context { head, tokens, items } = context;
    let items = rows(&items);
    let object = Object { head, tokens, items };
    if app.out.json() {
        Ok(app.out.object(&object)?)
    } else {
        print(&mut app.out, session.name(), &object)
    }
}

/// One row for each entry; what closes an interrupted call belongs to the entry that made it.
fn rows(items: &[Item]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::with_capacity(items.len());
    for item in items {
        let id = item.stored.place.id;
        if let Form::Interrupted { call } = &item.form {
            if let Some(caller) = rows.iter_mut().rev().find(|row| row.id == id) {
                caller.interrupted.push(call.clone());
            }
            continue;
        }
        let message = read::item(item);
        rows.push(Row {
            id,
            role: message.role,
            source: item.source,
            tokens: item.stored.place.tokens,
            text: read::plain_text(&message),
            interrupted: Vec::new(),
        });
    }
    rows
}

fn print(out: &mut Out, session: &str, object: &Object) -> Result<()> {
    let session = out.paint(&out.clipped(session, out.width()), style::BOLD);
    let head = resolve::short(object.head);
    let items = counted(object.items.len() as u64, "item", "items");
    let tokens = counted(object.tokens, "token", "tokens");
    let head = out.paint(&head, style::ID);
    out.line(format!("{session} at {head}: {items}, {tokens}"))?;
    let mut table = Table::new([
        Column::left("source", style::SUMMARY),
        Column::left("role", style::PLAIN),
        Column::right("tokens", style::DIM),
        Column::left("id", style::ID),
        Column::left("text", style::PLAIN),
    ]);
    let rows: Vec<_> = object.items.iter().map(cells).collect();
    Ok(table.print(out, &rows)?)
}

fn cells(row: &Row) -> [String; 5] {
    let interrupted = match row.interrupted.len() as u64 {
        0 => String::new(),
        calls => format!("[{} interrupted] ", counted(calls, "call", "calls")),
    };
    [
        name(&row.source),
        name(&row.role),
        count(u64::from(row.tokens)),
        row.id.short(),
        interrupted + &row.text,
    ]
}
