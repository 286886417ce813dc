//! `undo SESSION`: takes back the newest move of heads.

use crate::app::App;
use crate::failure::Result;
use crate::resolve;
use crate::verbs::moved::Moved;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    session: String,
}

pub(crate) async fn run(app: &mut App, args: &Args) -> Result<()> {
    let store = app.store()?;
    let session = resolve::session(&store, &app.sources, &args.session).await?;
    session.undo().await?;
    // What is taken back may be the branch itself: tell where the session stands now.
    let info = session.info().await?;
    let moved = Moved { session: &info.name, branch: &info.active, head: info.head, summary: None };
    moved.print(&mut app.out)
}
