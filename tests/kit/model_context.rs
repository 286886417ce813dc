//! What a model is given at a head, worked out by the plain model: from the whole path, each time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use treering_tree::context::{Form, Source};
use treering_tree::{Id, Kind};

use super::model::{Model, Node};

/// One item of a context: the entry, its part, how it shows.
pub type Shown = (Id, Source, Form);

impl Model {
    /// What a model is given at a head, and its size in tokens.
    pub fn context(&self, head: Option<Id>) -> (Vec<Shown>, u64) {
        let path = self.path(head);
        let calls = Calls::of(&path);
        let cut = newest_cut(&path);
        let (landed, first) = cut.unwrap_or((0, 0));
        let mut shown = Vec::new();
        let mut tokens = 0;
        if cut.is_some() {
            let lifted =
                calls.whole_groups(active(&path[..landed]).into_iter().filter(|at| *at < first));
            let lifted: Vec<usize> =
                lifted.into_iter().filter(|at| has_place(&path[*at])).collect();
            tokens += lifted.iter().map(|at| path[*at].tokens).sum::<u64>() + path[landed].tokens;
            shown.extend(
                calls.lay(&path, &lifted).into_iter().map(|(at, form)| (at, Source::Pin, form)),
            );
            shown.push((landed, Source::Summary, Form::Verbatim));
        }
        let tail: Vec<usize> = (first..path.len()).filter(|at| has_place(&path[*at])).collect();
        tokens += tail.iter().map(|at| path[*at].tokens).sum::<u64>();
        let part = |at: usize| {
            if at < landed { Source::Kept } else { Source::Later }
        };
        shown.extend(calls.lay(&path, &tail).into_iter().map(|(at, form)| (at, part(at), form)));
        let shown = shown.into_iter().map(|(at, part, form)| (path[at].entry.id(), part, form));
        (shown.collect(), tokens)
    }

    /// Ids of the calls open at a head.
    pub fn open_calls(&self, head: Option<Id>) -> Vec<String> {
        let path = self.path(head);
        let calls = Calls::of(&path);
        calls.open().map(|(caller, nth)| path[caller].entry.envelope().calls[nth].clone()).collect()
    }
}

pub(super) fn kind(node: &Node) -> Kind {
    node.entry.envelope().kind
}

fn has_place(node: &Node) -> bool {
    !matches!(kind(node), Kind::Compaction | Kind::Pin | Kind::Unpin | Kind::Record)
}

pub(super) fn position(path: &[Arc<Node>], id: &Id) -> Option<usize> {
    path.iter().position(|node| node.entry.id() == *id)
}

/// The newest compaction of a path and where its kept tail begins.
pub(super) fn newest_cut(path: &[Arc<Node>]) -> Option<(usize, usize)> {
    let at = path.iter().rposition(|node| kind(node) == Kind::Compaction)?;
    let target = path[at].entry.envelope().target;
    Some((at, target.map_or(Some(at), |id| position(path, &id))?))
}

/// Pins and prompts that are active at the end of a path.
fn active(path: &[Arc<Node>]) -> BTreeSet<usize> {
    let (mut prompts, mut pins) = (BTreeMap::new(), BTreeSet::new());
    for (at, node) in path.iter().enumerate() {
        let envelope = node.entry.envelope();
        let target = envelope.target.and_then(|id| position(path, &id));
        match (envelope.kind, target) {
            (Kind::SystemPrompt, _) => drop(prompts.insert(envelope.slot.clone(), at)),
            (Kind::Pin, Some(target)) => drop(pins.insert(target)),
            (Kind::Unpin, Some(target)) => drop(pins.remove(&target)),
            _ => {}
        }
    }
    pins.into_iter().chain(prompts.into_values()).collect()
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Open,
    Interrupted,
    Answered(usize),
}

/// The fate of each call of a path: (entry, nth call of it).
pub(super) struct Calls {
    fates: BTreeMap<(usize, usize), Fate>,
}

impl Calls {
    pub(super) fn of(path: &[Arc<Node>]) -> Self {
        let mut fates = BTreeMap::new();
        for (at, node) in path.iter().enumerate() {
            let envelope = node.entry.envelope();
            if envelope.kind == Kind::User {
                let open = fates.values_mut().filter(|fate| **fate == Fate::Open);
                open.for_each(|fate| *fate = Fate::Interrupted);
            }
            for answer in &envelope.answers {
                let names = |(caller, nth): &(usize, usize)| {
                    let caller: &Node = &path[*caller];
                    caller.entry.envelope().calls[*nth] == *answer
                };
                let newest =
                    fates.iter_mut().rev().find(|(call, fate)| **fate == Fate::Open && names(call));
                if let Some((_, fate)) = newest {
                    *fate = Fate::Answered(at);
                }
            }
            fates.extend((0..envelope.calls.len()).map(|nth| ((at, nth), Fate::Open)));
        }
        Self { fates }
    }

    /// The calls that are open.
    pub(super) fn open(&self) -> impl Iterator<Item = (usize, usize)> {
        let open = self.fates.iter().filter(|(_, fate)| **fate == Fate::Open);
        open.map(|(call, _)| *call)
    }

    /// Entries that make a call which `result` answers.
    fn callers(&self, result: usize) -> BTreeSet<usize> {
        let answered = self.fates.iter().filter(|(_, fate)| **fate == Fate::Answered(result));
        answered.map(|((caller, _), _)| *caller).collect()
    }

    fn of_caller(&self, caller: usize) -> impl Iterator<Item = (usize, Fate)> {
        let calls = self.fates.range((caller, 0)..(caller + 1, 0));
        calls.map(|((_, nth), fate)| (*nth, *fate))
    }

    /// The entries, each with all that calls and results tie to it, in path order.
    fn whole_groups(&self, entries: impl Iterator<Item = usize>) -> BTreeSet<usize> {
        let mut whole = BTreeSet::new();
        let mut next: Vec<usize> = entries.collect();
        while let Some(at) = next.pop() {
            if whole.insert(at) {
                next.extend(self.callers(at));
                next.extend(self.of_caller(at).filter_map(|(_, fate)| match fate {
                    Fate::Answered(by) => Some(by),
                    _ => None,
                }));
            }
        }
        whole
    }

    /// Entries as they are shown, results next to their calls, up to the first call that is open.
    fn lay(&self, path: &[Arc<Node>], entries: &[usize]) -> Vec<(usize, Form)> {
        let (mut shown, mut done) = (Vec::new(), BTreeSet::new());
        for &at in entries {
            if !done.insert(at) {
                continue;
            }
            let late = kind(&path[at]) == Kind::ToolResult && self.callers(at).is_empty();
            shown.push((at, if late { Form::LateResult } else { Form::Verbatim }));
            let mut group = VecDeque::from([at]);
            while let Some(caller) = group.pop_front() {
                for (nth, fate) in self.of_caller(caller) {
                    match fate {
                        Fate::Open => return shown,
                        Fate::Interrupted => {
                            let call = path[caller].entry.envelope().calls[nth].clone();
                            shown.push((caller, Form::Interrupted { call }));
                        }
                        Fate::Answered(by) if !done.insert(by) => {}
                        Fate::Answered(by) => {
                            let others: Vec<usize> = self
                                .callers(by)
                                .into_iter()
                                .filter(|at| done.insert(*at))
                                .collect();
                            shown.extend(others.iter().map(|at| (*at, Form::Verbatim)));
                            group.extend(others);
                            shown.push((by, Form::Verbatim));
                        }
                    }
                }
            }
        }
        shown
    }
}
