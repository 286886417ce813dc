//! `switch SESSION BRANCH`: makes another branch active.

use crate::app::App;
use crate::failure::Result;
use crate::resolve;
use crate::verbs::moved::Moved;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    session: String,
    /// Exact name of the branch
    branch: String,
}

pub(crate) async fn run(app: &mut App, args: &Args) -> Result<()> {
    let store = app.store()?;
    let session = resolve::session(&store, &app.sources, &args.session).await?;
    let committed = session.switch(&args.branch).await?;
    Moved::new(session.name(), &committed).print(&mut app.out)
}
