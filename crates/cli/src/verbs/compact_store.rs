//! `compact-store`: rewrites the store's file without its free pages and what was erased in them.

use treering_tree::{Options, RedbStore};

use crate::app::App;
use crate::failure::Result;
use crate::output::progress;
use crate::output::text::{count, counted};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(app: &mut App, _: &Args) -> Result<()> {
    let (path, options) = (app.path()?, Options::new(app.sources.clone()));
    let rewrite = move || RedbStore::rewrite(path, &options, &mut |_, _| ());
    let rewrite = tokio::task::spawn_blocking(rewrite);
    let report = progress::during("rewriting", rewrite).await.map_err(std::io::Error::from)??;
    if app.out.json() {
        return Ok(app.out.object(&report)?);
    }
    let entries = counted(report.entries, "entry", "entries");
    let (before, after) = (count(report.bytes_before), count(report.bytes_after));
    Ok(app.out.line(format!("{entries} rewritten: {before} -> {after} bytes"))?)
}
