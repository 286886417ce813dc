//! Folds a tree of entries into runs: what stands between two forks, names or compactions becomes one
//! node. Pure; knows neither stores nor terminals.

use std::collections::HashMap;

use treering_tree::{Id, Kind, Number, Place};

/// What drawing needs of an entry.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) number: Number,
    pub(crate) parent: Option<Number>,
    pub(crate) id: Id,
    pub(crate) kind: Kind,
    pub(crate) turn: u64,
    pub(crate) tokens: u32,
    /// Entries and turns that a compaction covers.
    pub(crate) covers: Option<(u64, u64)>,
}

impl From<&Place> for Node {
    fn from(place: &Place) -> Self {
        Self {
            number: place.number,
            parent: place.parent,
            id: place.id,
            kind: place.kind,
            turn: place.turn,
            tokens: place.tokens,
            covers: place.cut.as_ref().map(|cut| (cut.first_kept_depth, cut.covered_turns)),
        }
    }
}

/// Entries in a line, the last of which is worth a node of its own.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// The run its first entry follows.
    pub(crate) parent: Option<usize>,
    pub(crate) first: Node,
    pub(crate) last: Node,
    /// What it is about: its first user entry, else its first entry.
    pub(crate) about: Node,
    pub(crate) entries: u64,
    pub(crate) tokens: u64,
}

impl Run {
    fn begin(node: &Node, parent: Option<usize>) -> Self {
        Self {
            parent,
            first: node.clone(),
            last: node.clone(),
            about: node.clone(),
            entries: 1,
            tokens: u64::from(node.tokens),
        }
    }

    fn extend(&mut self, node: &Node) {
        if self.about.kind != Kind::User && node.kind == Kind::User {
            self.about = node.clone();
        }
        self.last = node.clone();
        self.entries += 1;
        self.tokens += u64::from(node.tokens);
    }
}

/// The runs of a tree, parents before children. `nodes` stand in append order; a run ends where
/// `is_named`, at forks and leaves, and on both sides of a compaction.
pub(crate) fn runs(nodes: &[Node], is_named: impl Fn(&Node) -> bool) -> Vec<Run> {
    let index: HashMap<Number, usize> =
        nodes.iter().enumerate().map(|(at, node)| (node.number, at)).collect();
    let parent_of = |node: &Node| node.parent.and_then(|number| index.get(&number).copied());
    let mut children = vec![0_usize; nodes.len()];
    let mut ends: Vec<bool> =
        nodes.iter().map(|node| node.kind == Kind::Compaction || is_named(node)).collect();
    for node in nodes {
        if let Some(parent) = parent_of(node) {
            children[parent] += 1;
            ends[parent] |= node.kind == Kind::Compaction || children[parent] > 1;
        }
    }
    let mut runs: Vec<Run> = Vec::new();
    let mut run_of: Vec<usize> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let parent = parent_of(node);
        let above = parent.map(|parent| run_of[parent]);
        match (parent, above) {
            (Some(parent), Some(run)) if !ends[parent] => {
                runs[run].extend(node);
                run_of.push(run);
            }
            _ => {
                run_of.push(runs.len());
                runs.push(Run::begin(node, above));
            }
        }
    }
    runs
}

/// The order in which runs are drawn from top to bottom: every run above the one it follows, the
/// line to `active` first, the newest next.
pub(crate) fn drawing_order(runs: &[Run], active: Option<usize>) -> Vec<usize> {
    let mut on_active_line = vec![false; runs.len()];
    let mut at = active;
    while let Some(run) = at {
        on_active_line[run] = true;
        at = runs[run].parent;
    }
    let mut roots = Vec::new();
    let mut children = vec![Vec::new(); runs.len()];
    for (at, run) in runs.iter().enumerate() {
        run.parent.map_or(&mut roots, |parent| &mut children[parent]).push(at);
    }
    // The stack turns everything around: oldest first here is newest first on the page.
    for siblings in children.iter_mut().chain([&mut roots]) {
        siblings.sort_by_key(|&run| (on_active_line[run], runs[run].last.number));
    }
    let mut order = Vec::with_capacity(runs.len());
    let mut stack: Vec<(usize, bool)> = roots.into_iter().map(|run| (run, false)).collect();
    while let Some((run, children_are_drawn)) = stack.pop() {
        if children_are_drawn {
            order.push(run);
        } else {
            stack.push((run, true));
            stack.extend(children[run].iter().map(|&child| (child, false)));
        }
    }
    order
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn node(number: Number, parent: Option<Number>, kind: Kind) -> Node {
        let id = Id::from_bytes([u8::try_from(number).unwrap(); 32]);
        Node { number, parent, id, kind, turn: 1, tokens: 10, covers: None }
    }

    /// 0 - 1 - 2 - 3 - 4(compaction) - 5
    ///         \ 6 - 7
    fn forked() -> Vec<Node> {
        let parents = [None, Some(0), Some(1), Some(2), Some(3), Some(4), Some(1), Some(6)];
        let kind = |number| {
            if number == 4 { Kind::Compaction } else { Kind::User }
        };
        (0..).zip(parents).map(|(number, parent)| node(number, parent, kind(number))).collect()
    }

    #[test]
    fn a_run_ends_at_forks_leaves_names_and_around_compactions() {
        let ends = |named: Number| {
            let runs = runs(&forked(), |node| node.number == named);
            runs.iter().map(|run| (run.first.number, run.last.number)).collect::<Vec<_>>()
        };
        assert_eq!(ends(5), [(0, 1), (2, 3), (4, 4), (5, 5), (6, 7)]);
        assert_eq!(ends(2), [(0, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 7)]);
    }

    #[test]
    fn every_entry_is_in_exactly_one_run() {
        let nodes = forked();
        let runs = runs(&nodes, |_| false);
        assert_eq!(runs.iter().map(|run| run.entries).sum::<u64>(), nodes.len() as u64);
        assert_eq!(runs.iter().map(|run| run.tokens).sum::<u64>(), 80);
    }

    #[test]
    fn the_active_line_is_drawn_first_and_children_above_their_parents() {
        let runs = runs(&forked(), |_| false);
        assert_eq!(drawing_order(&runs, Some(3)), [3, 2, 1, 4, 0]);
        assert_eq!(drawing_order(&runs, Some(4)), [4, 3, 2, 1, 0]);
    }

    #[test]
    fn a_long_line_and_many_roots_need_no_recursion() {
        let line: Vec<Node> = (0..200_000_u64)
            .map(|number| Node {
                number,
                parent: number.checked_sub(1),
                ..node(0, None, Kind::User)
            })
            .collect();
        // Every entry is named: one run each.
        let named = runs(&line, |_| true);
        assert_eq!(drawing_order(&named, Some(0)).len(), 200_000);
        let roots: Vec<Node> = line.into_iter().map(|node| Node { parent: None, ..node }).collect();
        assert_eq!(drawing_order(&runs(&roots, |_| false), None).len(), 200_000);
    }
}
