//! `context SESSION`: what a model is given at a head.

use serde::Serialize;
use treering_tree::context::{Item, Source};
use treering_tree::{Context, Id, Role};

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
}

pub(crate) async fn run(app: &mut App, args: &Args) -> Result<()> {
    let store = app.store()?;
    let session = resolve::session(&store, &app.sources, &args.session).await?;
    let context = match &args.at {
        Some(text) => Context::at(&*store, resolve::entry(&session, text).await?).await?,
        None => session.context().await?,
    };
    let Context { head, tokens, items } = context;
    let items: Vec<Row> = items.iter().map(row).collect();
    let object = Object { head, tokens, items };
    if app.out.json() {
        Ok(app.out.object(&object)?)
    } else {
        print(&mut app.out, session.name(), &object)
    }
}

fn row(item: &Item) -> Row {
    let message = read::item(item);
    Row {
        id: item.stored.place.id,
        role: message.role,
        source: item.source,
        tokens: read::item_tokens(item),
        text: read::plain_text(&message),
    }
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
    [
        name(&row.source),
        name(&row.role),
        count(u64::from(row.tokens)),
        row.id.short(),
        row.text.clone(),
    ]
}
