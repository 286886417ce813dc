//! Random histories of a store against the plain model: after every step replay, context and head of all
//! sessions are compared; after a reopening and at the end everything that is stored. Any part of a history is
//! one too, so that a failing one shrinks to the steps it needs.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::runtime::Runtime;
use treering_interchange::{BundleOptions, export_bundle, import_bundle};
use treering_tree::context::Form;
use treering_tree::{ErrorKind, Id, Kind, Options, RedbStore, Sources, Store};

use super::compare;
use super::model::{Model, Node};
use super::model_context::Shown;
use super::model_erase::SEED;
use super::profile::STEPS;
use super::rng::Rng;
use super::sim_disk::{Faults, SimDisk};
use super::world::Request;

/// What holds, or how it does not.
type Held = Result<(), String>;

/// Runs the history of a seed.
///
/// # Errors
/// What was found wrong, with no step that it does not need.
pub fn run(seed: u64) -> Held {
    let mut rng = Rng::new(seed);
    let (fewest, most) = STEPS;
    let steps = fewest + rng.below(most - fewest + 1);
    let mut history: Vec<u64> = (0..steps).map(|_| rng.draw()).collect();
    let Err(mut why) = holds(&history) else { return Ok(()) };
    let mut at = 0;
    while at < history.len() {
        let mut fewer = history.clone();
        fewer.remove(at);
        match holds(&fewer) {
            Ok(()) => at += 1,
            Err(still) => (history, why) = (fewer, still),
        }
    }
    Err(format!("seed {seed}, which needs the steps {history:?}: {why}"))
}

/// Whether the store reads as the model says at every step.
fn holds(history: &[u64]) -> Held {
    let (mut subject, mut model) = (Subject::new(), Model::default());
    for seed in history {
        subject.step(&mut model, *seed)?;
    }
    subject.whole(&model)
}

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Held {
    if holds { Ok(()) } else { Err(why()) }
}

/// Nothing, where a difference or an error would be wrong.
fn nothing(found: treering_tree::Result<compare::Difference>) -> Held {
    match found {
        Ok(None) => Ok(()),
        Ok(Some(unlike)) => Err(unlike),
        Err(error) => Err(error.to_string()),
    }
}

/// The store, on a disk without faults so that it can be reopened.
struct Subject {
    runtime: Runtime,
    disk: SimDisk,
    store: Option<Arc<RedbStore>>,
    /// Head and context of each session before the last step.
    before: Vec<(String, Option<Id>, Vec<Shown>)>,
}

fn open(disk: &SimDisk) -> Arc<RedbStore> {
    let options = Options::new(Sources::fixed(SEED)).idle_checkpoint(None);
    Arc::new(RedbStore::with_backend(disk.factory(), options).unwrap())
}

impl Subject {
    fn new() -> Self {
        let disk = SimDisk::new(Vec::new(), Faults::default());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let store = Some(open(&disk));
        Self { runtime, disk, store, before: Vec::new() }
    }

    fn store(&self) -> &Arc<RedbStore> {
        self.store.as_ref().unwrap()
    }

    fn seam(&self) -> Arc<dyn Store> {
        Arc::clone(self.store()) as Arc<dyn Store>
    }

    /// One step: a request that suits the state, or one of what may happen at any time.
    fn step(&mut self, model: &mut Model, seed: u64) -> Held {
        let told = |why| format!("step {seed}: {why}");
        match seed % 40 {
            0 => self.reopen(model),
            1 => self.scrub(usize::try_from(seed % 7).unwrap() + 1),
            2 => self.carry(model),
            _ => self.ask(model, &Request::random(model, seed)),
        }
        .and_then(|()| self.prefix_is_stable(model))
        .and_then(|()| nothing(self.runtime.block_on(compare::heads(&self.seam(), model))))
        .map_err(told)
    }

    fn ask(&self, model: &mut Model, request: &Request) -> Held {
        let expected = request.on_model(model);
        let done = self.runtime.block_on(request.on_store(&self.seam()));
        let found = done.as_ref().map_err(treering_tree::Error::kind);
        ensure(found == expected.as_ref().map_err(|kind| *kind), || {
            format!("{request:?}: expected {expected:?}, found {done:?}")
        })
    }

    fn reopen(&mut self, model: &Model) -> Held {
        self.store = None;
        self.store = Some(open(&self.disk));
        self.whole(model)
    }

    /// Reads a part of the store back from the disk.
    fn scrub(&self, entries: usize) -> Held {
        let problems = self.runtime.block_on(self.store().scrub(entries)).unwrap().problems;
        ensure(problems.is_empty(), || format!("scrub: {problems:?}"))
    }

    /// Carries every session into another store, where each must come to the same. What was erased has
    /// no body to carry, and a session that stands on another tree's entries may hold an alias twice,
    /// which one tree cannot: both are refused.
    fn carry(&self, model: &Model) -> Held {
        let options = Options::new(Sources::fixed(7)).idle_checkpoint(None);
        let other: Arc<dyn Store> = Arc::new(RedbStore::in_memory(options).unwrap());
        let mut carried = model.clone();
        self.runtime.block_on(async {
            for name in model.lines.keys() {
                if let Some(refused) = carry(&**self.store(), name, &*other).await? {
                    let has_reason = match refused {
                        ErrorKind::Invalid => !model.erased.is_empty(),
                        ErrorKind::Conflict => has_alias_twice(model),
                        _ => false,
                    };
                    ensure(has_reason, || format!("{name}: {refused:?}"))?;
                    carried.lines.remove(name);
                }
            }
            nothing(compare::heads(&other, &carried).await)?;
            let problems = other.verify().await.unwrap().problems;
            ensure(problems.is_empty(), || format!("verify of what was carried: {problems:?}"))
        })
    }

    fn whole(&self, model: &Model) -> Held {
        self.runtime.block_on(async {
            nothing(compare::stored(&**self.store(), model).await)?;
            let problems = self.store().verify().await.map_err(|error| error.to_string())?.problems;
            ensure(problems.is_empty(), || format!("verify: {problems:?}"))
        })
    }

    /// Between two compactions a later context begins with the earlier one.
    fn prefix_is_stable(&mut self, model: &Model) -> Held {
        for (session, head, shown) in std::mem::take(&mut self.before) {
            let now = model.path(model.head(&session));
            let at = now.iter().position(|node| Some(node.entry.id()) == head);
            let cut = |node: &Arc<Node>| node.entry.envelope().kind == Kind::Compaction;
            if at.is_some_and(|at| !now[at + 1..].iter().any(cut)) {
                let (later, _) = model.context(model.head(&session));
                ensure(later.starts_with(&shown), || {
                    format!("{shown:?} is no prefix of {later:?}")
                })?;
            }
        }
        for session in model.lines.keys() {
            let head = model.head(session);
            let (shown, _) = model.context(head);
            calls_are_closed(model, &shown)?;
            self.before.push((session.clone(), head, shown));
        }
        Ok(())
    }
}

/// Carries a session into another store; what was taken comes a second time with nothing added. Answers why it
/// was refused.
async fn carry(from: &dyn Store, name: &str, to: &dyn Store) -> Result<Option<ErrorKind>, String> {
    let mut bundle = Vec::new();
    if let Err(error) = export_bundle(from, name, &mut bundle).await {
        return Ok(Some(error.kind()));
    }
    let take = async || import_bundle(to, &mut &bundle[..], BundleOptions::default()).await;
    if let Err(error) = take().await {
        return Ok(Some(error.kind()));
    }
    let again = take().await.map_err(|error| format!("{name}, again: {error}"))?;
    ensure(again.added == 0, || format!("{name}: {again:?}"))?;
    Ok(None)
}

fn has_alias_twice(model: &Model) -> bool {
    let mut aliases = model.nodes.iter().filter_map(|node| node.entry.envelope().alias.as_ref());
    let mut seen = BTreeSet::new();
    aliases.any(|alias| !seen.insert(alias))
}

/// No result stands before its call, and nothing but its group stands between the two.
fn calls_are_closed(model: &Model, shown: &[Shown]) -> Held {
    let (mut called, mut open) = (BTreeSet::new(), BTreeSet::new());
    for (id, source, form) in shown {
        let envelope = model.entry(id).unwrap().envelope();
        match (form, envelope.kind) {
            (Form::Interrupted { call }, _) => drop(open.remove(call)),
            (Form::Verbatim, Kind::Assistant) => {
                called.extend(envelope.calls.clone());
                open.extend(envelope.calls.clone());
            }
            (Form::Verbatim, Kind::ToolResult) => {
                let answers = &envelope.answers;
                let has_call = answers.iter().any(|call| called.contains(call));
                ensure(has_call, || format!("{id} has no call in {shown:?}"))?;
                open.retain(|call| !answers.contains(call));
            }
            _ => ensure(open.is_empty(), || format!("before {source:?} {id} in {shown:?}"))?,
        }
    }
    Ok(())
}
