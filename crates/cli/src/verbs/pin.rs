//! `pin SESSION ENTRY` and `unpin SESSION ENTRY`: what stays verbatim in the context though a
//! compaction covers it.

use serde_json::json;
use treering_tree::{Expect, Kind, Message, Role};

use crate::app::App;
use crate::failure::Result;
use crate::output::style;
use crate::resolve;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    session: String,
    entry: String,
}

/// Appends a pin, or what ends one. Each is an entry of its own, under the active head.
pub(crate) async fn run(app: &mut App, args: &Args, kind: Kind) -> Result<()> {
    let store = app.store()?;
    let session = resolve::session(&store, &app.sources, &args.session).await?;
    let entry = resolve::entry(&session, &args.entry).await?;
    // All that it says is its target.
    let body = Message::new(Role::System, Vec::new()).body();
    let draft = session.draft(kind, body).target(entry);
    let committed = session.append(draft, Expect::Any).await?;
    if app.out.json() {
        let id = committed.ids.first();
        let object = json!({ "id": id, "head": committed.head, "entry": entry });
        return Ok(app.out.object(&object)?);
    }
    let id = app.out.paint(&entry.short(), style::ID);
    let done = if kind == Kind::Pin { "stays in the context" } else { "is pinned no more" };
    Ok(app.out.line(format!("{id} {done}"))?)
}
