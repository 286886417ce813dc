//! `stats [SESSION]`: counts and sizes of the store, and what is known of a session's compactions.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use treering_compactor::{CompactionResult, Status};
use treering_policy::Breaker;
use treering_provider::{Calibrator, Size, Step};
use treering_tree::context::Item;
use treering_tree::{Session, Stamp, Stats, Store};

use crate::app::App;
use crate::defaults;
use crate::failure::Result;
use crate::output::text::{count, counted};
use crate::output::time::rfc3339;
use crate::output::{Out, style};
use crate::read;
use crate::resolve;
use crate::verbs::compact;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Also what is known of compactions of its active branch
    session: Option<String>,
}

#[derive(Serialize)]
struct Object<'a> {
    store: PathBuf,
    #[serde(flatten)]
    stats: Stats,
    /// What `verify --since` takes.
    stamp: Stamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<Known<'a>>,
}

/// What is known of the active branch of a session.
#[derive(Serialize)]
struct Known<'a> {
    name: &'a str,
    branch: String,
    /// The same of this session alone.
    stamp: Stamp,
    context: Context,
    lease: Lease,
    last: Option<compact::Object<'a>>,
    #[serde(skip)]
    result: Option<&'a CompactionResult>,
    breaker: &'a Breaker,
}

/// Size of the context: by the counter, and as the provider's reports in it correct that.
#[derive(Serialize)]
struct Context {
    counted_tokens: u64,
    calibrated_tokens: u64,
    reported_tokens: u64,
    /// Reported over counted tokens, in thousandths.
    factor: u64,
    overhead_tokens: Option<u64>,
}

#[derive(Serialize)]
struct Lease {
    fence: u64,
    until_ms: Option<i64>,
}

pub(crate) async fn run(app: &mut App, args: &Args) -> Result<()> {
    let path = app.path()?;
    let redb = Arc::new(app.redb()?);
    let store: Arc<dyn Store> = redb.clone();
    let (stats, stamp) = (store.stats().await?, redb.stamp(None)?);
    let session = match &args.session {
        Some(name) => Some(resolve::session(&store, &app.sources, name).await?),
        None => None,
    };
    let known = match &session {
        Some(session) => Some((known(session).await?, redb.stamp(Some(session.name()))?)),
        None => None,
    };
    let session = session.as_ref().zip(known.as_ref());
    let session = session.map(|(session, (known, stamp))| branch(session, *stamp, known));
    let object = Object { store: path, stats, stamp, session };
    if app.out.json() { Ok(app.out.object(&object)?) } else { print(&mut app.out, &object) }
}

/// What the store remembers of the active branch, and what its context teaches.
async fn known(session: &Session) -> Result<(Status, (u64, Calibrator, Size))> {
    let status = defaults::compactor().status(session).await?;
    let context = session.context().await?;
    let step = |item: &Item| Step::new(item.source, read::item_tokens(item), &read::item(item));
    let steps: Vec<Step> = context.items.iter().map(step).collect();
    let calibrator = Calibrator::taught_by(&steps);
    let size = calibrator.size(&steps);
    Ok((status, (context.tokens, calibrator, size)))
}

fn branch<'a>(
    session: &'a Session,
    stamp: Stamp,
    (status, (tokens, calibrator, size)): &'a (Status, (u64, Calibrator, Size)),
) -> Known<'a> {
    let Status { lease, breaker, .. } = status;
    Known {
        name: session.name(),
        branch: lease.branch.clone(),
        stamp,
        context: Context {
            counted_tokens: *tokens,
            calibrated_tokens: size.tokens,
            reported_tokens: size.reported,
            factor: calibrator.factor(),
            overhead_tokens: calibrator.overhead(),
        },
        lease: Lease { fence: lease.fence, until_ms: lease.until_ms },
        last: lease.last.as_ref().map(compact::object),
        result: lease.last.as_ref(),
        breaker,
    }
}

fn print(out: &mut Out, object: &Object<'_>) -> Result<()> {
    let stats = &object.stats;
    let lines = [
        ("sessions", stats.sessions),
        ("entries", stats.entries),
        ("journal rows", stats.journal_rows),
        ("bytes of entries", stats.stored_bytes),
        ("bytes of the file", stats.file_bytes),
        ("entries not indexed yet", stats.unmerged),
    ];
    let path = out.foreign(&object.store.display().to_string());
    out.line(out.paint(&path, style::BOLD))?;
    for (name, number) in lines {
        out.line(format!("{name:24}{:>16}", count(number)))?;
    }
    out.line(format!("{:24}{}", "stamp", object.stamp))?;
    object.session.as_ref().map_or(Ok(()), |branch| print_branch(out, branch))
}

fn print_branch(out: &mut Out, branch: &Known<'_>) -> Result<()> {
    let name = format!("{}/{}", branch.name, branch.branch);
    out.line(out.paint(&out.clipped(&name, out.width()), style::BRANCH))?;
    let Context { counted_tokens, calibrated_tokens, reported_tokens, factor, overhead_tokens } =
        branch.context;
    let unknown = || "unknown".to_owned();
    let held = |until_ms| format!("held until {}", rfc3339(until_ms));
    let breaker = branch.breaker;
    let fired = |reading: treering_policy::Reading| {
        format!("{} of a window of {}", count(reading.tokens), count(reading.window))
    };
    let facts = [
        ("stamp", branch.stamp.to_string()),
        ("context tokens", count(counted_tokens)),
        ("calibrated tokens", count(calibrated_tokens)),
        ("reported tokens", count(reported_tokens)),
        ("reported per counted", format!("{}.{:03}", factor / 1_000, factor % 1_000)),
        ("overhead tokens", overhead_tokens.map_or_else(unknown, count)),
        ("compactions begun", count(branch.lease.fence)),
        ("lease", branch.lease.until_ms.map_or_else(|| "free".to_owned(), held)),
        ("fired last at", breaker.fired.map_or_else(|| "never".to_owned(), fired)),
        ("landed last at", breaker.landed_at.map_or_else(|| "never".to_owned(), count)),
        ("failures in a row", count(breaker.failures.into())),
        ("stuck in a row", count(breaker.stuck.into())),
        ("strikes in a row", count(breaker.strikes.into())),
        ("rests", breaker.open.as_ref().map_or_else(|| "no".to_owned(), ToString::to_string)),
    ];
    for (name, fact) in facts {
        out.line(format!("{}{fact}", out.paint(&format!("{name:24}"), style::DIM)))?;
    }
    match branch.result {
        Some(last) => print_last(out, last),
        None => Ok(()),
    }
}

fn print_last(out: &mut Out, last: &CompactionResult) -> Result<()> {
    let summarized = counted(last.summarized_count, "entry", "entries");
    let (before, after) = (count(last.tokens_before), count(last.tokens_after));
    Ok(out.line(match &last.skipped_reason {
        Some(reason) => format!("last compaction: skipped, {reason}"),
        None => format!("last compaction: {summarized}, {before} -> {after} tokens"),
    })?)
}
