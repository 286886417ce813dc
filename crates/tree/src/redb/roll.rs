//! Rows that are numbered densely, many to a row of their table: entries, places, the journal. An insert
//! costs the same whatever its length, and a sync the more the more pages lie apart: so what is appended
//! gathers in a tail and reaches the table as a chunk.
//!
//! The ends of the tails of places and journal outlive their commit, in the row of the counters, so that most commits
//! of few rows touch no page of these tables. That of the entries does not: [`Roll::settle`] ends each round. What
//! gathered is cut into chunks where they fill pages best.

use std::ops::Range;

use redb::{AccessGuard, Table, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::lazy::{Lazy, Transaction};
use crate::encode;

type Bytes = &'static [u8];

/// Bytes of short rows that outlive a commit: four chunks of them fill a page.
pub(super) const SHORT_BYTES: usize = 1_000;
/// Bytes that gather: of the rows of a whole mebibyte hardly any page stays half empty.
const GATHERED_BYTES: usize = 1 << 20;
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

    /// Lets go of the first rows; its memory is used again.
    fn leave(&mut self, rows: usize) {
        let left = self.start(rows).min(self.bytes.len());
        self.bytes.drain(..left);
        self.ends.drain(..rows);
        for end in &mut self.ends {
            *end = end.saturating_sub(u32::try_from(left).unwrap_or(u32::MAX));
        }
        self.first = self.first.saturating_add(rows as u64);
    }

    /// Bytes of a chunk of these rows.
    fn chunk_bytes(&self, rows: &Range<usize>) -> usize {
        let bytes = self.start(rows.end).saturating_sub(self.start(rows.start));
        chunk_bytes(rows.len(), bytes)
    }

    /// Writes the chunk of these rows, which fills `chunk`.
    fn put_chunk(&self, rows: Range<usize>, chunk: &mut [u8]) {
        let field_bytes = field_bytes(chunk.len());
        let (head, bytes) = chunk.split_at_mut(field_bytes * (1 + rows.len()));
        let (from, to) = (self.start(rows.start), self.start(rows.end));
        let ends = rows.clone().map(|nth| self.start(nth + 1).saturating_sub(from));
        let fields = std::iter::once(rows.len()).chain(ends);
        for (field, value) in head.chunks_exact_mut(field_bytes).zip(fields) {
            field.copy_from_slice(&value.to_le_bytes()[..field_bytes]);
        }
        if let Some(rows) = self.bytes.get(from..to) {
            bytes.copy_from_slice(rows);
        }
    }

    /// How many rows from this one on make a chunk of so many bytes, one at least: where they end.
    fn end_within(&self, first: usize, bytes: usize) -> usize {
        let (mut end, mut beyond) = (first + 1, self.ends.len() + 1);
        while beyond - end > 1 {
            let middle = end.midpoint(beyond);
            let fits = self.chunk_bytes(&(first..middle)) <= bytes;
            *(if fits { &mut end } else { &mut beyond }) = middle;
        }
        end
    }

    /// Where to cut short rows into chunks, but for the last of them, of which so many bytes are kept: chunks of a
    /// page each, then of as many bytes as are kept. Whoever reads one row reads no larger page.
    fn short_cuts(&self, kept_bytes: usize) -> Vec<usize> {
        let count = self.ends.len();
        let cut = |first: usize| {
            let left = self.chunk_bytes(&(first..count));
            let page_bytes = LEAST_PAGE_BYTES - LEAF_BYTES;
            let bytes = if left > page_bytes { page_bytes } else { kept_bytes };
            (first < count && left > kept_bytes).then(|| self.end_within(first, bytes))
        };
        std::iter::successors(cut(0), |end| cut(*end)).collect()
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
                let end = self.end_within(first, page - LEAF_BYTES);
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

/// Bytes of the count, and of each end, in a chunk of so many.
const SHORT_FIELD: usize = 2;
const LONG_FIELD: usize = 4;

fn field_bytes(chunk_bytes: usize) -> usize {
    if u16::try_from(chunk_bytes).is_ok() { SHORT_FIELD } else { LONG_FIELD }
}

/// Bytes of a chunk of so many rows of so many bytes.
fn chunk_bytes(rows: usize, bytes: usize) -> usize {
    let with = |field: usize| field * (1 + rows) + bytes;
    with(field_bytes(with(SHORT_FIELD)))
}

/// The count and the ends, by their place in the head.
fn field(chunk: &[u8], nth: usize) -> Option<usize> {
    let bytes = field_bytes(chunk.len());
    let at = nth.checked_mul(bytes)?;
    let mut field = [0; LONG_FIELD];
    field[..bytes].copy_from_slice(chunk.get(at..at.checked_add(bytes)?)?);
    usize::try_from(u32::from_le_bytes(field)).ok()
}

/// How many rows a chunk holds, and where the table of their ends ends.
fn head(chunk: &[u8]) -> Option<(usize, usize)> {
    let count = field(chunk, 0)?;
    let head = count.checked_add(1)?.checked_mul(field_bytes(chunk.len()))?;
    (head <= chunk.len()).then_some((count, head))
}

/// Where the `nth` row of a chunk lies in it: the ends of all rows come before the first.
fn range(chunk: &[u8], nth: usize) -> Option<Range<usize>> {
    let (count, head) = head(chunk)?;
    let end = |nth: usize| head.checked_add(field(chunk, nth + 1)?);
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
pub(super) struct Roll<T: Transaction> {
    pub(super) table: Lazy<T, u64, Bytes>,
    pub(super) tail: Tail,
    /// Bytes that outlive a commit.
    pub(super) kept_bytes: usize,
}

impl Roll<&WriteTransaction> {
    /// Appends a row; its number is one more than that of the row before it.
    pub(super) fn push(&mut self, number: u64, row: &[u8]) -> Result<(), Fault> {
        let (rows, bytes) = (self.tail.ends.len(), self.tail.bytes.len());
        if chunk_bytes(rows + 1, bytes + row.len()) > GATHERED_BYTES {
            self.settle()?;
        }
        self.tail.push(number, row);
        Ok(())
    }

    /// Brings everything but what outlives a commit to the table, in chunks that fill their pages.
    pub(super) fn settle(&mut self) -> Result<(), Fault> {
        let kept = self.kept_bytes;
        let cuts = if kept == 0 { self.tail.cuts() } else { self.tail.short_cuts(kept) };
        let mut start = 0;
        for end in cuts {
            insert_chunk(self.table.changed()?, &self.tail, start..end)?;
            start = end;
        }
        self.tail.leave(start);
        Ok(())
    }

    /// Packs the newest chunks anew as far as they are small: groups of few rows fill no page. Stops at a chunk
    /// that does not show all its rows.
    pub(super) fn repack(&mut self) -> Result<(), Fault> {
        self.settle()?;
        let (mut small, mut bytes) = (Vec::new(), 0);
        for chunk in self.table.rows()?.rev() {
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
        insert_chunk(self.table.changed()?, &chunk, rows)
    }
}

impl<T: Transaction> Roll<T> {
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
        let last = self.table.rows()?.next_back().transpose()?;
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
pub(super) struct Reading<'t, T: Transaction> {
    roll: &'t Roll<T>,
    chunk: Option<Chunk<'t>>,
    before: Option<redb::Range<'t, u64, Bytes>>,
}

impl<'t, T: Transaction> Reading<'t, T> {
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
mod tests;
