//! The shape of the tree so far: what is remembered of each entry, a few dozen bytes, and the walks
//! over it. It knows no names, no calls by id and no bodies.

use std::ops::Range;

use treering_tree::{Id, Kind};

use super::open::Set;
use crate::formats::Standing;
use crate::limits;

/// Number of an entry of the tree.
pub(crate) type Node = u32;

pub(super) const NONE: Node = Node::MAX;

/// What is remembered of an entry.
pub(super) struct Row {
    pub(super) id: Id,
    pub(super) parent: Node,
    pub(super) depth: u32,
    /// Myers' skew-binary jump pointer.
    jump: Node,
    /// Calls open after it.
    pub(super) open: Set,
    /// Depth of the first kept entry of the newest compaction at or above it.
    pub(super) kept_depth: Option<u32>,
    /// The nearest at or above it that a compaction may keep from.
    pub(super) cut: Node,
    /// The nearest at or above it that user or model said.
    said: Node,
    side: bool,
    /// Whether an id is its own that no record names as its parent.
    pub(super) is_end: bool,
    /// What stands in for it as a parent.
    stand_in: Node,
    pub(super) newest_child: Node,
    /// Hash of the API message it is a piece of; 0 for none.
    pub(super) group: u64,
    file: u32,
    pub(super) line: u64,
}

/// What a row is made of beside its parent.
pub(super) struct Facts {
    pub(super) kind: Kind,
    pub(super) standing: Standing,
    pub(super) group: u64,
    pub(super) file: u32,
    pub(super) line: u64,
}

/// All entries of the tree, in blocks: growing never copies them.
#[derive(Default)]
pub(super) struct Rows {
    blocks: Vec<Vec<Row>>,
    /// The first node of each file, which follow one another.
    files: Vec<Node>,
}

impl std::ops::Index<Node> for Rows {
    type Output = Row;

    fn index(&self, node: Node) -> &Row {
        let (block, at) = place(node);
        &self.blocks[block][at]
    }
}

impl std::ops::IndexMut<Node> for Rows {
    fn index_mut(&mut self, node: Node) -> &mut Row {
        let (block, at) = place(node);
        &mut self.blocks[block][at]
    }
}

fn place(node: Node) -> (usize, usize) {
    (node as usize / limits::ROWS_AT_ONCE, node as usize % limits::ROWS_AT_ONCE)
}

impl Rows {
    /// The next node.
    fn len(&self) -> Node {
        let full = self.blocks.len().saturating_sub(1) * limits::ROWS_AT_ONCE;
        Node::try_from(full + self.blocks.last().map_or(0, Vec::len)).unwrap_or(NONE)
    }

    /// Adds an entry under `parent`.
    pub(super) fn push(&mut self, parent: Option<Node>, facts: &Facts) -> Node {
        let node = self.len();
        let above = parent.map(|parent| &self[parent]);
        // The tree's rule: no call made before it can still be answered at or after it.
        let may_be_first_kept =
            facts.kind == Kind::User || above.is_none_or(|above| above.open == Set::EMPTY);
        let row = Row {
            id: Id::from_bytes([0; Id::BYTES]),
            parent: parent.unwrap_or(NONE),
            depth: above.map_or(0, |above| above.depth + 1),
            jump: parent.map_or(node, |parent| self.jump_under(parent)),
            open: Set::EMPTY,
            kept_depth: above.and_then(|above| above.kept_depth),
            cut: above.filter(|_| !may_be_first_kept).map_or(node, |above| above.cut),
            said: match facts.standing {
                Standing::Mute => above.map_or(NONE, |above| above.said),
                Standing::Said | Standing::Side => node,
            },
            side: facts.standing == Standing::Side,
            is_end: false,
            stand_in: NONE,
            newest_child: NONE,
            group: facts.group,
            file: facts.file,
            line: facts.line,
        };
        match self.blocks.last_mut() {
            Some(block) if block.len() < limits::ROWS_AT_ONCE => block.push(row),
            _ => {
                let mut block = Vec::with_capacity(limits::ROWS_AT_ONCE);
                block.push(row);
                self.blocks.push(block);
            }
        }
        if let Some(parent) = parent {
            self[parent].newest_child = node;
        }
        node
    }

    pub(super) fn file(&self, node: Node) -> u32 {
        self[node].file
    }

    /// Lets `node` stand in for `parent` when a record names that one as its parent.
    pub(super) fn set_stand_in(&mut self, parent: Node, node: Node) {
        self[parent].stand_in = node;
    }

    /// What stands in for a node in the end; itself where nothing does. Near O(1) over many calls,
    /// because every node on the way is pointed right at it.
    pub(super) fn stand_in(&mut self, node: Node) -> Node {
        let end = self.stand_in_of(node);
        let mut at = node;
        while at != end {
            at = std::mem::replace(&mut self[at].stand_in, end);
        }
        end
    }

    fn stand_in_of(&self, mut node: Node) -> Node {
        while self[node].stand_in != NONE {
            node = self[node].stand_in;
        }
        node
    }

    /// Whether `above` is `below` or an ancestor of it. O(log n).
    pub(super) fn is_above(&self, above: Node, mut below: Node) -> bool {
        let depth = self[above].depth;
        while self[below].depth > depth {
            let row = &self[below];
            below = if self[row.jump].depth >= depth { row.jump } else { row.parent };
        }
        below == above
    }

    fn jump_under(&self, parent: Node) -> Node {
        let depth = |node: Node| self[node].depth;
        let jump = self[parent].jump;
        let far = self[jump].jump;
        if depth(parent) - depth(jump) == depth(jump) - depth(far) { far } else { parent }
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = Id> + '_ {
        self.blocks.iter().flatten().map(|row| row.id)
    }

    /// Begins a file: what is added from here on is of it.
    pub(super) fn begin_file(&mut self) {
        self.files.push(self.len());
    }

    fn of_file(&self, file: u32) -> Range<Node> {
        let first = |file: usize| self.files.get(file).copied().unwrap_or(self.len());
        first(file as usize)..first(file as usize + 1)
    }

    /// The last node of a file.
    pub(super) fn last(&self, file: u32) -> Option<Node> {
        self.of_file(file).next_back()
    }

    /// Of the nodes of a file that no other names as its parent, the one whose conversation is the
    /// current one: not on the side if possible, said last, recorded last.
    pub(super) fn last_leaf(&self, file: u32) -> Option<Node> {
        let ends = self.of_file(file).filter(|node| self[*node].is_end);
        let ranked = ends.filter_map(|leaf| {
            let said = self[leaf].said;
            let is_main = said != NONE && !self[said].side;
            (said != NONE).then_some((is_main, said, leaf))
        });
        ranked.max().map(|(_, _, leaf)| self.stand_in_of(leaf))
    }

    /// What decides branches, parents before children.
    pub(super) fn strands(&self) -> impl Iterator<Item = Strand> + '_ {
        self.blocks.iter().flatten().zip(0..).map(|(row, node)| Strand {
            node,
            parent: (row.parent != NONE).then_some(row.parent),
            is_leaf: row.newest_child == NONE,
            side: row.side,
            file: row.file,
            line: row.line,
        })
    }
}

/// What decides branches, of one node.
#[derive(Clone, Copy)]
pub(crate) struct Strand {
    pub(crate) node: Node,
    pub(crate) parent: Option<Node>,
    pub(crate) is_leaf: bool,
    pub(crate) side: bool,
    pub(crate) file: u32,
    pub(crate) line: u64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_above_agrees_with_walking(parents in proptest::collection::vec(0_usize..1000, 1..200)) {
            let mut rows = Rows::default();
            for (at, pick) in parents.iter().enumerate() {
                let parent = Node::try_from(pick % (at + 1)).ok().filter(|parent| (*parent as usize) < at);
                let (kind, standing) = (Kind::Record, Standing::Mute);
                rows.push(parent, &Facts { kind, standing, group: 0, file: 0, line: 0 });
            }
            let count = Node::try_from(parents.len()).unwrap();
            for above in 0..count {
                for below in 0..count {
                    let mut walk = below;
                    while walk != above && walk != NONE {
                        walk = rows[walk].parent;
                    }
                    prop_assert_eq!(rows.is_above(above, below), walk == above);
                }
            }
        }
    }
}
