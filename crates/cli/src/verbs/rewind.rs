//! `rewind SESSION ENTRY`: moves the active branch.

use crate::app::App;
use crate::failure::Result;
use crate::resolve;
use crate::verbs::left;
use crate::verbs::moved::Moved;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    session: String,
    /// Where to; `empty` is before the first entry
    entry: String,
    /// Move only if the head is this entry
    #[arg(long, value_name = "ID|empty")]
    expect: Option<String>,
    /// Tell what was left, down to what both heads share, in a summary behind the new head
    #[arg(long)]
    summarize: bool,
}

pub(crate) async fn run(app: &mut App, args: &Args) -> Result<()> {
    let store = app.store()?;
    let session = resolve::session(&store, &app.sources, &args.session).await?;
    let to = match args.entry.as_str() {
        resolve::EMPTY => None,
        text => Some(resolve::entry(&session, text).await?),
    };
    let expect = resolve::expect(&session, args.expect.as_deref()).await?;
    let left = session.head().await?;
    let committed = session.rewind(to, expect).await?;
    let summary = left::summarize(args.summarize, &session, left).await?;
    Moved::new(session.name(), &committed).telling(summary).print(&mut app.out)
}
