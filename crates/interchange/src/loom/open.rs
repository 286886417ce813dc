//! Sets of open tool calls that share what they have in common, so that every entry of a tree can
//! hold its own.

use crate::limits;

/// A set, as a place in [`OpenCalls`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Set(u32);

impl Set {
    pub(crate) const EMPTY: Self = Self(u32::MAX);
}

struct Cell {
    call: u64,
    below: Set,
    size: u32,
}

/// All sets.
#[derive(Default)]
pub(crate) struct OpenCalls {
    cells: Vec<Cell>,
}

impl OpenCalls {
    /// How many calls may still be opened.
    pub(crate) fn room(&self, set: Set) -> usize {
        (limits::OPEN_CALLS - self.size(set)) as usize
    }

    pub(crate) fn holds(&self, set: Set, call: u64) -> bool {
        self.walk(set).any(|(_, cell)| cell.call == call)
    }

    /// The set after answers, of which each takes away the newest call of its id, and then calls.
    pub(crate) fn after(&mut self, set: Set, answers: &[u64], calls: &[u64]) -> Set {
        let mut set = answers.iter().fold(set, |set, answer| self.without(set, *answer));
        for call in calls {
            set = self.with(set, *call);
        }
        set
    }

    fn with(&mut self, below: Set, call: u64) -> Set {
        let Ok(at) = u32::try_from(self.cells.len()) else { return below };
        self.cells.push(Cell { call, below, size: self.size(below) + 1 });
        Set(at)
    }

    fn without(&mut self, set: Set, call: u64) -> Set {
        if !self.holds(set, call) {
            return set;
        }
        let mut above = Vec::new();
        let mut rest = Set::EMPTY;
        for (_, cell) in self.walk(set) {
            if cell.call == call {
                rest = cell.below;
                break;
            }
            above.push(cell.call);
        }
        above.into_iter().rev().fold(rest, |set, call| self.with(set, call))
    }

    fn size(&self, set: Set) -> u32 {
        self.cells.get(set.0 as usize).map_or(0, |cell| cell.size)
    }

    fn walk(&self, set: Set) -> impl Iterator<Item = (Set, &Cell)> {
        let cell = |set: Set| self.cells.get(set.0 as usize).map(|cell| (set, cell));
        std::iter::successors(cell(set), move |(_, above)| cell(above.below))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_take_away_the_newest_call_of_their_id() {
        let mut open = OpenCalls::default();
        let two = open.after(Set::EMPTY, &[], &[1, 2, 1]);
        let one = open.after(two, &[1, 9], &[]);
        assert!(open.holds(one, 1) && open.holds(one, 2));
        assert_eq!(open.room(one), limits::OPEN_CALLS as usize - 2);
        assert_eq!(open.after(one, &[2, 1], &[]), Set::EMPTY);
        assert!(open.holds(two, 2), "older sets stay as they were");
    }
}
