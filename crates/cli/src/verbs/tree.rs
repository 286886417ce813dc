//! `tree SESSION`: everything there is of a session, drawn.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use treering_tree::{Branch, Id, Kind, Number, Place, Session, limits};

use crate::app::App;
use crate::failure::Result;
use crate::fold::{Node, Run, runs};
use crate::output::graph::{self, Caption};
use crate::read;
use crate::resolve;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    session: String,
}

#[derive(Serialize)]
struct Row<'a> {
    /// The last entry of the run.
    id: Id,
    /// The last entry of the run it follows.
    parent: Option<Id>,
    first: Id,
    kind: Kind,
    entries: u64,
    turns: [u64; 2],
    tokens: u64,
    active: bool,
    branches: &'a [String],
    labels: &'a [String],
    text: &'a str,
}

pub(crate) async fn run(app: &mut App, args: &Args) -> Result<()> {
    let store = app.store()?;
    let session = resolve::session(&store, &app.sources, &args.session).await?;
    let (runs, captions) = folded(&session).await?;
    if !app.out.json() {
        return Ok(graph::draw(&mut app.out, &runs, &captions, usize::MAX)?);
    }
    for (run, caption) in runs.iter().zip(&captions) {
        let parent = run.parent.map(|parent| runs[parent].last.id);
        app.out.object(&row(run, parent, caption))?;
    }
    Ok(())
}

fn row<'a>(run: &Run, parent: Option<Id>, caption: &'a Caption) -> Row<'a> {
    Row {
        id: run.last.id,
        parent,
        first: run.first.id,
        kind: run.last.kind,
        entries: run.entries,
        turns: [run.first.turn, run.last.turn],
        tokens: run.tokens,
        active: caption.is_active,
        branches: &caption.branches,
        labels: &caption.labels,
        text: &caption.text,
    }
}

/// The runs of a session, parents before children, and what is written beside each.
pub(crate) async fn folded(session: &Session) -> Result<(Vec<Run>, Vec<Caption>)> {
    let branches = resolve::all_branches(session).await?;
    let (nodes, labels) = nodes(session, &branches).await?;
    let mut bound: HashMap<Id, Vec<&Branch>> = HashMap::new();
    for branch in &branches {
        branch.head.into_iter().for_each(|head| bound.entry(head).or_default().push(branch));
    }
    let runs = runs(&nodes, |node| bound.contains_key(&node.id) || labels.contains_key(&node.id));
    let mut captions = Vec::with_capacity(runs.len());
    for page in runs.chunks(resolve::SCAN_PAGE) {
        let about: Vec<Id> = page.iter().map(|run| run.about.id).collect();
        let entries = session.store().entries(&about).await?;
        for (run, stored) in page.iter().zip(entries) {
            captions.push(Caption {
                text: stored.as_ref().map_or_else(String::new, read::text),
                ..caption(run.last.id, &bound, &labels)
            });
        }
    }
    Ok((runs, captions))
}

fn caption(id: Id, bound: &HashMap<Id, Vec<&Branch>>, labels: &BTreeMap<Id, String>) -> Caption {
    let here = bound.get(&id).map_or(&[][..], Vec::as_slice);
    Caption {
        is_active: here.iter().any(|branch| branch.active),
        branches: here.iter().map(|branch| branch.name.clone()).collect(),
        labels: labels.get(&id).cloned().into_iter().collect(),
        text: String::new(),
    }
}

/// All entries of a session in append order, with those of other sessions that it forked from.
async fn nodes(
    session: &Session,
    branches: &[Branch],
) -> Result<(Vec<Node>, BTreeMap<Id, String>)> {
    let store = session.store();
    let mut nodes: BTreeMap<Number, Node> = BTreeMap::new();
    let mut labels = BTreeMap::new();
    let mut from = 0;
    loop {
        let page = store.scan(Some(session.name()), from, resolve::SCAN_PAGE).await?;
        let Some(last) = page.last() else { break };
        from = last.place.number + 1;
        for stored in &page {
            resolve::note_label(&mut labels, &stored.entry);
            nodes.insert(stored.place.number, Node::from(&*stored.place));
        }
    }
    let mut inherited: Vec<Id> = branches.iter().filter_map(|branch| branch.head).collect();
    let is_orphan = |node: &&Node| node.parent.is_some_and(|parent| !nodes.contains_key(&parent));
    inherited.extend(nodes.values().filter(is_orphan).map(|node| node.id));
    for id in inherited {
        walk_up(session, id, &mut nodes).await?;
    }
    Ok((nodes.into_values().collect(), labels))
}

/// Adds the path to `id`, from `id` up to the first entry that is known with its own parent.
async fn walk_up(session: &Session, id: Id, nodes: &mut BTreeMap<Number, Node>) -> Result<()> {
    let mut end = session.store().measure(id).await?.head.depth + 1;
    while end > 0 {
        let start = end.saturating_sub(limits::PAGE as u64);
        for place in session.store().places(id, start..end).await?.iter().rev() {
            if is_joined(nodes, place) {
                return Ok(());
            }
            nodes.insert(place.number, Node::from(place));
        }
        end = start;
    }
    Ok(())
}

fn is_joined(nodes: &BTreeMap<Number, Node>, place: &Place) -> bool {
    let is_known = |number| nodes.contains_key(&number);
    is_known(place.number) && place.parent.is_none_or(is_known)
}
