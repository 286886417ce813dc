//! A bundle: a session with every branch, on its way to another store.

use std::path::Path;

use treering_interchange::export_bundle;
use treering_tree::Session;

use crate::app::App;
use crate::failure::Result;
use crate::output::file::NewFile;
use crate::output::text::counted;
use crate::output::{progress, style};

pub(super) async fn run(app: &mut App, session: &Session, output: Option<&Path>) -> Result<()> {
    let (store, name) = (&**session.store(), session.name());
    let Some(path) = output else {
        export_bundle(store, name, app.out.verbatim()).await?;
        return Ok(());
    };
    let mut new = NewFile::begin(path)?;
    let report = progress::during("exporting", export_bundle(store, name, new.writer())).await?;
    new.keep()?;
    if app.out.json() {
        return Ok(app.out.object(&report)?);
    }
    let entries = counted(report.entries, "entry", "entries");
    let heads = counted(report.heads, "branch", "branches");
    let path = app.out.paint(&app.out.foreign(&path.display().to_string()), style::BOLD);
    Ok(app.out.line(format!("{path}  bundle, {entries}, {heads}"))?)
}
