//! Random histories against the plain model: after every step replay, context and head of all
//! sessions are compared; after a reopening and at the end everything that is stored.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use tests::compare;
use tests::model::{Model, Node};
use tests::model_context::Shown;
use tests::model_erase::SEED;
use tests::sim_disk::{Faults, SimDisk};
use tests::world::Request;
use tokio::runtime::Runtime;
use treering_interchange::{BundleOptions, export_bundle, import_bundle};
use treering_tree::context::Form;
use treering_tree::{ErrorKind, Id, Kind, Options, RedbStore, Sources, Store};

/// What a step asks for and what must come of it.
#[derive(Clone, Debug)]
enum Step {
    Ask(Request, Result<Vec<Id>, ErrorKind>),
    Reopen,
    Scrub,
    /// Every session as a bundle into another store.
    Carry,
}

/// The model, and the step that led to it.
#[derive(Clone, Debug, Default)]
struct Expected {
    model: Model,
    step: Option<Step>,
}

struct Histories;

impl ReferenceStateMachine for Histories {
    type State = Expected;
    /// The seed of a request that suits the state it comes to.
    type Transition = u64;

    fn init_state() -> BoxedStrategy<Expected> {
        Just(Expected::default()).boxed()
    }

    fn transitions(_: &Expected) -> BoxedStrategy<u64> {
        any::<u64>().boxed()
    }

    fn apply(mut state: Expected, seed: &u64) -> Expected {
        state.step = Some(match seed % 40 {
            0 => Step::Reopen,
            1 => Step::Scrub,
            2 => Step::Carry,
            _ => {
                let request = Request::random(&state.model, *seed);
                let outcome = request.on_model(&mut state.model);
                Step::Ask(request, outcome)
            }
        });
        state
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
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(self.store.as_ref().unwrap()) as Arc<dyn Store>
    }

    /// Reads a part of the store back from the disk.
    fn scrub(&self, entries: usize) {
        let scrubbing = self.store.as_ref().unwrap().scrub(entries);
        assert_eq!(self.runtime.block_on(scrubbing).unwrap().problems, []);
    }

    /// Carries every session into another store, where each must come to the same. What was erased has
    /// no body to carry, and a session that stands on another tree's entries may hold an alias twice,
    /// which one tree cannot: both are refused.
    fn carry(&self, model: &Model) {
        let options = Options::new(Sources::fixed(7)).idle_checkpoint(None);
        let other: Arc<dyn Store> = Arc::new(RedbStore::in_memory(options).unwrap());
        let mut carried = model.clone();
        self.runtime.block_on(async {
            for name in model.lines.keys() {
                // A bundle holds branches that are bound to an entry.
                if model.head(name).is_none() {
                    carried.lines.remove(name);
                    continue;
                }
                if let Err(refused) = carry(&*self.store(), name, &*other).await {
                    match refused {
                        ErrorKind::Invalid => assert!(!model.erased.is_empty(), "{name}"),
                        ErrorKind::Conflict => assert!(has_alias_twice(model), "{name}"),
                        kind => panic!("{name}: {kind:?}"),
                    }
                    carried.lines.remove(name);
                }
            }
            assert_eq!(compare::heads(&other, &carried).await.unwrap(), None);
            assert_eq!(other.verify().await.unwrap().problems, []);
        });
    }

    fn whole(&self, model: &Model) {
        let store = self.store();
        self.runtime.block_on(async {
            assert_eq!(compare::stored(&*store, model).await.unwrap(), None);
            assert_eq!(store.verify().await.unwrap().problems, []);
        });
    }

    /// Between two compactions a later context begins with the earlier one.
    fn prefix_is_stable(&mut self, model: &Model) {
        for (session, head, shown) in std::mem::take(&mut self.before) {
            let now = model.path(model.head(&session));
            let at = now.iter().position(|node| Some(node.entry.id()) == head);
            let cut = |node: &Arc<Node>| node.entry.envelope().kind == Kind::Compaction;
            if at.is_some_and(|at| !now[at + 1..].iter().any(cut)) {
                let (later, _) = model.context(model.head(&session));
                let stable = later.starts_with(&shown);
                assert!(stable, "{shown:?}\nis no prefix of\n{later:?}");
            }
        }
        for session in model.lines.keys() {
            let head = model.head(session);
            let (shown, _) = model.context(head);
            calls_are_closed(model, &shown);
            self.before.push((session.clone(), head, shown));
        }
    }
}

/// Carries a session into another store; a second time, with nothing added.
async fn carry(from: &dyn Store, name: &str, to: &dyn Store) -> Result<(), ErrorKind> {
    let mut bundle = Vec::new();
    export_bundle(from, name, &mut bundle).await.map_err(|error| error.kind())?;
    for added in [None, Some(0)] {
        let taken = import_bundle(to, &mut &bundle[..], BundleOptions::default()).await;
        let taken = taken.map_err(|error| error.kind())?;
        assert!(added.is_none_or(|added| taken.added == added), "{name}: {taken:?}");
    }
    Ok(())
}

fn has_alias_twice(model: &Model) -> bool {
    let mut aliases = model.nodes.iter().filter_map(|node| node.entry.envelope().alias.as_ref());
    let mut seen = BTreeSet::new();
    aliases.any(|alias| !seen.insert(alias))
}

/// No result stands before its call, and nothing but its group stands between the two.
fn calls_are_closed(model: &Model, shown: &[Shown]) {
    let (mut called, mut open) = (BTreeSet::new(), BTreeSet::new());
    for (id, source, form) in shown {
        let path = model.path(Some(*id));
        let envelope = path.last().unwrap().entry.envelope();
        match (form, envelope.kind) {
            (Form::Interrupted { call }, _) => drop(open.remove(call)),
            (Form::Verbatim, Kind::Assistant) => {
                called.extend(envelope.calls.clone());
                open.extend(envelope.calls.clone());
            }
            (Form::Verbatim, Kind::ToolResult) => {
                let answers = &envelope.answers;
                let has_call = answers.iter().any(|call| called.contains(call));
                assert!(has_call, "{id} has no call in {shown:?}");
                open.retain(|call| !answers.contains(call));
            }
            _ => assert!(open.is_empty(), "before {source:?} {id} in {shown:?}"),
        }
    }
}

struct AgainstTheModel;

impl StateMachineTest for AgainstTheModel {
    type SystemUnderTest = Subject;
    type Reference = Histories;

    fn init_test(_: &Expected) -> Subject {
        let disk = SimDisk::new(Vec::new(), Faults::default());
        let store = Some(open(&disk));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Subject { runtime, disk, store, before: Vec::new() }
    }

    fn apply(mut subject: Subject, expected: &Expected, seed: u64) -> Subject {
        match expected.step.as_ref().unwrap() {
            Step::Reopen => {
                subject.store = None;
                subject.store = Some(open(&subject.disk));
                subject.whole(&expected.model);
            }
            Step::Scrub => subject.scrub(usize::try_from(seed % 7).unwrap() + 1),
            Step::Carry => subject.carry(&expected.model),
            Step::Ask(request, outcome) => {
                let done = subject.runtime.block_on(request.on_store(&subject.store()));
                let kinds = done.as_ref().map_err(treering_tree::Error::kind);
                match (&kinds, outcome) {
                    (Ok(ids), Ok(expected)) if *ids == expected => {}
                    (Err(kind), Err(expected)) if kind == expected => {}
                    _ => panic!("seed {seed}: {request:?}: expected {outcome:?}, found {done:?}"),
                }
            }
        }
        subject.prefix_is_stable(&expected.model);
        subject
    }

    fn check_invariants(subject: &Subject, expected: &Expected) {
        let unlike = subject.runtime.block_on(compare::heads(&subject.store(), &expected.model));
        assert_eq!(unlike.unwrap(), None, "after {:?}", expected.step);
    }

    fn teardown(subject: Subject, expected: Expected) {
        subject.whole(&expected.model);
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn invariants_3_6_7_8_any_history_reads_as_the_model_says(sequential 60 => AgainstTheModel);
}
