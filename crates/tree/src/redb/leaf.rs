//! Reads a file raw, and the leaves of redb 4.4's B-trees in it: whatever bytes are there, the answer
//! is pairs that lie inside the file, or none. Nothing here trusts the file, or opens it with redb.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

/// Bytes of redb's smallest page; larger ones are a power of two of them, at multiples of this.
pub(super) const PAGE_BYTES: u64 = 4096;
/// First byte of a leaf.
const LEAF: u8 = 1;
/// Bytes read ahead.
const AHEAD_BYTES: usize = 1 << 20;

/// A file, read in order for the most part.
pub(super) struct Raw {
    file: File,
    len: u64,
    buffer: Vec<u8>,
    start: u64,
}

/// Widths of keys and values in bytes; `None` where they vary.
#[derive(Clone, Copy, Debug)]
pub(super) struct Widths {
    pub(super) key: Option<usize>,
    pub(super) value: Option<usize>,
}

/// Where key and value of a pair lie in the file.
pub(super) struct Pair {
    pub(super) key: Range<u64>,
    pub(super) value: Range<u64>,
}

impl Raw {
    pub(super) fn new(mut file: File) -> io::Result<Self> {
        let len = file.seek(SeekFrom::End(0))?;
        Ok(Self { file, len, buffer: Vec::new(), start: 0 })
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Up to `len` bytes from `offset` on; fewer at the end of the file.
    pub(super) fn at(&mut self, offset: u64, len: usize) -> io::Result<&[u8]> {
        let end = offset.saturating_add(len as u64).min(self.len);
        if offset >= end {
            return Ok(&[]);
        }
        if offset < self.start || end > self.start + self.buffer.len() as u64 {
            let wanted = (self.len - offset).min(len.max(AHEAD_BYTES) as u64);
            self.buffer.clear();
            self.file.seek(SeekFrom::Start(offset))?;
            (&mut self.file).take(wanted).read_to_end(&mut self.buffer)?;
            self.start = offset;
        }
        let from = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        let rest = self.buffer.get(from..).unwrap_or_default();
        Ok(&rest[..rest.len().min(len)])
    }

    /// The bytes of a range; fewer where the file ends before it does.
    pub(super) fn range(&mut self, range: &Range<u64>) -> io::Result<&[u8]> {
        self.at(range.start, usize::try_from(range.end - range.start).unwrap_or(usize::MAX))
    }

    /// The pairs of the leaf that begins at `offset`, if one of these widths may begin there.
    pub(super) fn leaf(&mut self, offset: u64, widths: Widths) -> io::Result<Vec<Pair>> {
        let head = self.at(offset, 4)?;
        let &[LEAF, _, low, high] = head else { return Ok(Vec::new()) };
        let count = usize::from(u16::from_le_bytes([low, high]));
        let tables = usize::from(widths.key.is_none()) + usize::from(widths.value.is_none());
        let head_bytes = 4 + 4 * count * tables;
        let head = self.at(offset, head_bytes)?;
        if head.len() < head_bytes {
            return Ok(Vec::new());
        }
        let (keys, values) = if widths.key.is_none() {
            head[4..].split_at(4 * count)
        } else {
            (&head[4..4], &head[4..])
        };
        let pairs = ends(keys, widths.key, head_bytes as u64, count).and_then(|keys| {
            let begin = keys.last().map_or(0, |range| range.end);
            let values = ends(values, widths.value, begin, count)?;
            Some((keys, values))
        });
        let Some((keys, values)) = pairs else { return Ok(Vec::new()) };
        if values.last().is_none_or(|last| last.end > self.len - offset) {
            return Ok(Vec::new());
        }
        let in_file = |range: Range<u64>| offset + range.start..offset + range.end;
        let pair = |(key, value)| Pair { key: in_file(key), value: in_file(value) };
        Ok(keys.into_iter().zip(values).map(pair).collect())
    }
}

/// Ranges that follow one another from `begin` on, by width or by a table of their ends; `None` where
/// the table goes back.
fn ends(table: &[u8], width: Option<usize>, begin: u64, count: usize) -> Option<Vec<Range<u64>>> {
    let mut start = begin;
    let mut ranges = Vec::with_capacity(count);
    for nth in 0..count {
        let end = if let Some(width) = width {
            start + width as u64
        } else {
            let bytes = table.get(4 * nth..4 * nth + 4)?.try_into().ok()?;
            u64::from(u32::from_le_bytes(bytes))
        };
        if end < start {
            return None;
        }
        ranges.push(start..end);
        start = end;
    }
    Some(ranges)
}
