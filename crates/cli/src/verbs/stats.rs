//! `stats`: counts and sizes of the store.

use std::path::PathBuf;

use serde::Serialize;
use treering_tree::Stats;

use crate::app::App;
use crate::failure::Result;
use crate::output::style;
use crate::output::text::count;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

#[derive(Serialize)]
struct Object {
    store: PathBuf,
    #[serde(flatten)]
    stats: Stats,
}

pub(crate) async fn run(app: &mut App, _: &Args) -> Result<()> {
    let store = app.path()?;
    let stats = app.store()?.stats().await?;
    if app.out.json() {
        return Ok(app.out.object(&Object { store, stats })?);
    }
    let lines = [
        ("sessions", stats.sessions),
        ("entries", stats.entries),
        ("journal rows", stats.journal_rows),
        ("bytes of entries", stats.stored_bytes),
        ("bytes of the file", stats.file_bytes),
        ("entries not indexed yet", stats.unmerged),
    ];
    let path = app.out.foreign(&store.display().to_string());
    app.out.line(app.out.paint(&path, style::BOLD))?;
    for (name, number) in lines {
        app.out.line(format!("{name:24}{:>16}", count(number)))?;
    }
    Ok(())
}
