//! A context or a path, rendered for somebody else; what the target cannot hold is told.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;
use treering_interchange::{Loss, Rendered, Target, Transcript, render};
use treering_tree::{Context, Error, Id, Replay, Session};

use super::Args;
use crate::app::App;
use crate::failure::Result;
use crate::output::file::NewFile;
use crate::output::text::{count, counted};
use crate::output::{progress, style};
use crate::resolve;
use crate::surroundings::{Sink, say};

#[derive(Serialize)]
struct Object<'a> {
    file: &'a Path,
    format: Target,
    bytes: usize,
    losses: &'a [Loss],
}

pub(super) async fn run(
    app: &mut App,
    session: &Session,
    target: Target,
    args: &Args,
    output: Option<&Path>,
) -> Result<()> {
    let head = head(session, args.branch.as_deref()).await?;
    let transcript = transcript(session, head, args.context);
    let transcript = progress::during("reading", transcript).await?;
    let Rendered { bytes, losses } = render(target, &transcript);
    let Some(path) = output else {
        app.out.verbatim().write_all(&bytes)?;
        app.out.flush()?;
        tell(&app.err, &losses, app.out.json());
        return Ok(());
    };
    let mut new = NewFile::begin(path)?;
    new.writer().write_all(&bytes)?;
    new.keep()?;
    if app.out.json() {
        let object = Object { file: path, format: target, bytes: bytes.len(), losses: &losses };
        return Ok(app.out.object(&object)?);
    }
    let size = counted(bytes.len() as u64, "byte", "bytes");
    let shown = app.out.paint(&app.out.foreign(&path.display().to_string()), style::BOLD);
    app.out.line(format!("{shown}  {target}, {size}"))?;
    app.out.flush()?;
    tell(&app.err, &losses, false);
    Ok(())
}

async fn head(session: &Session, branch: Option<&str>) -> Result<Option<Id>> {
    let Some(name) = branch else { return Ok(session.head().await?) };
    let branches = resolve::all_branches(session).await?;
    match branches.iter().find(|branch| branch.name == name) {
        Some(branch) => Ok(branch.head),
        None => Err(Error::NotFound { what: "branch", name: name.to_owned() }.into()),
    }
}

async fn transcript(session: &Session, head: Option<Id>, context: bool) -> Result<Transcript> {
    let store = session.store();
    match head {
        Some(head) if context => {
            Ok(Transcript::of_context(session.name(), &Context::at(&**store, head).await?))
        }
        _ => {
            let path = Replay::new(Arc::clone(store), head).collect().await?;
            Ok(Transcript::of_path(session.name(), &path))
        }
    }
}

/// Tells standard error, as standard output has the file.
fn tell(err: &Sink, losses: &[Loss], as_json: bool) {
    if as_json {
        return say(err, &format!("{}\n", json!({ "losses": losses })));
    }
    for loss in losses {
        say(err, &format!("lost: {} {}\n", count(loss.count), loss.what));
    }
}
