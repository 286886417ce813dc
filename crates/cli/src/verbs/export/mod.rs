//! `export SESSION`: as the files it came from, byte for byte; or rendered for somebody else; or as a
//! bundle for another store.

mod bundle;
mod origin;
mod rendered;

use std::path::PathBuf;

use treering_interchange::{Error, Export, Target};
use treering_tree::Session;

use crate::app::App;
use crate::failure::{Failure, Group, Result};
use crate::output::progress;
use crate::resolve;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    session: String,
    /// Format to write, such as openai-chat or markdown [default: the one it came from]
    #[arg(long, value_name = "F")]
    format: Option<String>,
    /// Render what a model is given, not the whole path
    #[arg(long, requires = "format")]
    context: bool,
    /// Render this branch instead of the active one
    #[arg(long, value_name = "NAME", requires = "format")]
    branch: Option<String>,
    /// Write a bundle, every branch in it, which `import` takes into another store
    #[arg(long, conflicts_with = "format")]
    bundle: bool,
    /// Compress the bundle; `import` tells by itself
    #[arg(long, requires = "bundle")]
    zstd: bool,
    /// Write here instead of to standard output; further files of the session go beside it
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) async fn run(app: &mut App, args: &Args) -> Result<()> {
    let store = app.store()?;
    let session = resolve::session(&store, &app.sources, &args.session).await?;
    let output = args.output.as_deref().map(|path| app.at(path));
    let output = output.as_deref();
    if args.bundle {
        return bundle::run(app, &session, output, args.zstd).await;
    }
    let target = args.format.as_deref().and_then(Target::from_name);
    match (origin(&session, args).await, target) {
        (Ok(Some(export)), _) => origin::run(app, &session, &export, output).await,
        (Ok(None) | Err(Error::NoOrigin { .. }), Some(target)) => {
            rendered::run(app, &session, target, args, output).await
        }
        (Ok(None), None) => Err(unknown(args)),
        (Err(error @ Error::NoOrigin { .. }), None) => {
            Err(Failure::from(error).hint(format!("name one with --format: {}", targets())))
        }
        (Err(error), _) => Err(error.into()),
    }
}

/// The files it came from, where it is them that are asked for.
async fn origin(session: &Session, args: &Args) -> Result<Option<Export>, Error> {
    if args.context || args.branch.is_some() {
        return Ok(None);
    }
    let export = Export::of(&**session.store(), session.name());
    let export = progress::during("reading", export).await?;
    let origin = export.files().first().map_or("", |file| file.format.as_str());
    let is_meant = args.format.as_deref().is_none_or(|asked| asked == origin);
    Ok(is_meant.then_some(export))
}

fn unknown(args: &Args) -> Failure {
    let asked = args.format.as_deref().unwrap_or_default();
    let message = format!("cannot export to {asked:?}");
    Failure::new(Group::Usage, message).hint(format!(
        "leave out --format for the files it came from, or name one of {}",
        targets()
    ))
}

fn targets() -> String {
    Target::all().map(Target::name).collect::<Vec<_>>().join(", ")
}
