//! `show ENTRY`: one entry in full.

use serde::Serialize;
use serde_json::Value;
use treering_provider::MadeBy;
use treering_tree::{Error, Id, Kind, Store, Stored};

use crate::app::App;
use crate::failure::Result;
use crate::output::style;
use crate::output::text::{count, counted};
use crate::output::time;
use crate::read;
use crate::resolve;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    entry: String,
    /// Take ENTRY for an alias, branch or label of this session
    #[arg(long, value_name = "SESSION")]
    session: Option<String>,
    /// Print the body alone, byte for byte
    #[arg(long)]
    body: bool,
}

#[derive(Serialize)]
struct Object<'a> {
    id: Id,
    parent: Option<Id>,
    kind: Kind,
    at: String,
    alias: Option<&'a str>,
    slot: Option<&'a str>,
    target: Option<Id>,
    calls: &'a [String],
    answers: &'a [String],
    depth: u64,
    turn: u64,
    tokens: u32,
    /// Format of the body; null once erased.
    format: Option<&'a str>,
    bytes: usize,
    text: String,
    made_by: Option<Made>,
}

/// What made a summary, summed up, and the whole record of it.
#[derive(Serialize)]
struct Made {
    #[serde(flatten)]
    short: MadeBy,
    record: Value,
}

pub(crate) async fn run(app: &mut App, args: &Args) -> Result<()> {
    let store = app.store()?;
    let id = match &args.session {
        None => resolve::entry_anywhere(&store, &args.entry).await?,
        Some(name) => {
            let session = resolve::session(&store, &app.sources, name).await?;
            resolve::entry(&session, &args.entry).await?
        }
    };
    let stored = fetch(&*store, id).await?;
    let body = stored.entry.body();
    if args.body {
        return Ok(app.out.verbatim().write_all(body.map_or(&[], |body| &body.bytes))?);
    }
    let object = object(&stored);
    if app.out.json() { Ok(app.out.object(&object)?) } else { print(app, &object) }
}

/// One entry that must be there.
pub(crate) async fn fetch(store: &dyn Store, id: Id) -> Result<Stored> {
    let found = store.entries(&[id]).await?.pop().flatten();
    found.ok_or_else(|| Error::no_entry(&id).into())
}

fn object(stored: &Stored) -> Object<'_> {
    let envelope = stored.entry.envelope();
    let body = stored.entry.body();
    Object {
        id: stored.place.id,
        parent: envelope.parent,
        kind: envelope.kind,
        at: time::rfc3339(envelope.at_ms),
        alias: envelope.alias.as_deref(),
        slot: envelope.slot.as_deref(),
        target: envelope.target,
        calls: &envelope.calls,
        answers: &envelope.answers,
        depth: stored.place.depth,
        turn: stored.place.turn,
        tokens: stored.place.tokens,
        format: body.map(|body| body.format.as_str()),
        bytes: body.map_or(0, |body| body.bytes.len()),
        text: read::text(stored),
        made_by: read::made_by(stored).map(|record| Made { short: MadeBy::read(&record), record }),
    }
}

/// How a summary was made, as people read it.
fn made_by(made: &MadeBy) -> [(&'static str, Option<String>); 8] {
    let prompt = made.prompt.as_ref();
    let usage = made.usage.map(|usage| {
        let of = |tokens, what| format!(", {} {what}", count(tokens));
        let cached = (usage.cached > 0).then(|| of(usage.cached, "of it from the cache"));
        let created = (usage.created > 0).then(|| of(usage.created, "of it into the cache"));
        let (prompt, output) = (count(usage.prompt()), count(usage.output));
        let cache = [cached, created].into_iter().flatten().collect::<String>();
        format!("{prompt} tokens of prompt{cache}; {output} of answer")
    });
    [
        ("made by", made.summarizer.clone()),
        ("model", made.model.clone()),
        ("prompt", prompt.map(|prompt| format!("{}, hash {}", prompt.version, prompt.hash))),
        ("usage", usage),
        ("cost", made.cost.map(|cost| cost.to_string())),
        ("duration", made.duration_ms.map(|ms| format!("{} ms", count(ms)))),
        ("attempts", made.attempts.map(count)),
        ("fallback", made.fallback.clone()),
    ]
}

fn print(app: &mut App, object: &Object<'_>) -> Result<()> {
    let id = |id: Option<Id>| id.map(|id| id.to_string());
    let size = counted(object.bytes as u64, "byte", "bytes");
    let gone = if object.kind == Kind::Lost { "lost" } else { "erased" };
    let facts = [
        ("entry", id(Some(object.id))),
        ("parent", id(object.parent)),
        ("target", id(object.target)),
        ("kind", Some(object.kind.name().to_owned())),
        ("slot", object.slot.map(str::to_owned)),
        ("alias", object.alias.map(str::to_owned)),
        ("calls", (!object.calls.is_empty()).then(|| object.calls.join(" "))),
        ("answers", (!object.answers.is_empty()).then(|| object.answers.join(" "))),
        ("at", Some(object.at.clone())),
        ("place", Some(format!("depth {}, turn {}", object.depth, object.turn))),
        ("size", Some(format!("{size}, {}", counted(u64::from(object.tokens), "token", "tokens")))),
        ("format", Some(object.format.unwrap_or(gone).to_owned())),
    ];
    let made_by = object.made_by.as_ref().map(|made| made_by(&made.short));
    let facts = facts.into_iter().chain(made_by.into_iter().flatten());
    for (name, fact) in facts.filter_map(|(name, fact)| Some((name, fact?))) {
        let name = app.out.paint(&format!("{name:9}"), style::DIM);
        app.out.line(format!("{name}{}", app.out.foreign(&fact)))?;
    }
    if !object.text.is_empty() {
        app.out.line("")?;
        app.out.line(app.out.foreign(object.text.trim_end()))?;
    }
    Ok(())
}
