//! Rows that are numbered densely, many to a row of their table: entries, places, the journal. An insert
//! costs the same whatever its length, and a sync the more the more pages lie apart: so what is appended
//! gathers in a tail and reaches the table as a chunk.
//!
//! The tails of places and journal outlive their commit, in the row of the counters, so that most commits
//! touch no page of these tables. That of the entries does not: [`Roll::settle`] ends each group. What
//! gathered is cut into chunks where they fill pages best.

use std::ops::Range;

use redb::{AccessGuard, ReadableTable, Table};
use serde::{Deserialize, Serialize};

use super::fault::Fault;
use crate::encode;

type Bytes = &'static [u8];

/// Bytes of short rows that gather: four chunks of them fill a page.
pub(super) const SHORT_BYTES: usize = 1_000;
/// Bytes of entries that gather: of the rows of a whole mebibyte hardly any page stays half empty.
pub(super) const LONG_BYTES: usize = 1 << 20;
/// The pages that chunks fill. Those of redb are a power of two of the smallest, and a chunk has one of its
/// own from half of the smallest on: what lies between is wasted.
const LEAST_PAGE_BYTES: usize = 4_096;
/// Larger ones waste less, but whoever reads one row reads its page. A row that is longer has a larger one.
const MOST_PAGE_BYTES: usize = 64 << 10;
/// Bytes that redb's leaf takes of a page.
const LEAF_BYTES: usize = 16;
/// A chunk of so many bytes is packed well enough.
const PACKED_BYTES: usize = 16 << 10;
/// Bytes of small chunks that are packed anew at a time.
const REPACKED_BYTES: usize = 4 << 20;
/// Rows passed over before a new descent is cheaper.
const NEAR: usize = 4;

/// What gathers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tail {
    /// Number of its first row, where it has one.
    first: u64,
    /// Where each row ends in `bytes`.
    ends: Vec<u32>,
    #[serde(with = "encode::byte_vec")]
    bytes: Vec<u8>,
}

impl Tail {
    /// Its rows.
    pub(super) fn rows(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let row = |nth| Some((self.first.saturating_add(nth as u64), self.get(nth)?));
        (0..self.ends.len()).filter_map(row)
    }

    fn get(&self, nth: usize) -> Option<&[u8]> {
        let range = self.start(nth)..self.start(nth + 1);
        (nth < self.ends.len()).then(|| self.bytes.get(range))?
    }

    /// Where the `nth` row begins; past the last, where they end.
    fn start(&self, nth: usize) -> usize {
        let end = nth.checked_sub(1).and_then(|before| self.ends.get(before));
        end.map_or(0, |end| usize::try_from(*end).unwrap_or(usize::MAX))
    }

    fn push(&mut self, number: u64, row: &[u8]) {
        if self.ends.is_empty() {
            self.first = number;
        }
        self.bytes.extend_from_slice(row);
        self.ends.push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
    }

    /// Its memory is used again.
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Bytes of a chunk of these rows.
    fn chunk_bytes(&self, rows: &Range<usize>) -> usize {
        4 + 4 * rows.len() + self.start(rows.end).saturating_sub(self.start(rows.start))
    }

    /// Writes the chunk of these rows, which fills `chunk`.
    fn put_chunk(&self, rows: Range<usize>, chunk: &mut [u8]) {
        let (head, bytes) = chunk.split_at_mut(4 + 4 * rows.len());
        let (from, to) = (self.start(rows.start), self.start(rows.end));
        let ends = rows.clone().map(|nth| self.start(nth + 1).saturating_sub(from));
        let fields = std::iter::once(rows.len()).chain(ends);
        for (field, value) in head.chunks_exact_mut(4).zip(fields) {
            field.copy_from_slice(&u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
        }
        if let Some(rows) = self.bytes.get(from..to) {
            bytes.copy_from_slice(rows);
        }
    }

    /// Where to cut all rows into chunks, so that these take the fewest pages: the end of each chunk.
    fn cuts(&self) -> Vec<usize> {
        let count = self.ends.len();
        // Of the rows from each one on: bytes of pages they take, and the end of the first chunk.
        let mut best = vec![(0, count); count + 1];
        for first in (0..count).rev() {
            let mut page = LEAST_PAGE_BYTES;
            while page < self.chunk_bytes(&(first..first + 1)) + LEAF_BYTES {
                page *= 2;
            }
            let most = page.max(MOST_PAGE_BYTES);
            best[first].0 = usize::MAX;
            loop {
                let (mut end, mut beyond) = (first + 1, count + 1);
                while beyond - end > 1 {
                    let middle = end.midpoint(beyond);
                    let fits = self.chunk_bytes(&(first..middle)) + LEAF_BYTES <= page;
                    *(if fits { &mut end } else { &mut beyond }) = middle;
                }
                let bytes = page + best[end].0;
                if bytes <= best[first].0 {
                    best[first] = (bytes, end);
                }
                if end == count || page >= most {
                    break;
                }
                page *= 2;
            }
        }
        let next = |end: &usize| (*end < count).then(|| best[*end].1);
        std::iter::successors(next(&0), next).collect()
    }
}

/// How many rows a chunk holds, and where the table of their ends ends.
fn head(chunk: &[u8]) -> Option<(usize, usize)> {
    let count = usize::try_from(u32::from_le_bytes(*chunk.first_chunk()?)).ok()?;
    let head = count.checked_mul(4)?.checked_add(4)?;
    (head <= chunk.len()).then_some((count, head))
}

/// Where the `nth` row of a chunk lies in it: the ends of all rows come before the first.
fn range(chunk: &[u8], nth: usize) -> Option<Range<usize>> {
    let (count, head) = head(chunk)?;
    let end = |nth: usize| {
        let end = chunk.get(4 + 4 * nth..)?.first_chunk()?;
        head.checked_add(usize::try_from(u32::from_le_bytes(*end)).ok()?)
    };
    let start = nth.checked_sub(1).map_or(Some(head), end)?;
    let range = start..(nth < count).then(|| end(nth))??;
    (range.start <= range.end && range.end <= chunk.len()).then_some(range)
}

/// Where the rows of a chunk lie in it. Damage to one may hide others, but leads nowhere else.
pub(super) fn ranges(chunk: &[u8]) -> impl Iterator<Item = (usize, Range<usize>)> {
    let count = head(chunk).map_or(0, |(count, _)| count);
    (0..count).filter_map(|nth| range(chunk, nth).map(|range| (nth, range)))
}

/// Whether all of a chunk is rows.
fn shows_all(chunk: &[u8]) -> bool {
    let found = ranges(chunk).enumerate().last();
    let last = found.map(|(nth, (_, range))| (nth + 1, range.end));
    last == head(chunk).map(|(count, _)| (count, chunk.len()))
}

/// The rows of a chunk and their numbers.
pub(super) fn rows(first: u64, chunk: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    ranges(chunk).map(move |(nth, range)| (first.saturating_add(nth as u64), &chunk[range]))
}

/// Writes the chunk of these rows, in place: that saves the memory for another one.
fn insert_chunk(
    table: &mut Table<'_, u64, Bytes>,
    tail: &Tail,
    rows: Range<usize>,
) -> Result<(), Fault> {
    let number = tail.first.saturating_add(rows.start as u64);
    let mut chunk = table.insert_reserve(number, tail.chunk_bytes(&rows))?;
    tail.put_chunk(rows, chunk.as_mut());
    Ok(())
}

/// A table of chunks, and what gathers for the next one.
pub(super) struct Roll<T> {
    pub(super) table: T,
    pub(super) tail: Tail,
    /// Bytes that gather at most, as a chunk; a row that is longer gathers alone.
    pub(super) chunk_bytes: usize,
}

impl Roll<Table<'_, u64, Bytes>> {
    /// Appends a row; its number is one more than that of the row before it.
    pub(super) fn push(&mut self, number: u64, row: &[u8]) -> Result<(), Fault> {
        let gathered = self.tail.chunk_bytes(&(0..self.tail.ends.len()));
        if gathered + 4 + row.len() > self.chunk_bytes {
            self.settle()?;
        }
        self.tail.push(number, row);
        Ok(())
    }

    /// Brings everything to the table, in chunks that fill their pages.
    pub(super) fn settle(&mut self) -> Result<(), Fault> {
        let mut start = 0;
        for end in self.tail.cuts() {
            insert_chunk(&mut self.table, &self.tail, start..end)?;
            start = end;
        }
        self.tail.clear();
        Ok(())
    }

    /// Packs the newest chunks anew as far as they are small: groups of few rows fill no page. Stops at a chunk
    /// that does not show all its rows.
    pub(super) fn repack(&mut self) -> Result<(), Fault> {
        self.settle()?;
        let (mut small, mut bytes) = (Vec::new(), 0);
        for chunk in self.table.iter()?.rev() {
            let (first, chunk) = chunk?;
            let chunk = chunk.value();
            bytes += chunk.len();
            if !shows_all(chunk) || chunk.len() >= PACKED_BYTES || bytes > REPACKED_BYTES {
                break;
            }
            small.push((first.value(), chunk.to_vec()));
        }
        if small.len() < 2 {
            return Ok(());
        }
        for (first, _) in &small {
            self.table.remove(first)?;
        }
        for (first, chunk) in small.iter().rev() {
            for (number, row) in rows(*first, chunk) {
                self.push(number, row)?;
            }
        }
        self.settle()
    }

    /// Puts another row in the place of one that is in the table.
    pub(super) fn replace(&mut self, number: u64, row: &[u8]) -> Result<(), Fault> {
        let mut chunk = Tail::default();
        {
            let Some(Chunk { first, held: Held::Stored(guard) }) = self.chunk(number)? else {
                return Ok(());
            };
            for (at, old) in rows(first, guard.value()) {
                chunk.push(first, if at == number { row } else { old });
            }
        }
        let rows = 0..chunk.ends.len();
        insert_chunk(&mut self.table, &chunk, rows)
    }
}

impl<T: ReadableTable<u64, Bytes>> Roll<T> {
    /// The rows among which that of this number is, if it is there.
    pub(super) fn chunk(&self, number: u64) -> Result<Option<Chunk<'_>>, Fault> {
        if let Some(tail) = self.in_tail(number) {
            return Ok(Some(tail));
        }
        let last = self.table.range(..=number)?.next_back().transpose()?;
        Ok(last.map(|(key, value)| Chunk { first: key.value(), held: Held::Stored(value) }))
    }

    fn in_tail(&self, number: u64) -> Option<Chunk<'_>> {
        let tail = &self.tail;
        let is_in = number >= tail.first && !tail.ends.is_empty();
        is_in.then_some(Chunk { first: tail.first, held: Held::Tail(tail) })
    }

    /// Visits the rows from this number on, until `visit` says no.
    pub(super) fn visit(
        &self,
        from: u64,
        mut visit: impl FnMut(u64, &[u8]) -> Result<bool, Fault>,
    ) -> Result<(), Fault> {
        let first = self.table.range(..=from)?.next_back().transpose()?;
        let start = first.map_or(from, |(key, _)| key.value());
        for chunk in self.table.range(start..)? {
            let (first, chunk) = chunk?;
            for (number, row) in rows(first.value(), chunk.value()) {
                if number >= from && !visit(number, row)? {
                    return Ok(());
                }
            }
        }
        for (number, row) in self.tail.rows() {
            if number >= from && !visit(number, row)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The number that the next row gets.
    pub(super) fn end(&self) -> Result<u64, Fault> {
        let after = |last: Option<(u64, &[u8])>| last.map(|(number, _)| number + 1);
        if let Some(end) = after(self.tail.rows().last()) {
            return Ok(end);
        }
        let last = self.table.last()?;
        let end = last.and_then(|(key, value)| after(rows(key.value(), value.value()).last()));
        Ok(end.unwrap_or(0))
    }
}

enum Held<'t> {
    Tail(&'t Tail),
    Stored(AccessGuard<'t, Bytes>),
}

/// Rows that lie together.
pub(super) struct Chunk<'t> {
    first: u64,
    held: Held<'t>,
}

impl Chunk<'_> {
    /// The row of this number, if it is one of them.
    pub(super) fn get(&self, number: u64) -> Option<&[u8]> {
        let nth = usize::try_from(number.checked_sub(self.first)?).ok()?;
        match &self.held {
            Held::Tail(tail) => tail.get(nth),
            Held::Stored(guard) => range(guard.value(), nth).map(|range| &guard.value()[range]),
        }
    }
}

/// Reads rows one after another, going down for the most part. Where their numbers lie close together,
/// the next one is in the same chunk, or a step of an open range away, instead of a descent.
pub(super) struct Reading<'t, T> {
    roll: &'t Roll<T>,
    chunk: Option<Chunk<'t>>,
    before: Option<redb::Range<'t, u64, Bytes>>,
}

impl<'t, T: ReadableTable<u64, Bytes>> Reading<'t, T> {
    pub(super) fn new(roll: &'t Roll<T>) -> Self {
        Self { roll, chunk: None, before: None }
    }

    /// The row of this number.
    pub(super) fn get(&mut self, number: u64) -> Result<Option<&[u8]>, Fault> {
        if self.chunk.as_ref().is_none_or(|chunk| chunk.get(number).is_none()) {
            self.chunk = self.find(number)?;
        }
        Ok(self.chunk.as_ref().and_then(|chunk| chunk.get(number)))
    }

    fn find(&mut self, number: u64) -> Result<Option<Chunk<'t>>, Fault> {
        if let Some(tail) = self.roll.in_tail(number) {
            return Ok(Some(tail));
        }
        if let Some(before) = &mut self.before {
            for row in before.rev().take(NEAR) {
                let (key, value) = row?;
                let chunk = Chunk { first: key.value(), held: Held::Stored(value) };
                if chunk.first <= number {
                    if chunk.get(number).is_some() {
                        return Ok(Some(chunk));
                    }
                    break;
                }
            }
        }
        let mut before = self.roll.table.range(..=number)?;
        let last = before.next_back().transpose()?;
        self.before = Some(before);
        Ok(last.map(|(key, value)| Chunk { first: key.value(), held: Held::Stored(value) }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::redb::tables::WriteTables;

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
            chunk_bytes in prop_oneof![Just(SHORT_BYTES), Just(LONG_BYTES)],
            settles: bool,
        ) {
            let backend = redb::backends::InMemoryBackend::new();
            let database = redb::Builder::new().create_with_backend(backend).unwrap();
            let txn = database.begin_write().unwrap();
            let mut roll = WriteTables::open(&txn).unwrap().entries;
            roll.chunk_bytes = chunk_bytes;
            let mut rows: Vec<Vec<u8>> = Vec::new();
            for group in groups {
                for len in group {
                    let number = rows.len() as u64;
                    rows.push(row(number, len));
                    roll.push(number, &rows[rows.len() - 1]).unwrap();
                }
                if settles {
                    roll.settle().unwrap();
                    prop_assert_eq!(roll.tail.rows().count(), 0);
                    let last = rows.len() - 1;
                    rows[last] = b"another".to_vec();
                    roll.replace(last as u64, b"another").unwrap();
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
            for chunk in roll.table.iter().unwrap() {
                let (first, chunk) = chunk.unwrap();
                let most = chunk_bytes.min(MOST_PAGE_BYTES - LEAF_BYTES);
                let count = super::rows(first.value(), chunk.value()).count();
                prop_assert!(count == 1 || chunk.value().len() <= most, "{count} rows too long");
            }
        }
    }

    #[test]
    fn small_chunks_are_packed_anew_but_for_a_damaged_one() {
        let backend = redb::backends::InMemoryBackend::new();
        let database = redb::Builder::new().create_with_backend(backend).unwrap();
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
        let firsts: Vec<u64> =
            roll.table.iter().unwrap().map(|row| row.unwrap().0.value()).collect();
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
    fn firsts(roll: &Roll<Table<'_, u64, Bytes>>) -> Vec<u64> {
        roll.table.iter().unwrap().map(|row| row.unwrap().0.value()).collect()
    }

    #[test]
    fn rows_gather_until_a_chunk_of_them_would_be_too_long() {
        let backend = redb::backends::InMemoryBackend::new();
        let database = redb::Builder::new().create_with_backend(backend).unwrap();
        let txn = database.begin_write().unwrap();
        let mut roll = WriteTables::open(&txn).unwrap().entries;
        // The count, and of each row its end and its bytes.
        roll.chunk_bytes = 4 + (4 + 40) + (4 + 48);
        roll.push(0, &row(0, 40)).unwrap();
        roll.push(1, &row(1, 48)).unwrap();
        assert_eq!((roll.tail.rows().count(), firsts(&roll)), (2, vec![]));
        roll.push(2, &[]).unwrap();
        assert_eq!((roll.tail.rows().count(), firsts(&roll)), (1, vec![0]));
        roll.push(3, &row(3, 1_000)).unwrap();
        roll.push(4, &[]).unwrap();
        assert_eq!((roll.tail.rows().count(), firsts(&roll)), (1, vec![0, 2, 3]));
        assert_eq!(roll.end().unwrap(), 5);
    }

    #[test]
    fn chunks_are_packed_anew_down_to_the_first_that_is_packed_and_so_many_bytes_at_a_time() {
        let backend = redb::backends::InMemoryBackend::new();
        let database = redb::Builder::new().create_with_backend(backend).unwrap();
        let txn = database.begin_write().unwrap();
        let mut roll = WriteTables::open(&txn).unwrap().entries;
        for (first_bytes, expected) in [(PACKED_BYTES, vec![0, 1]), (PACKED_BYTES - 1, vec![0])] {
            for (number, len) in [(0, first_bytes - 8), (1, 20), (2, 20)] {
                let chunk = chunk_of(&[&row(number, len)]);
                roll.table.insert(number, chunk.as_slice()).unwrap();
            }
            roll.repack().unwrap();
            assert_eq!(firsts(&roll), expected, "{first_bytes}");
            roll.table.retain(|_, _| false).unwrap();
        }
        let (count, bytes) = (300, 15_000);
        for number in 0..count {
            let chunk = chunk_of(&[&row(number, bytes - 8)]);
            roll.table.insert(number, chunk.as_slice()).unwrap();
        }
        roll.repack().unwrap();
        let packed = (REPACKED_BYTES / bytes) as u64;
        let left: Vec<u64> = (0..=count - packed).collect();
        let found = firsts(&roll);
        assert!(found.starts_with(&left) && found.len() < 200, "{found:?}");
        for number in 0..count {
            let chunk = roll.chunk(number).unwrap().unwrap();
            assert_eq!(chunk.get(number), Some(row(number, bytes - 8).as_slice()));
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
        assert_eq!(tail([4_096 - 24, 8_192 - 24]).cuts(), [1, 2]);
    }

    #[test]
    fn a_damaged_tail_leads_nowhere() {
        let damaged = Tail { first: u64::MAX, ends: vec![5, 3, u32::MAX], bytes: vec![1; 9] };
        assert!(damaged.rows().count() <= 1);
    }

    #[test]
    fn behind_the_last_row_is_none_whatever_lies_where_its_end_would() {
        // The first row says how long it is, where one more row would say where it ends.
        let chunk = chunk_of(&[b"\x08\0\0\0said"]);
        assert_eq!((range(&chunk, 0), range(&chunk, 1)), (Some(8..16), None));
        let empty = tail([0]);
        assert_eq!((empty.get(0), empty.get(1)), (Some(&b""[..]), None));
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
}
