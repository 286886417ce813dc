//! `label SESSION ENTRY NAME`: names an entry.

use serde_json::json;

use crate::app::App;
use crate::failure::Result;
use crate::output::style;
use crate::resolve;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    session: String,
    entry: String,
    /// The name; an empty one takes the entry's name away
    label: String,
}

pub(crate) async fn run(app: &mut App, args: &Args) -> Result<()> {
    let store = app.store()?;
    let session = resolve::session(&store, &app.sources, &args.session).await?;
    let entry = resolve::entry(&session, &args.entry).await?;
    let committed = session.label(entry, &args.label).await?;
    if app.out.json() {
        let id = committed.ids.first();
        let object =
            json!({ "id": id, "head": committed.head, "entry": entry, "label": args.label });
        return Ok(app.out.object(&object)?);
    }
    let id = app.out.paint(&entry.short(), style::ID);
    if args.label.is_empty() {
        return Ok(app.out.line(format!("{id} has no label"))?);
    }
    let label = app.out.clipped(&args.label, app.out.width());
    let label = app.out.paint(&format!("\"{label}\""), style::LABEL);
    Ok(app.out.line(format!("{id} is {label}"))?)
}
