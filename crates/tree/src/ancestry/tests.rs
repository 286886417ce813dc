//! Every answer against the walk from parent to parent, and how many places it looks at.

use std::cell::Cell;

use proptest::prelude::*;

use super::*;
use crate::entry::Kind;

/// A tree in memory that counts its look-ups.
#[derive(Default)]
struct Tree {
    places: Vec<Arc<Place>>,
    looks: Cell<u64>,
}

impl Places for Tree {
    fn place(&self, number: Number) -> Result<Arc<Place>> {
        self.looks.set(self.looks.get() + 1);
        Ok(Arc::clone(self.known(number)))
    }
}

impl Tree {
    fn known(&self, number: Number) -> &Arc<Place> {
        &self.places[usize::try_from(number).unwrap()]
    }

    /// An entry of so many tokens, which begins a turn or not.
    fn grow(&mut self, parent: Option<Number>, tokens: u32, begins_turn: bool) -> Number {
        let number = self.places.len() as Number;
        let above = parent.map(|parent| Arc::clone(self.known(parent)));
        let jump = above.as_ref().map_or(number, |above| jump_under(self, above).unwrap());
        let above = above.as_deref();
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_be_bytes());
        self.places.push(Arc::new(Place {
            number,
            id: Id::from_bytes(id),
            parent,
            depth: above.map_or(0, |above| above.depth + 1),
            run: above
                .map_or(0, |above| if above.number + 1 == number { above.run + 1 } else { 0 }),
            jump,
            turn: above.map_or(0, |above| above.turn) + u64::from(begins_turn),
            tokens,
            tokens_through: above.map_or(0, |above| above.tokens_through) + u64::from(tokens),
            ..Place::root(if begins_turn { Kind::User } else { Kind::Note })
        }));
        number
    }

    fn line(length: u64) -> Self {
        let mut tree = Self::default();
        for number in 0..length {
            tree.grow(number.checked_sub(1), 1, false);
        }
        tree
    }

    /// Two lines written by turns: no number follows the one above it. The even ones are the first.
    fn woven(length: u64) -> Self {
        let mut tree = Self::default();
        for number in 0..2 * length {
            tree.grow(number.checked_sub(2), 1, false);
        }
        tree
    }

    /// From an entry up to its root, by parents alone.
    fn walk(&self, from: Number) -> Vec<Number> {
        std::iter::successors(Some(from), |number| self.known(*number).parent).collect()
    }

    /// The number of what a question finds, which took at most `most` look-ups.
    fn ask(&self, of: Number, question: Seek, most: u64) -> Option<Number> {
        self.looks.set(0);
        let resolve = |id: &Id| {
            let found = self.places.iter().find(|place| place.id == *id);
            Ok(Arc::clone(found.unwrap()))
        };
        let found = seek(self, self.known(of), &question, resolve).unwrap();
        assert!(self.looks.get() <= most, "{question:?} of {of}: {} looks", self.looks.get());
        found.map(|place| place.number)
    }
}

/// Look-ups for one descent from this depth: a jump and a parent for each step.
fn looks(depth: u64) -> u64 {
    2 * (2 * u64::from((depth + 2).ilog2()) + 2)
}

#[test]
fn jumps_are_those_of_skew_binary_numbers() {
    let jumps: Vec<u64> = Tree::line(16).places.iter().map(|place| place.jump).collect();
    assert_eq!(jumps, [0, 0, 1, 0, 3, 4, 3, 0, 7, 8, 7, 10, 11, 10, 7, 0]);
}

#[test]
fn how_far_a_jump_leads_is_told_by_the_depth() {
    let mut levels = vec![0_u64];
    for parent in 0..5_000 {
        let near = levels[parent];
        let far = levels[parent - usize::try_from(near).unwrap()];
        levels.push(if near > 0 && near == far { 1 + near + far } else { 1 });
    }
    for (depth, levels) in (0..).zip(levels) {
        assert_eq!(jump_levels(depth), levels, "{depth}");
    }
    assert_eq!([u64::MAX - 1, u64::MAX].map(jump_levels), [u64::MAX >> 1, 1]);
}

#[test]
fn any_depth_is_reached_in_a_logarithm_of_steps() {
    let woven = Tree::woven(5_000);
    for of in [4_999, 4_095, 4_094, 1_023, 17, 0] {
        for depth in (0..=of).step_by(7).chain([of]) {
            assert_eq!(woven.ask(2 * of, Seek::Depth(depth), looks(of)), Some(2 * depth));
        }
        assert_eq!(woven.ask(2 * of, Seek::Depth(of + 1), 0), None);
    }
}

#[test]
fn any_depth_of_a_run_is_reached_in_one_step() {
    let mut tree = Tree::line(5_000);
    let fork = tree.grow(Some(100), 1, false);
    let end = (0..2_000).fold(fork, |above, _| tree.grow(Some(above), 1, false));
    for (of, depth, number) in [(4_999, 0, 0), (4_999, 4_998, 4_998), (end, 101, fork)] {
        assert_eq!(tree.ask(of, Seek::Depth(depth), 1), Some(number));
    }
    assert_eq!(tree.ask(end, Seek::Depth(50), looks(2_101)), Some(50));
}

#[test]
fn a_run_that_leads_elsewhere_is_damage() {
    let woven = Tree::woven(10);
    let mut bad = Place::clone(woven.known(18));
    bad.run = 9;
    assert!(at_depth(&woven, &Arc::new(bad.clone()), 3).is_err());
    bad.run = 2;
    assert_eq!(at_depth(&woven, &Arc::new(bad), 3).unwrap().unwrap().number, 6);
}

#[test]
fn where_two_long_paths_part_is_found_in_a_logarithm_of_steps() {
    let mut tree = Tree::woven(3_000);
    let mut ends = [2_000, 5_000];
    for _ in 0..2_000 {
        ends = ends.map(|end| tree.grow(Some(end), 1, false));
    }
    let common = Seek::Common(tree.known(ends[1]).id);
    assert_eq!(tree.ask(ends[0], common, 6 * looks(5_000)), Some(2_000));
}

#[test]
fn pointers_that_lead_down_are_damage() {
    let tree = Tree::line(4);
    let mut bad = Place::clone(tree.known(2));
    (bad.run, bad.jump) = (0, 3);
    assert!(at_depth(&tree, &Arc::new(bad.clone()), 0).is_err());
    (bad.jump, bad.parent) = (2, Some(3));
    assert!(at_depth(&tree, &Arc::new(bad.clone()), 0).is_err());
    // Nor may they stay at a depth.
    bad.depth = 3;
    assert!(at_depth(&tree, &Arc::new(bad.clone()), 0).is_err());
    (bad.jump, bad.parent) = (3, Some(1));
    assert!(at_depth(&tree, &Arc::new(bad), 0).is_err());
}

proptest! {
    #[test]
    fn every_answer_is_that_of_the_walk(
        grown in proptest::collection::vec((0_usize..1_000, 0_u32..5, any::<bool>(), 0_u8..8), 1..120),
        asked in proptest::collection::vec((0_usize..1_000, 0_usize..1_000, 0_u64..40), 1..30),
    ) {
        let mut tree = Tree::default();
        for (parent, tokens, begins_turn, chain) in grown {
            let len = tree.places.len();
            // Mostly on from the newest, now and then from any other, or a root.
            let parent = match (len, chain) {
                (0, _) | (_, 0) => None,
                (_, 1 | 2) => Some((parent % len) as Number),
                _ => Some(len as Number - 1),
            };
            tree.grow(parent, tokens, begins_turn);
        }
        let len = tree.places.len();
        for (of, other, n) in asked {
            let (of, other) = ((of % len) as Number, (other % len) as Number);
            let path = tree.walk(of);
            let place = |number: &Number| tree.known(*number);
            let oldest = |holds: &dyn Fn(&Place) -> bool| path.iter().rev().copied().find(|at| holds(place(at)));
            let most = 1_000;
            prop_assert_eq!(tree.ask(of, Seek::Depth(n), most), path.iter().rev().nth(usize::try_from(n).unwrap()).copied());
            let turn = if n == 0 { None } else { oldest(&|at| at.turn >= n) };
            prop_assert_eq!(tree.ask(of, Seek::Turn(n), most), turn);
            let end = place(&of).tokens_through;
            let tail = oldest(&|at| end - (at.tokens_through - u64::from(at.tokens)) <= n);
            prop_assert_eq!(tree.ask(of, Seek::TokensAtMost(n), most), tail);
            let other_path = tree.walk(other);
            let is_above = path.contains(&other).then_some(other);
            prop_assert_eq!(tree.ask(of, Seek::Entry(place(&other).id), most), is_above);
            let common = path.iter().copied().find(|at| other_path.contains(at));
            prop_assert_eq!(tree.ask(of, Seek::Common(place(&other).id), most), common);
        }
    }
}
