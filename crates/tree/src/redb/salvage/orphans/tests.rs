//! Frames in a row, in leaves and without any, and what of them is known when what lies before them is gone.

use crate::entry::{Entry, Kind};
use crate::place::Place;
use crate::redb::place_row;
use crate::redb::salvage::scan;
use crate::redb::salvage::tests::{chunk, draft, leaves, raw};

use super::*;

/// Entries one under the other, and their frames, all but the first without its parent.
fn line(count: usize) -> (Vec<Entry>, Vec<Vec<u8>>) {
    let mut entries: Vec<Entry> = Vec::new();
    for nth in 0..count {
        let draft = draft(Kind::User, &format!("{nth} {}", "x".repeat(1_500)));
        entries.push(draft.entry_under(entries.last().map(Entry::id)));
    }
    let frames = entries.iter().enumerate();
    let frames = frames.map(|(nth, entry)| encode::frame(entry, nth > 0, None)).collect();
    (entries, frames)
}

fn place(number: Number, id: Id, parent: Option<Number>) -> Vec<u8> {
    let place = Place { number, id, parent, ..Place::root(Kind::User) };
    place_row::pack(&place).unwrap()
}

fn found(bytes: &[u8]) -> Salvage {
    scan(&mut raw(bytes), &mut |_, _| {}).unwrap()
}

#[test]
fn frames_without_a_leaf_are_found_wherever_they_begin_and_name_one_another() {
    let (entries, frames) = line(20);
    let salvage = found(&[&[0xee; 100][..], &frames.concat()].concat());
    for entry in &entries {
        assert!(salvage.entries.contains_key(&entry.id()));
    }
    // What follows one that is damaged stays unknown: nothing tells what that one's id was.
    let mut bytes = frames.concat();
    bytes[frames[0].len() + 300] ^= 1;
    assert_eq!(found(&bytes).entries.len(), 1);
}

#[test]
fn frames_in_a_leaf_are_known_by_the_one_before_and_by_their_places() {
    let (entries, frames) = line(6);
    let page = |number: u64, rows: &[&[u8]]| {
        let [mut leaf, _] = leaves(number, &chunk(rows), b"", b"");
        leaf.resize(leaf.len().next_multiple_of(4_096), 0);
        leaf
    };
    let rows: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
    let all = |salvage: &Salvage, which: &[usize]| {
        let ids: HashSet<Id> = which.iter().map(|nth| entries[*nth].id()).collect();
        assert_eq!(salvage.entries.keys().copied().collect::<HashSet<_>>(), ids);
    };
    // In the order of the file, and where the first half lies behind the second.
    let halves = [page(40, &rows[..3]), page(43, &rows[3..])];
    all(&found(&halves.concat()), &[0, 1, 2, 3, 4, 5]);
    all(&found(&[&halves[1][..], &halves[0]].concat()), &[0, 1, 2, 3, 4, 5]);
    // With the first half gone, the places tell, or nobody does.
    all(&found(&halves[1]), &[]);
    let of = |nths: &[usize]| {
        let row = |nth: &usize| {
            let number = 40 + *nth as u64;
            place(number, entries[*nth].id(), nth.checked_sub(1).map(|_| number - 1))
        };
        let places: Vec<_> = nths.iter().map(row).collect();
        page(40 + nths[0] as u64, &places.iter().map(Vec::as_slice).collect::<Vec<_>>())
    };
    all(&found(&[&halves[1][..], &of(&[2])].concat()), &[3, 4, 5]);
    all(&found(&[&of(&[2]), &halves[1][..]].concat()), &[3, 4, 5]);
    // Without a number of its own, by what its own place says of it.
    let mut bare = frames[4].clone();
    bare.resize(4_096, 0);
    all(&found(&[&bare[..], &of(&[3, 4])].concat()), &[4]);
}

#[test]
fn a_parent_is_found_in_front_of_the_place_where_no_leaf_leads_and_not_looked_for_without_end() {
    let (entries, frames) = line(3);
    let mark = encode::mark(&entries[2].id());
    let places =
        [1, 2].map(|nth: usize| place(40 + nth as u64, entries[nth].id(), Some(39 + nth as u64)));
    let mut bytes = frames[2].clone();
    bytes.resize(4_096, 0);
    // Somebody else's bytes, then the index, then the places.
    bytes.extend([&[0xee; 600][..], &mark, &[0xee; 600], &places.concat()].concat());
    let adopted = |vain: &mut u64| {
        let mut salvage = Salvage::default();
        let orphan = Orphan { offset: 0, len: frames[2].len(), number: None, mark };
        salvage.orphans.push(orphan);
        salvage.adopt(&mut raw(&bytes), vain).unwrap();
        salvage.entries.contains_key(&entries[2].id())
    };
    let mut vain = 0;
    assert!(adopted(&mut vain));
    assert_eq!(vain, NEAR_BYTES * TRY_BYTES, "the index told nothing");
    let limit = bytes.len() as u64 * VAIN_FACTOR;
    assert!(adopted(&mut (limit - vain - 1)) && !adopted(&mut (limit - vain)));
}
