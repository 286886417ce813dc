//! The files a session came from, byte for byte.

use std::path::Path;

use serde::Serialize;
use treering_interchange::{Export, ExportedFile};
use treering_tree::Session;

use crate::app::App;
use crate::failure::{Failure, Group, Result};
use crate::output::file::NewFile;
use crate::output::text::counted;
use crate::output::{Out, style};

#[derive(Serialize)]
struct Row<'a> {
    file: &'a Path,
    format: &'a str,
    bytes: u64,
}

pub(super) async fn run(
    app: &mut App,
    session: &Session,
    export: &Export,
    output: Option<&Path>,
) -> Result<()> {
    let store = &**session.store();
    match (output, export.files()) {
        (Some(main), files) => {
            for (index, file) in files.iter().enumerate() {
                let path =
                    if index == 0 { main.to_owned() } else { main.with_file_name(&file.name) };
                let mut new = NewFile::begin(&path)?;
                export.write(store, index, new.writer()).await?;
                new.keep()?;
                print(&mut app.out, file, &path)?;
            }
            Ok(())
        }
        (None, [_]) => Ok(export.write(store, 0, app.out.verbatim()).await?),
        (None, files) => {
            let message = format!("the session came from {} files", files.len());
            let hint = "name the first one with -o FILE; the others go beside it";
            Err(Failure::new(Group::Usage, message).hint(hint))
        }
    }
}

fn print(out: &mut Out, file: &ExportedFile, path: &Path) -> Result<()> {
    if out.json() {
        return Ok(out.object(&Row { file: path, format: &file.format, bytes: file.bytes })?);
    }
    let size = counted(file.bytes, "byte", "bytes");
    let path = out.paint(&out.foreign(&path.display().to_string()), style::BOLD);
    Ok(out.line(format!("{path}  {}, {size}", file.format))?)
}
