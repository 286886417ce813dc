//! Bundles of other stores.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use treering_interchange::{BundleOptions, BundleReport, import_bundle};
use treering_tree::Store;

use crate::app::App;
use crate::failure::Result;
use crate::open;
use crate::output::text::{count, counted};
use crate::output::{Out, progress, style};

/// What a bundle begins with, and no file of another format.
const BUNDLE: &[u8] = b"{\"bundle\":";
/// What a compressed one begins with: a frame of zstd (RFC 8878, section 3.1.1).
const FRAME: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Whether a file begins as bundles do. What is no file is none.
pub(super) fn is_bundle(path: &Path) -> io::Result<bool> {
    if !path.is_file() {
        return Ok(false);
    }
    let mut head = Vec::with_capacity(BUNDLE.len());
    File::open(path)?.take(BUNDLE.len() as u64).read_to_end(&mut head)?;
    Ok(head == BUNDLE || head.starts_with(FRAME))
}

pub(super) async fn run(app: &mut App, path: &Path) -> Result<()> {
    let at_ms = app.sources.now_ms();
    if !app.path()?.try_exists()? {
        // No store is made for what cannot go into one: it must be sound to its end.
        let folder = tempfile::tempdir()?;
        let scratch = open::scratch(&folder.path().join("scratch"), &app.sources)?;
        progress::during("checking", take(&scratch, path, at_ms)).await?;
    }
    let store = app.store_or_new()?;
    let report = progress::during("importing", take(&*store, path, at_ms)).await?;
    print(&mut app.out, &report)
}

async fn take(store: &dyn Store, path: &Path, at_ms: i64) -> Result<BundleReport> {
    let mut file = BufReader::new(File::open(path)?);
    Ok(import_bundle(store, &mut file, BundleOptions { session: None, at_ms }).await?)
}

fn print(out: &mut Out, report: &BundleReport) -> Result<()> {
    if out.json() {
        return Ok(out.object(report)?);
    }
    let session = out.paint(&out.clipped(&report.session, out.width()), style::BOLD);
    let entries = counted(report.entries, "entry", "entries");
    let moved = counted(report.moved.len() as u64, "branch", "branches");
    out.line(format!("{session}: {entries}, {} added, {moved} moved", count(report.added)))?;
    for branch in &report.diverged {
        let branch = out.paint(&out.foreign(branch), style::BRANCH);
        out.line(format!("{branch} is elsewhere here, and stays"))?;
    }
    Ok(())
}
