//! Which branches a session's files call for, and what they are called. Names come from where a
//! branch leaves the others, so that they stay when it grows. It never moves a branch.

use std::collections::HashSet;

use crate::limits;
use crate::loom::{Loom, Node};
use crate::names::Names;

/// What the branches of a file are called by.
pub(crate) struct FileBranches {
    /// The branch of its current conversation.
    pub(crate) name: String,
    /// The head of its current conversation.
    pub(crate) current: Option<Node>,
}

/// The branches that the files call for.
pub(crate) struct Plan {
    pub(crate) heads: Vec<(String, Node)>,
    pub(crate) leaves: u64,
    pub(crate) left_off: u64,
}

/// One branch for the current conversation of each file, and one for every other leaf. `names` are
/// those of the files already.
pub(crate) fn plan(loom: &Loom, files: &[FileBranches], mut names: Names, main: &str) -> Plan {
    let mut heads: Vec<(String, Node)> =
        files.iter().filter_map(|file| Some((file.name.clone(), file.current?))).collect();
    let current = current_paths(loom, files);
    // The first node of the run of eldest children that a node belongs to.
    let mut tops: Vec<Node> = Vec::new();
    let mut has_eldest: HashSet<Node> = HashSet::new();
    let mut lines: Vec<(u32, u64, bool)> = Vec::new();
    let (mut leaves, mut left_off) = (0, 0);
    for strand in loom.strands() {
        lines.push((strand.file, strand.line, strand.side));
        let is_current = current[strand.node as usize];
        let top = match strand.parent {
            Some(parent) if !current[parent as usize] && has_eldest.insert(parent) => {
                tops[parent as usize]
            }
            _ => strand.node,
        };
        tops.push(top);
        leaves += u64::from(strand.is_leaf);
        if !strand.is_leaf || is_current {
            continue;
        }
        if heads.len() >= limits::BRANCHES {
            left_off += 1;
            continue;
        }
        let (file, line, side) = lines[top as usize];
        let what = match (side, loom.parent(top)) {
            (true, None) => "side",
            (false, None) => "root",
            _ => "fork",
        };
        let base = match files.get(file as usize) {
            Some(file) if file.name != main => format!("{}/{what}-{line}", file.name),
            _ => format!("{what}-{line}"),
        };
        heads.push((names.take(base), strand.node));
    }
    Plan { heads, leaves, left_off }
}

fn current_paths(loom: &Loom, files: &[FileBranches]) -> Vec<bool> {
    let mut current = vec![false; loom.strands().count()];
    for file in files {
        let mut at = file.current;
        while let Some(node) = at.filter(|node| !current[*node as usize]) {
            current[node as usize] = true;
            at = loom.parent(node);
        }
    }
    current
}
