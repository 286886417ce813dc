//! Rows in chunks: rolled, settled, repacked, and what a damaged chunk leaves.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::redb::tables::WriteTables;
use crate::redb::test_disk::in_memory;

fn chunk_of(rows: &[&[u8]]) -> Vec<u8> {
    let mut tail = Tail::default();
    for row in rows {
        tail.push(0, row);
    }
    let all = 0..rows.len();
    let mut chunk = vec![0; tail.chunk_bytes(&all)];
    tail.put_chunk(all, &mut chunk);
    chunk
}

fn row(number: u64, len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from((number + at as u64) % 251).unwrap()).collect()
}

proptest! {
    #[test]
    fn what_was_pushed_reads_back_in_every_way(
        groups in vec(vec(prop_oneof![0_usize..300, 900_usize..1_300, 3_900_usize..20_000], 1..40), 1..6),
        kept_bytes in prop_oneof![Just(SHORT_BYTES), Just(0)],
        settles: bool,
    ) {
        let database = in_memory();
        let txn = database.begin_write().unwrap();
        let mut roll = WriteTables::open(&txn).unwrap().entries;
        roll.kept_bytes = kept_bytes;
        let mut rows: Vec<Vec<u8>> = Vec::new();
        for group in groups {
            for len in group {
                let number = rows.len() as u64;
                rows.push(row(number, len));
                roll.push(number, &rows[rows.len() - 1]).unwrap();
            }
            if settles {
                roll.settle().unwrap();
                let kept = roll.tail.rows().count();
                prop_assert!(kept == 0 || roll.tail.chunk_bytes(&(0..kept)) <= kept_bytes);
                if let Some(last) = rows.len().checked_sub(kept + 1) {
                    rows[last] = b"another".to_vec();
                    roll.replace(last as u64, b"another").unwrap();
                }
            }
        }
        let end = rows.len() as u64;
        prop_assert_eq!(roll.end().unwrap(), end);
        let mut down = Reading::new(&roll);
        for (index, row) in rows.iter().enumerate().rev() {
            let number = index as u64;
            let chunk = roll.chunk(number).unwrap().unwrap();
            prop_assert_eq!(chunk.get(number), Some(row.as_slice()));
            prop_assert_eq!(down.get(number).unwrap(), Some(row.as_slice()));
        }
        prop_assert!(Reading::new(&roll).get(end).unwrap().is_none());
        let from = end / 2;
        let mut next = from;
        roll.visit(from, |number, bytes| {
            let index = usize::try_from(number).unwrap();
            assert!(number == next && bytes == rows[index], "row {number}");
            next += 1;
            Ok(true)
        }).unwrap();
        prop_assert_eq!(next, end);
        for chunk in roll.table.rows().unwrap() {
            let (first, chunk) = chunk.unwrap();
            // One that takes the place of another may be longer, and stays where that was.
            let page = if kept_bytes == 0 { MOST_PAGE_BYTES } else { LEAST_PAGE_BYTES };
            let most = page - LEAF_BYTES + b"another".len();
            let count = super::rows(first.value(), chunk.value()).count();
            prop_assert!(count == 1 || chunk.value().len() <= most, "{count} rows too long");
        }
    }
}

#[test]
fn small_chunks_are_packed_anew_but_for_a_damaged_one() {
    let database = in_memory();
    let txn = database.begin_write().unwrap();
    let mut roll = WriteTables::open(&txn).unwrap().entries;
    let mut damaged = chunk_of(&[&row(0, 900), &row(1, 900)]);
    damaged[5] = 0xff;
    roll.table.insert(0, damaged.as_slice()).unwrap();
    for number in 2..102 {
        roll.push(number, &row(number, 1_000)).unwrap();
        roll.settle().unwrap();
    }
    roll.repack().unwrap();
    let firsts: Vec<u64> = roll.table.rows().unwrap().map(|row| row.unwrap().0.value()).collect();
    assert!(firsts.len() <= 6 && firsts.starts_with(&[0, 2]), "{firsts:?}");
    assert_eq!(roll.table.get(0).unwrap().unwrap().value(), damaged);
    for number in 2..102 {
        let chunk = roll.chunk(number).unwrap().unwrap();
        assert_eq!(chunk.get(number), Some(row(number, 1_000).as_slice()));
    }
    assert_eq!(roll.end().unwrap(), 102);
    roll.push(102, &row(102, 3)).unwrap();
    roll.repack().unwrap();
    assert_eq!(roll.end().unwrap(), 103);
}

/// The numbers that the chunks of a table begin with.
fn firsts(roll: &Roll<&WriteTransaction>) -> Vec<u64> {
    roll.table.rows().unwrap().map(|row| row.unwrap().0.value()).collect()
}

#[test]
fn short_rows_outlive_commits_until_a_chunk_of_them_would_be_too_long() {
    let database = in_memory();
    let txn = database.begin_write().unwrap();
    let mut roll = WriteTables::open(&txn).unwrap().places;
    // The count, and of each row its end and its bytes.
    roll.kept_bytes = 2 + (2 + 40) + (2 + 48);
    let mut settled = |lens: &[usize]| {
        for len in lens {
            let number = roll.end().unwrap();
            roll.push(number, &row(number, *len)).unwrap();
        }
        roll.settle().unwrap();
        (roll.tail.rows().count(), firsts(&roll))
    };
    assert_eq!(settled(&[40]), (1, vec![]));
    assert_eq!(settled(&[48]), (2, vec![]));
    assert_eq!(settled(&[0]), (1, vec![0]));
    assert_eq!(settled(&[1_000, 0]), (1, vec![0, 2, 3]));
    // As many as fill a page, then two, and the last.
    let full = (LEAST_PAGE_BYTES - LEAF_BYTES - 2 - 2) / (2 + 40) + 1;
    let first = 4 + full as u64;
    assert_eq!(settled(&vec![40; full + 2]), (1, vec![0, 2, 3, 4, first]));
}

#[test]
fn a_group_of_any_length_gathers_in_bounded_memory() {
    let database = in_memory();
    let txn = database.begin_write().unwrap();
    let mut roll = WriteTables::open(&txn).unwrap().places;
    for number in 0..30 {
        roll.push(number, &row(number, 100_000)).unwrap();
        assert!(roll.tail.bytes.len() <= GATHERED_BYTES);
    }
    assert_eq!(roll.end().unwrap(), 30);
    assert!(!firsts(&roll).is_empty());
}

#[test]
fn chunks_are_packed_anew_down_to_the_first_that_is_packed_and_so_many_bytes_at_a_time() {
    let database = in_memory();
    let txn = database.begin_write().unwrap();
    let mut roll = WriteTables::open(&txn).unwrap().entries;
    for (first_bytes, expected) in [(PACKED_BYTES, vec![0, 1]), (PACKED_BYTES - 1, vec![0])] {
        for (number, len) in [(0, first_bytes - 4), (1, 20), (2, 20)] {
            let chunk = chunk_of(&[&row(number, len)]);
            roll.table.insert(number, chunk.as_slice()).unwrap();
        }
        roll.repack().unwrap();
        assert_eq!(firsts(&roll), expected, "{first_bytes}");
        roll.table.changed().unwrap().retain(|_, _| false).unwrap();
    }
    let (count, bytes) = (300, 15_000);
    for number in 0..count {
        let chunk = chunk_of(&[&row(number, bytes - 4)]);
        roll.table.insert(number, chunk.as_slice()).unwrap();
    }
    roll.repack().unwrap();
    let packed = (REPACKED_BYTES / bytes) as u64;
    let left: Vec<u64> = (0..=count - packed).collect();
    let found = firsts(&roll);
    assert!(found.starts_with(&left) && found.len() < 200, "{found:?}");
    for number in 0..count {
        let chunk = roll.chunk(number).unwrap().unwrap();
        assert_eq!(chunk.get(number), Some(row(number, bytes - 4).as_slice()));
    }
}

fn tail(lens: impl IntoIterator<Item = usize>) -> Tail {
    let mut tail = Tail::default();
    for (number, len) in (7..).zip(lens) {
        tail.push(number, &row(number, len));
    }
    tail
}

/// Bytes of the pages that chunks take.
fn pages(tail: &Tail, cuts: &[usize]) -> usize {
    let starts = std::iter::once(&0).chain(cuts);
    let chunks = starts.zip(cuts).map(|(start, end)| tail.chunk_bytes(&(*start..*end)));
    chunks.map(|bytes| (bytes + LEAF_BYTES).next_power_of_two().max(LEAST_PAGE_BYTES)).sum()
}

proptest! {
    #[test]
    fn no_other_cuts_take_fewer_pages(
        lens in vec(prop_oneof![0_usize..2_000, 2_000_usize..70_000], 1..9),
    ) {
        let (tail, count) = (tail(lens.iter().copied()), lens.len());
        let cuts = tail.cuts();
        prop_assert!(cuts.is_sorted() && cuts.last() == Some(&count));
        let found = pages(&tail, &cuts);
        for other in 0..1_u32 << (count - 1) {
            let ends = (1..count).filter(|end| other & (1 << (end - 1)) != 0);
            let ends: Vec<usize> = ends.chain([count]).collect();
            // A chunk is larger than a page only where its first row is.
            let starts = std::iter::once(&0).chain(&ends);
            let fits = starts.zip(&ends).all(|(start, end)| {
                let page = |rows: Range<usize>| {
                    (tail.chunk_bytes(&rows) + LEAF_BYTES).next_power_of_two()
                };
                page(*start..*end) <= page(*start..*start + 1).max(MOST_PAGE_BYTES)
            });
            prop_assert!(!fits || found <= pages(&tail, &ends), "{ends:?} before {cuts:?}");
        }
    }
}

#[test]
fn a_kilobyte_a_row_fills_its_pages_and_a_long_row_takes_the_next_ones_along() {
    let even = tail(std::iter::repeat_n(1_100, 940));
    let (bytes, pages_bytes) = (even.bytes.len(), pages(&even, &even.cuts()));
    assert!(bytes * 100 > pages_bytes * 96, "{bytes} bytes of rows in {pages_bytes}");
    let long = tail([40_000, 9_000, 9_000, 6_000]);
    assert_eq!(long.cuts(), [4]);
    // Each fills its page to the last byte: together they would take a larger one.
    assert_eq!(tail([4_096 - 20, 8_192 - 20]).cuts(), [1, 2]);
}

#[test]
fn a_damaged_tail_leads_nowhere() {
    let damaged = Tail { first: u64::MAX, ends: vec![5, 3, u32::MAX], bytes: vec![1; 9] };
    assert!(damaged.rows().count() <= 1);
}

#[test]
fn behind_the_last_row_is_none_whatever_lies_where_its_end_would() {
    // The first row says how long it is, where one more row would say where it ends.
    let chunk = chunk_of(&[b"\x06\0said"]);
    assert_eq!((range(&chunk, 0), range(&chunk, 1)), (Some(4..10), None));
    let empty = tail([0]);
    assert_eq!((empty.get(0), empty.get(1)), (Some(&b""[..]), None));
}

#[test]
fn a_chunk_is_read_by_its_length_and_none_is_as_long_as_another_kind() {
    let most = usize::from(u16::MAX);
    for len in most - 10..most + 10 {
        let chunk = chunk_of(&[&row(1, len), b"two"]);
        let fields = if len + 3 + 6 <= most { 6 } else { 12 };
        assert_eq!(chunk.len(), len + 3 + fields, "{len}");
        let found: Vec<_> = rows(5, &chunk).collect();
        assert_eq!(found, [(5, row(1, len).as_slice()), (6, b"two")]);
    }
}

#[test]
fn a_chunk_gives_back_its_rows_and_damage_leads_nowhere() {
    let long = [7_u8; 300];
    let chunk = chunk_of(&[b"one", b"", &long]);
    let found: Vec<_> = rows(5, &chunk).collect();
    assert_eq!(found, [(5, &b"one"[..]), (6, b""), (7, &long)]);
    for at in 0..16 {
        for byte in [0, 1, 0x7f, 0xff] {
            let mut damaged = chunk.clone();
            damaged[at] = byte;
            for (number, row) in rows(5, &damaged) {
                assert!(number < 8 + 256 && row.len() <= chunk.len());
            }
        }
    }
    assert_eq!(rows(u64::MAX, &[1, 0]).count(), 0);
}
