//! `demo`: a bundled session in a temporary store, compacted before your eyes.

use std::sync::Arc;

use serde::Serialize;
use treering_compactor::{CompactionResult, RunOptions};
use treering_policy::{Policy, should_compact};
use treering_tree::context::Source;
use treering_tree::{Context, Options, RedbStore, Report, Session, Store};

use crate::app::App;
use crate::defaults;
use crate::demo::{self, Demo};
use crate::failure::Result;
use crate::fold::Run;
use crate::output::graph::{self, Caption};
use crate::output::text::{count, counted, name};
use crate::output::{Out, style};
use crate::read;
use crate::resolve;
use crate::verbs::{compact, tree, verify};

const SESSION: &str = "tidelog";
/// The branch that leaves before the cut.
const OTHER_BRANCH: &str = "try-spool";
/// A small window, so that a short session fills it.
const WINDOW: u64 = 24_000;
/// Columns of the bar of the whole context before.
const BAR: u64 = 40;
const BLOCK: &str = "\u{2588}";
/// Lines of the summary that are shown.
const SUMMARY_LINES: usize = 12;
/// Runs of the later tree that are drawn: what is new, and what it stands on.
const TIP: usize = 3;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// What happens, step by step.
struct Story {
    tree: (Vec<Run>, Vec<Caption>),
    before: Context,
    result: CompactionResult,
    tree_later: (Vec<Run>, Vec<Caption>),
    after: Context,
    other: Context,
    report: Report,
}

#[derive(Serialize)]
struct Object<'a> {
    tokens_before: u64,
    tokens_after: u64,
    compaction: compact::Object<'a>,
    verify: verify::Object<'a>,
}

pub(crate) async fn run(app: &mut App, _: &Args) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let store = RedbStore::open(folder.path().join("demo.redb"), Options::new(demo::sources()))?;
    let store: Arc<dyn Store> = Arc::new(store);
    let session = Session::new(store, SESSION, demo::sources());
    let story = play(&session).await?;
    if app.out.json() {
        app.out.object(&Object {
            tokens_before: story.before.tokens,
            tokens_after: story.after.tokens,
            compaction: compact::object(&story.result),
            verify: verify::object(&story.report),
        })?;
    } else {
        tell(&mut app.out, &story)?;
    }
    verify::outcome(&story.report.problems)
}

fn policy() -> Policy {
    Policy { window: WINDOW, ..Policy::default() }
}

async fn play(session: &Session) -> Result<Story> {
    let mut demo = Demo::new(session.clone());
    demo.play().await?;
    let tree = tree::folded(session).await?;
    let before = session.context().await?;
    let options = RunOptions::default();
    let result = defaults::compactor().run(session, &policy(), &options).await?;
    demo.play().await?;
    let other = resolve::entry(session, OTHER_BRANCH).await?;
    Ok(Story {
        tree,
        before,
        result,
        tree_later: tree::folded(session).await?,
        after: session.context().await?,
        other: Context::at(&**session.store(), other).await?,
        report: session.store().verify().await?,
    })
}

fn tell(out: &mut Out, story: &Story) -> Result<()> {
    let Story { tree, before, result, tree_later, after, other, report } = story;
    title(out, "The tree: every entry stays, a branch is a name for one of them")?;
    graph::draw(out, &tree.0, &tree.1, usize::MAX)?;
    title(out, "The context: what a model is given at main")?;
    bars(out, before, before.tokens)?;
    due(out, before.tokens)?;
    title(out, "Compact: one entry more, at the head; nothing is rewritten")?;
    compact::print(out, result)?;
    summary(out, after)?;
    title(out, "The session goes on")?;
    graph::draw(out, &tree_later.0, &tree_later.1, TIP)?;
    title(out, "The context at main now")?;
    bars(out, after, before.tokens)?;
    let other = counted(other.tokens, "token", "tokens");
    out.line(format!(
        "{OTHER_BRANCH} left before the cut and is given its whole history: {other}"
    ))?;
    title(out, "Verify: every id, place, head and journal row recomputed")?;
    Ok(out.line(verify::sentence(report))?)
}

fn title(out: &mut Out, text: &str) -> Result<()> {
    out.line("")?;
    Ok(out.line(out.paint(text, style::BOLD))?)
}

/// One bar for each part of a context, `whole` tokens being the longest.
fn bars(out: &mut Out, context: &Context, whole: u64) -> Result<()> {
    for source in [Source::Pin, Source::Summary, Source::Kept, Source::Later] {
        let part: Vec<_> = context.items.iter().filter(|item| item.source == source).collect();
        if part.is_empty() {
            continue;
        }
        let tokens: u64 = part.iter().map(|item| u64::from(read::item_tokens(item))).sum();
        let items = counted(part.len() as u64, "item", "items");
        let blocks = usize::try_from((tokens * BAR).div_ceil(whole.max(1))).unwrap_or_default();
        let bar = out.paint(&BLOCK.repeat(blocks), style::of_source(source));
        let name = name(&source);
        out.line(format!("{name:8} {items:>10} {:>8} tokens  {bar}", count(tokens)))?;
    }
    Ok(())
}

fn due(out: &mut Out, tokens: u64) -> Result<()> {
    let (policy, budget) = (policy(), policy().budget());
    let verdict = if should_compact(tokens, &policy) { "due" } else { "not due" };
    Ok(out.line(format!(
        "{} tokens, threshold {} (window {} less a reserve of {}): compaction is {verdict}",
        count(tokens),
        count(budget.threshold),
        count(policy.window),
        count(budget.reserve),
    ))?)
}

/// The first lines of the summary.
fn summary(out: &mut Out, context: &Context) -> Result<()> {
    let Some(item) = context.items.iter().find(|item| item.source == Source::Summary) else {
        return Ok(());
    };
    let text = read::plain_text(&read::item(item));
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let margin = out.paint("\u{2502} ", style::SUMMARY);
    for line in lines.iter().take(SUMMARY_LINES) {
        let line = out.clipped(line, out.width().saturating_sub(2));
        out.line(format!("{margin}{line}"))?;
    }
    let more = lines.len().saturating_sub(SUMMARY_LINES);
    Ok(out.line(format!("{margin}(and {})", counted(more as u64, "more line", "more lines")))?)
}
