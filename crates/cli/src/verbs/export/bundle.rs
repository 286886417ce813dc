//! A bundle: a session with every branch, on its way to another store.

use std::io::Write;
use std::path::Path;

use treering_interchange::{BundleReport, Error, export_bundle, export_bundle_zstd};
use treering_tree::Session;

use crate::app::App;
use crate::failure::Result;
use crate::output::file::NewFile;
use crate::output::text::counted;
use crate::output::{progress, style};

pub(super) async fn run(
    app: &mut App,
    session: &Session,
    output: Option<&Path>,
    zstd: bool,
) -> Result<()> {
    let Some(path) = output else {
        write(session, app.out.verbatim(), zstd).await?;
        return Ok(());
    };
    let mut new = NewFile::begin(path)?;
    let report = progress::during("exporting", write(session, new.writer(), zstd)).await?;
    new.keep()?;
    if app.out.json() {
        return Ok(app.out.object(&report)?);
    }
    let entries = counted(report.entries, "entry", "entries");
    let heads = counted(report.heads, "branch", "branches");
    let path = app.out.paint(&app.out.foreign(&path.display().to_string()), style::BOLD);
    Ok(app.out.line(format!("{path}  bundle, {entries}, {heads}"))?)
}

async fn write(
    session: &Session,
    out: &mut (dyn Write + Send),
    zstd: bool,
) -> Result<BundleReport, Error> {
    let (store, name) = (&**session.store(), session.name());
    if zstd {
        export_bundle_zstd(store, name, out).await
    } else {
        export_bundle(store, name, out).await
    }
}
