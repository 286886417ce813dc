//! `compact-store`: rewrites the store's file without its free pages and what was erased in them.

use std::path::PathBuf;

use treering_tree::{MasterKey, RedbStore, RewriteReport};

use crate::app::App;
use crate::failure::Result;
use crate::output::text::{count, counted};
use crate::output::{Out, progress};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Wrap the keys of an encrypted store by the master key in this file from now on
    #[arg(long, value_name = "FILE")]
    new_key_file: Option<PathBuf>,
}

pub(crate) async fn run(app: &mut App, args: &Args) -> Result<()> {
    let new_key = args.new_key_file.as_deref().map(|file| MasterKey::from_file(&app.at(file)));
    let report = rewrite(app, new_key.transpose()?).await?;
    if app.out.json() { Ok(app.out.object(&report)?) } else { print(&mut app.out, &report) }
}

/// Rewrites the store's file, which nobody may have open.
pub(crate) async fn rewrite(app: &App, new_key: Option<MasterKey>) -> Result<RewriteReport> {
    let (path, options) = (app.path()?, app.options()?);
    let rewrite = move || match new_key {
        Some(key) => RedbStore::rotate_key(path, &options, &key, &mut |_, _| ()),
        None => RedbStore::rewrite(path, &options, &mut |_, _| ()),
    };
    let rewrite = tokio::task::spawn_blocking(rewrite);
    Ok(progress::during("rewriting", rewrite).await.map_err(std::io::Error::from)??)
}

/// Says what rewriting did.
pub(crate) fn print(out: &mut Out, report: &RewriteReport) -> Result<()> {
    let entries = counted(report.entries, "entry", "entries");
    let (before, after) = (count(report.bytes_before), count(report.bytes_after));
    Ok(out.line(format!("{entries} rewritten: {before} -> {after} bytes"))?)
}
