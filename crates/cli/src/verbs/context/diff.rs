//! `context SESSION --diff ENTRY`: what changed for the model between two heads.

use serde::Serialize;
use treering_interchange::{Target, Transcript, render};
use treering_tree::context::{Change, Difference, Run, Source};
use treering_tree::{Context, Id};

use crate::failure::Result;
use crate::output::table::{Column, Table};
use crate::output::text::{count, counted, name};
use crate::output::{Out, style};
use crate::read;
use crate::resolve;

/// As what the prefix is measured: most providers take it, and none sees more.
const RENDERED: Target = Target::OpenaiChat;

#[derive(Serialize)]
struct Object {
    before: Side,
    after: Side,
    /// Bytes from the beginning that are the same in both.
    prefix_bytes: usize,
    rendered_as: Target,
    same: Total,
    replaced: Total,
    removed: Total,
    added: Total,
    runs: Vec<Row>,
}

#[derive(Serialize)]
struct Side {
    head: Option<Id>,
    tokens: u64,
    bytes: usize,
}

#[derive(Serialize)]
struct Total {
    items: u64,
    tokens: u64,
}

#[derive(Serialize)]
struct Row {
    change: Change,
    source: Source,
    tokens: u64,
    entries: Vec<Id>,
}

impl Object {
    fn new(session: &str, difference: &Difference) -> Self {
        let Difference { before, after, runs } = difference;
        let (old, new) = (rendered(session, before), rendered(session, after));
        let prefix_bytes = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
        let total = |change| {
            let (items, tokens) = difference.total(change);
            Total { items, tokens }
        };
        Self {
            before: Side { head: before.head, tokens: before.tokens, bytes: old.len() },
            after: Side { head: after.head, tokens: after.tokens, bytes: new.len() },
            prefix_bytes,
            rendered_as: RENDERED,
            same: total(Change::Same),
            replaced: total(Change::Replaced),
            removed: total(Change::Removed),
            added: total(Change::Added),
            runs: runs.iter().map(row).collect(),
        }
    }
}

/// A context as bytes that grow at their end only: without what closes the array.
fn rendered(session: &str, context: &Context) -> Vec<u8> {
    let mut bytes = render(RENDERED, &Transcript::of_context(session, context)).bytes;
    bytes.truncate(bytes.trim_ascii_end().strip_suffix(b"]").map_or(bytes.len(), <[u8]>::len));
    bytes
}

fn row(run: &Run) -> Row {
    let entries = run.items.iter().map(|item| item.stored.place.id).collect();
    Row { change: run.change, source: run.source, tokens: run.tokens(), entries }
}

pub(super) fn print(out: &mut Out, session: &str, difference: &Difference) -> Result<()> {
    let object = Object::new(session, difference);
    if out.json() {
        return Ok(out.object(&object)?);
    }
    let session = out.paint(&out.clipped(session, out.width()), style::BOLD);
    let [before, after] = [&object.before, &object.after]
        .map(|side| out.paint(&resolve::short(side.head), style::ID));
    out.line(format!("{session} from {before} to {after}"))?;
    let mut table = Table::new([
        Column::left("change", style::BOLD),
        Column::right("items", style::PLAIN),
        Column::right("tokens", style::DIM),
        Column::left("part", style::SUMMARY),
        Column::left("from", style::ID),
        Column::left("text", style::PLAIN),
    ]);
    let cells: Vec<_> = difference.runs.iter().map(cells).collect();
    table.print(out, &cells)?;
    let (old, new) = (count(object.before.tokens), count(object.after.tokens));
    out.line(format!("context: {old} -> {new} tokens"))?;
    let prefix = counted(object.prefix_bytes as u64, "byte", "bytes");
    let (old, new) = (count(object.before.bytes as u64), count(object.after.bytes as u64));
    Ok(out.line(format!("prefix: {prefix} stay the same, of {old} -> {new} as {RENDERED}"))?)
}

fn cells(run: &Run) -> [String; 6] {
    let first = run.items.first();
    [
        format!("{} {}", mark(run.change), name(&run.change)),
        count(run.items.len() as u64),
        count(run.tokens()),
        name(&run.source),
        first.map_or_else(String::new, |item| item.stored.place.id.short()),
        first.map_or_else(String::new, |item| read::plain_text(&read::item(item))),
    ]
}

const fn mark(change: Change) -> char {
    match change {
        Change::Same => '=',
        Change::Replaced => '~',
        Change::Removed => '-',
        Change::Added => '+',
    }
}
