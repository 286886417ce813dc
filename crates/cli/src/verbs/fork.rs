//! `fork SESSION [ENTRY]`: a new branch or a new session, bound to an entry.

use treering_tree::{Error, MAIN};

use crate::app::App;
use crate::failure::Result;
use crate::resolve;
use crate::verbs::left;
use crate::verbs::moved::Moved;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("new").required(true))]
pub(crate) struct Args {
    session: String,
    /// Where from [default: the active head]
    entry: Option<String>,
    /// Name of the new branch, which becomes active
    #[arg(long, value_name = "NAME", group = "new")]
    branch: Option<String>,
    /// Name of the new session
    #[arg(long = "session", id = "new_session", value_name = "NAME", group = "new")]
    new_session: Option<String>,
    /// Tell what is not taken along, from the active head down, in a summary behind the new head
    #[arg(long)]
    summarize: bool,
}

pub(crate) async fn run(app: &mut App, args: &Args) -> Result<()> {
    let store = app.store()?;
    let session = resolve::session(&store, &app.sources, &args.session).await?;
    let left = session.head().await?;
    let at = match &args.entry {
        Some(text) => Some(resolve::entry(&session, text).await?),
        None => left,
    };
    let at =
        at.ok_or_else(|| Error::invalid("fork", "the active branch is empty; name an entry"))?;
    if let Some(branch) = &args.branch {
        let committed = session.fork_branch(branch, at).await?;
        let summary = left::summarize(args.summarize, &session, left).await?;
        Moved::new(session.name(), &committed).telling(summary).print(&mut app.out)?;
    }
    if let Some(name) = &args.new_session {
        let fork = session.fork_session(name, at).await?;
        let summary = left::summarize(args.summarize, &fork, left).await?;
        let moved = Moved { session: name, branch: MAIN, head: Some(at), summary: None };
        moved.telling(summary).print(&mut app.out)?;
    }
    Ok(())
}
