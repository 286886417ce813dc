//! `import PATH...`: foreign sessions, and bundles of other stores, into the store. It makes no store
//! before it has found something to put into one.

mod bundle;
mod check;
mod follow;
mod print;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use treering_interchange::{Input, Options, Sessions};

use crate::app::App;
use crate::defaults;
use crate::failure::{Failure, Group, Result};
use crate::output::progress::Bar;

/// The path that means standard input.
const STDIN: &str = "-";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files, folders or globs; - is standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Take the files for this format instead of looking at their content
    #[arg(long, value_name = "F")]
    format: Option<String>,
    /// Go on with what is written to the files, and what files come, until interrupted
    #[arg(long, conflicts_with = "check")]
    follow: bool,
    /// Keep nothing: tell of each session whether it would come out as it went in
    #[arg(long)]
    check: bool,
}

pub(crate) async fn run(app: &mut App, args: Args) -> Result<()> {
    let format = args.format.as_deref();
    if args.follow {
        return follow::run(app, args.paths, format).await;
    }
    // Held until the end, as it goes away with its handle.
    let spooled = if args.paths.iter().any(|path| is_stdin(path)) {
        Some(spool(&mut app.input)?)
    } else {
        None
    };
    let (mut bundles, mut inputs) = (Vec::new(), Vec::new());
    for path in args.paths {
        let file = spooled.as_ref().filter(|_| is_stdin(&path));
        let place = file.map_or_else(|| app.at(&path), |file| file.path().to_owned());
        if format.is_none() && !args.check && bundle::is_bundle(&place)? {
            bundles.push(place);
        } else if file.is_some() {
            inputs.push(Input::File { name: STDIN.to_owned(), path: place });
        } else {
            inputs.push(Input::Path(place));
        }
    }
    let sessions = Sessions::find(inputs, format)?;
    if sessions.is_empty() && bundles.is_empty() {
        let failure = Failure::new(Group::NotFound, "no session of a known format there");
        return Err(failure.hint("--format F takes files for what they do not look like"));
    }
    if args.check {
        return check::run(app, &sessions).await;
    }
    for path in &bundles {
        bundle::run(app, path).await?;
    }
    if sessions.is_empty() { Ok(()) } else { load(app, &sessions).await }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == STDIN
}

async fn load(app: &mut App, sessions: &Sessions) -> Result<()> {
    let store = app.store_or_new()?;
    let mut bar = Bar::new("importing");
    let options = Options {
        count: &defaults::message_size,
        format: None,
        at_ms: app.sources.now_ms(),
        progress: &mut |progress| bar.set(progress.done_bytes, progress.total_bytes),
    };
    let loaded = sessions.load(&*store, options).await;
    bar.clear();
    print::reports(&mut app.out, &loaded?)
}

/// Standard input in a file: it may be too large for memory, and is read more than once.
fn spool(input: &mut dyn Read) -> io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new()?;
    io::copy(input, &mut file)?;
    Ok(file)
}
