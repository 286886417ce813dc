//! `import --check PATH...`: what an import would make of each session, and whether everything would come
//! out again as it went in. Each goes into a store of its own, in memory.

use treering_interchange::{Checked, Options, RepairKind, Sessions};
use treering_tree::RedbStore;

use crate::app::App;
use crate::defaults;
use crate::failure::{Failure, Group, Result};
use crate::output::progress::Bar;
use crate::output::table::{Column, Table};
use crate::output::text::{count, counted};
use crate::output::{Out, style};

pub(super) async fn run(app: &mut App, sessions: &Sessions) -> Result<()> {
    let mut all = Vec::with_capacity(sessions.len());
    let mut bar = Bar::new("checking");
    let mut before = 0;
    for index in 0..sessions.len() {
        let store = RedbStore::in_memory(treering_tree::Options::new(app.sources.clone()))?;
        let options = Options {
            count: &defaults::message_size,
            format: None,
            at_ms: app.sources.now_ms(),
            progress: &mut |progress| bar.set(before + progress.done_bytes, sessions.bytes()),
        };
        let checked = sessions.check(index, &store, options).await?;
        before += checked.bytes;
        all.push(checked);
    }
    bar.clear();
    if app.out.json() {
        all.iter().try_for_each(|checked| app.out.object(checked))?;
    } else {
        print(&mut app.out, &all)?;
    }
    let lossy = all.iter().filter(|checked| !checked.is_lossless()).count() as u64;
    if lossy == 0 {
        return Ok(());
    }
    let of = counted(all.len() as u64, "session", "sessions");
    let message = format!("{} of {of} would not come out as they went in", count(lossy));
    Err(Failure::new(Group::Failed, message))
}

fn print(out: &mut Out, all: &[Checked]) -> Result<()> {
    let number = |title| Column::right(title, style::PLAIN);
    let mut table = Table::new([
        Column::left("format", style::PLAIN),
        number("entries"),
        number("nodes"),
        number("roots"),
        number("forks"),
        number("dangling"),
        number("duplicate"),
        number("unanswered"),
        number("problems"),
        number("export"),
        number("again"),
        Column::left("file", style::BOLD).at_least(FILE_COLUMNS),
    ]);
    Ok(table.print(out, &all.iter().map(cells).collect::<Vec<_>>())?)
}

/// Columns of a file's name, also where the terminal has too few.
const FILE_COLUMNS: usize = 50;

fn cells(checked: &Checked) -> [String; 12] {
    let report = &checked.report;
    let repairs = |kind| count(report.repairs_of(kind) as u64);
    [
        report.format.clone(),
        count(report.entries),
        count(report.nodes),
        count(report.roots),
        count(report.forks),
        repairs(RepairKind::DanglingParent),
        repairs(RepairKind::DuplicateId),
        repairs(RepairKind::UnansweredCall),
        count(checked.problems),
        if checked.is_identical { "same" } else { "differs" }.to_owned(),
        count(checked.added_again),
        shown(checked.files.first().map_or("", String::as_str)),
    ]
}

/// The end of a path: its last two names.
fn shown(file: &str) -> String {
    let mut names: Vec<&str> = file.rsplit(['/', '\\']).take(2).collect();
    names.reverse();
    names.join("/")
}
