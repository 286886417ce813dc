//! Reads a file raw, and the leaves of redb 4.5's B-trees in it: whatever bytes are there, the answer
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn raw(bytes: &[u8]) -> Raw {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Raw::new(file).unwrap()
    }

    /// A leaf with these pairs: kind, a byte, count; ends of keys and of values where they vary; keys, values.
    fn leaf(pairs: &[(&[u8], &[u8])], widths: Widths) -> Vec<u8> {
        let mut bytes = vec![LEAF, 0];
        bytes.extend(u16::try_from(pairs.len()).unwrap().to_le_bytes());
        let tables = usize::from(widths.key.is_none()) + usize::from(widths.value.is_none());
        let mut end = u32::try_from(4 + 4 * tables * pairs.len()).unwrap();
        let keys: Vec<&[u8]> = pairs.iter().map(|pair| pair.0).collect();
        let values: Vec<&[u8]> = pairs.iter().map(|pair| pair.1).collect();
        for (part, width) in [(&keys, widths.key), (&values, widths.value)] {
            for bytes_of in part {
                end += u32::try_from(bytes_of.len()).unwrap();
                bytes.extend(width.is_none().then(|| end.to_le_bytes()).into_iter().flatten());
            }
        }
        [bytes, keys.concat(), values.concat()].concat()
    }

    fn read(raw: &mut Raw, offset: u64, widths: Widths) -> Vec<(Vec<u8>, Vec<u8>)> {
        let pairs = raw.leaf(offset, widths).unwrap();
        let mut bytes = |range: &Range<u64>| raw.range(range).unwrap().to_vec();
        pairs.iter().map(|pair| (bytes(&pair.key), bytes(&pair.value))).collect()
    }

    const PAIRS: [(&[u8], &[u8]); 3] =
        [(b"key-one.", b"value--1"), (b"key-two.", b""), (b"last-key", b"last value")];
    const EVEN: [(&[u8], &[u8]); 2] = [(b"key-one.", b"value--1"), (b"key-two.", b"value--2")];

    #[test]
    fn a_leaf_is_read_whatever_of_it_varies_and_wherever_it_begins() {
        let all = [
            (None, None, &PAIRS[..]),
            (Some(8), None, &PAIRS),
            (None, Some(8), &EVEN),
            (Some(8), Some(8), &EVEN),
        ];
        for (key, value, pairs) in all {
            let widths = Widths { key, value };
            let leaf = leaf(pairs, widths);
            let expected: Vec<_> =
                pairs.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
            for offset in [0, 5, 4_096] {
                let mut raw = raw(&[vec![9; offset], leaf.clone()].concat());
                assert_eq!(read(&mut raw, offset as u64, widths), expected, "{widths:?}");
                // A byte less, and the last value is outside the file.
                let mut cut = self::raw(&[&vec![9; offset], &leaf[..leaf.len() - 1]].concat());
                assert_eq!(read(&mut cut, offset as u64, widths), []);
            }
            let mut other = leaf.clone();
            other[0] = LEAF + 1;
            assert_eq!(read(&mut raw(&other), 0, widths), []);
        }
    }

    #[test]
    fn a_table_that_goes_back_or_is_cut_off_leads_nowhere() {
        let widths = Widths { key: Some(8), value: None };
        let whole = leaf(&PAIRS, widths);
        // The end of the second value, before that of the first.
        let mut back = whole.clone();
        back[8..12].copy_from_slice(&1_u32.to_le_bytes());
        assert_eq!(read(&mut raw(&back), 0, widths), []);
        for len in 0..16 {
            assert_eq!(read(&mut raw(&whole[..len]), 0, widths), [], "{len}");
        }
        assert_eq!(read(&mut raw(&leaf(&[], widths)), 0, widths), []);
        let named = Widths { key: None, value: Some(8) };
        let even = leaf(&EVEN, named);
        for len in 0..12 {
            assert_eq!(read(&mut raw(&even[..len]), 0, named), [], "{len}");
        }
        let mut many = whole;
        many[2..4].copy_from_slice(&u16::MAX.to_le_bytes());
        assert_eq!(read(&mut raw(&many), 0, widths), []);
    }

    #[test]
    fn a_file_is_the_same_in_whatever_order_it_is_read() {
        let bytes: Vec<u8> =
            (0..3 * AHEAD_BYTES).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let mut raw = raw(&bytes);
        let len = bytes.len();
        assert_eq!(raw.len(), len as u64);
        let ahead = AHEAD_BYTES;
        let reads = [
            (0, 10),
            (5, 5),
            (ahead - 3, 3),
            (ahead - 3, 6),
            (3, 1),
            (ahead, ahead + 7),
            (ahead + 1, ahead + 6),
            (len - 4, 4),
            (len - 4, 9),
            (len, 1),
            (len + 5, 1),
            (2 * ahead, ahead),
            (0, len),
        ];
        for (from, count) in reads {
            let expected = &bytes[from.min(len)..(from + count).min(len)];
            assert!(raw.at(from as u64, count).unwrap() == expected, "{count} from {from}");
            let range = from as u64..(from + count) as u64;
            assert!(raw.range(&range).unwrap() == expected, "{range:?}");
        }
    }
}
