//! `export SESSION`: the files a session came from, byte for byte.

use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::NamedTempFile;
use treering_interchange::{Export, ExportedFile};
use treering_tree::Store;

use crate::app::App;
use crate::failure::{Failure, Group, Result};
use crate::output::text::counted;
use crate::output::{Out, progress, style};
use crate::resolve;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    session: String,
    /// Format to write [default: the one it came from]
    #[arg(long, value_name = "F")]
    format: Option<String>,
    /// Write here instead of to standard output; further files of the session go beside it
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Serialize)]
struct Row<'a> {
    file: &'a Path,
    format: &'a str,
    bytes: u64,
}

pub(crate) async fn run(app: &mut App, args: &Args) -> Result<()> {
    let store = app.store()?;
    let session = resolve::session(&store, &app.sources, &args.session).await?;
    let export = progress::during("reading", Export::of(&*store, session.name())).await?;
    check_format(&export, args.format.as_deref())?;
    match (&args.output, export.files()) {
        (Some(main), files) => {
            for (index, file) in files.iter().enumerate() {
                let path = if index == 0 { main.clone() } else { main.with_file_name(&file.name) };
                write(&*store, &export, index, &path).await?;
                print(&mut app.out, file, &path)?;
            }
            Ok(())
        }
        (None, [_]) => Ok(export.write(&*store, 0, app.out.verbatim()).await?),
        (None, files) => {
            let message = format!("the session came from {} files", files.len());
            let hint = "name the first one with -o FILE; the others go beside it";
            Err(Failure::new(Group::Usage, message).hint(hint))
        }
    }
}

fn check_format(export: &Export, asked: Option<&str>) -> Result<()> {
    let origin = export.files().first().map_or("", |file| file.format.as_str());
    match asked {
        Some(asked) if asked != origin => {
            let message = format!("the session came from {origin}, not from {asked}");
            Err(Failure::new(Group::Usage, message).hint("leave out --format"))
        }
        _ => Ok(()),
    }
}

/// Writes one file whole or not at all.
async fn write(store: &dyn Store, export: &Export, index: usize, path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = NamedTempFile::new_in(folder)?;
    export.write(store, index, &mut file).await?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn print(out: &mut Out, file: &ExportedFile, path: &Path) -> Result<()> {
    if out.json() {
        return Ok(out.object(&Row { file: path, format: &file.format, bytes: file.bytes })?);
    }
    let size = counted(file.bytes, "byte", "bytes");
    let path = out.paint(&out.foreign(&path.display().to_string()), style::BOLD);
    Ok(out.line(format!("{path}  {}, {size}", file.format))?)
}
