//! Rows that are numbered densely, many to a row of their table: entries, places, the journal. An insert
//! costs the same whatever its length, and a sync the more the more pages lie apart: so what is appended
//! gathers in a tail and reaches the table as a chunk.
//!
//! The tails of places and journal outlive their commit, in the row of the counters, so that most commits
//! touch no page of these tables. That of the entries does not: [`Roll::settle`] ends each group.

use std::ops::Range;

use redb::{AccessGuard, ReadableTable, Table};
use serde::{Deserialize, Serialize};

use super::fault::Fault;
use crate::encode;

type Bytes = &'static [u8];

/// Bytes of a chunk of short rows: four of them fill a page.
pub(super) const SHORT_BYTES: usize = 1_000;
/// Bytes of a chunk that fills one, two or four pages, but for what redb's leaf takes of them. A page of
/// redb is a power of two of the smallest: what lies between is wasted.
const PAGES_BYTES: [usize; 3] = [4_096 - 16, 2 * 4_096 - 16, 4 * 4_096 - 16];
/// Bytes of a chunk of entries.
pub(super) const LONG_BYTES: usize = PAGES_BYTES[2];
/// Rows passed over before a new descent is cheaper.
const NEAR: usize = 4;

/// What gathers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tail {
    /// Number of its first row, where it has one.
    first: u64,
    #[serde(with = "encode::byte_vec")]
    chunk: Vec<u8>,
}

impl Tail {
    /// Its rows.
    pub(super) fn rows(&self) -> impl Iterator<Item = (u64, &[u8])> {
        rows(self.first, &self.chunk)
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

/// The rows of a chunk and their numbers.
pub(super) fn rows(first: u64, chunk: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    ranges(chunk).map(move |(nth, range)| (first.saturating_add(nth as u64), &chunk[range]))
}

fn chunk_of(rows: &[&[u8]]) -> Vec<u8> {
    let bytes: usize = rows.iter().map(|row| row.len()).sum();
    let mut chunk = Vec::with_capacity(4 + 4 * rows.len() + bytes);
    let put = |chunk: &mut Vec<u8>, number: usize| {
        chunk.extend(u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
    };
    put(&mut chunk, rows.len());
    let mut end = 0;
    for row in rows {
        end += row.len();
        put(&mut chunk, end);
    }
    for row in rows {
        chunk.extend_from_slice(row);
    }
    chunk
}

/// A table of chunks, and what gathers for the next one.
pub(super) struct Roll<T> {
    pub(super) table: T,
    pub(super) tail: Tail,
    /// Bytes of a chunk; a row that is longer has one of its own.
    pub(super) chunk_bytes: usize,
}

impl Roll<Table<'_, u64, Bytes>> {
    /// Appends a row; its number is one more than that of the row before it.
    pub(super) fn push(&mut self, number: u64, row: &[u8]) -> Result<(), Fault> {
        let Tail { first, chunk } = &mut self.tail;
        if !chunk.is_empty() && chunk.len() + 4 + row.len() > self.chunk_bytes {
            self.table.insert(*first, chunk.as_slice())?;
            chunk.clear();
        }
        let Some((count, head)) = head(chunk) else {
            *first = number;
            *chunk = chunk_of(&[row]);
            return Ok(());
        };
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
        let end = number(chunk.len() - head + row.len());
        chunk[..4].copy_from_slice(&number(count + 1));
        chunk.splice(head..head, end);
        chunk.extend(row);
        Ok(())
    }

    /// Brings everything to the table, in chunks that fill their pages.
    pub(super) fn settle(&mut self) -> Result<(), Fault> {
        let Tail { mut first, chunk } = std::mem::take(&mut self.tail);
        if head(&chunk).is_some_and(|(count, _)| count == 1) {
            self.table.insert(first, chunk.as_slice())?;
            return Ok(());
        }
        let rows: Vec<&[u8]> = rows(first, &chunk).map(|(_, row)| row).collect();
        let mut rest = rows.as_slice();
        while !rest.is_empty() {
            let mut sizes = rest.iter().scan(4, |bytes, row| {
                *bytes += 4 + row.len();
                Some(*bytes)
            });
            let all = sizes.clone().last().unwrap_or(0);
            let most = PAGES_BYTES.iter().rev().find(|bytes| **bytes <= all).copied();
            let most = most.unwrap_or(all);
            let fit = sizes.position(|bytes| bytes > most).unwrap_or(rest.len()).max(1);
            let (now, later) = rest.split_at(fit);
            self.table.insert(first, chunk_of(now).as_slice())?;
            first += fit as u64;
            rest = later;
        }
        Ok(())
    }

    /// Puts another row in the place of one that is in the table.
    pub(super) fn replace(&mut self, number: u64, row: &[u8]) -> Result<(), Fault> {
        let (first, chunk) = {
            let Some(Chunk { first, held: Held::Stored(guard) }) = self.chunk(number)? else {
                return Ok(());
            };
            let whole = rows(first, guard.value());
            let rows = whole.map(|(at, old)| if at == number { row } else { old });
            (first, chunk_of(&rows.collect::<Vec<_>>()))
        };
        self.table.insert(first, chunk.as_slice())?;
        Ok(())
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
        let Tail { first, chunk } = &self.tail;
        let is_in = number >= *first && !chunk.is_empty();
        is_in.then_some(Chunk { first: *first, held: Held::Tail(chunk) })
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
    Tail(&'t [u8]),
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
        let chunk = match &self.held {
            Held::Tail(chunk) => chunk,
            Held::Stored(guard) => guard.value(),
        };
        let nth = usize::try_from(number.checked_sub(self.first)?).ok()?;
        range(chunk, nth).map(|range| &chunk[range])
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
                let most = if settles { LONG_BYTES.max(chunk_bytes) } else { chunk_bytes };
                let count = super::rows(first.value(), chunk.value()).count();
                prop_assert!(count == 1 || chunk.value().len() <= most, "{count} rows too long");
            }
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
}
