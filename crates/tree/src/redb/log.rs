//! The log in front of redb: one record for each group, in one run of bytes, durable with one sync. redb
//! takes the group without a sync and saves itself when the log is full; what it had not saved is put
//! back from here.
//!
//! Records have the generation that redb's own state asks for, and are numbered densely in it: what an
//! earlier filling left behind is never taken for one. Each begins a page of its own, so that no
//! write touches one that is durable.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use redb::StorageBackend;

use super::layout::PAGE_BYTES;

/// Generation, number, bytes of what is recorded; a hash of these and of it follows.
const FIELDS_BYTES: usize = 8 + 8 + 8;
/// Bytes before what is recorded.
pub(super) const HEAD_BYTES: usize = FIELDS_BYTES + 32;
/// Zeros written beyond a record, so that the next ones find their blocks allocated.
const AHEAD_BYTES: u64 = 256 << 10;
const PAGE: u64 = PAGE_BYTES as u64;

/// The log of an open store.
#[derive(Debug)]
pub(super) struct Log {
    backend: Arc<dyn StorageBackend>,
    range: Range<u64>,
    /// Where the next record goes.
    at: u64,
    /// Blocks below are allocated; the end where nothing is gained by that.
    allocated: u64,
    generation: u64,
    /// Number of the next record.
    next: u64,
}

/// What stands in the log where a record is expected.
enum Slot {
    Record(Vec<u8>),
    /// The end: nothing, an older record, or one that was never finished.
    End,
}

impl Log {
    /// The log in that range of the bytes.
    pub(super) fn new(
        backend: Arc<dyn StorageBackend>,
        range: Range<u64>,
        writes_ahead: bool,
        generation: u64,
    ) -> Self {
        let (at, end) = (range.start, range.end);
        let allocated = if writes_ahead { at } else { end };
        Self { backend, range, at, allocated, generation, next: 0 }
    }

    /// The next record that was made durable and its number, if there is one more.
    ///
    /// # Errors
    /// `InvalidData` for a damaged one: those behind it were made durable after it.
    pub(super) fn read(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        let Slot::Record(record) = self.slot(self.at, self.next)? else {
            self.check_end()?;
            return Ok(None);
        };
        let number = self.next;
        self.pass(record.len());
        Ok(Some((number, record)))
    }

    /// Makes a record durable. Its first [`HEAD_BYTES`] are the log's to fill.
    pub(super) fn append(&mut self, record: &mut Vec<u8>) -> io::Result<()> {
        let len = record.len() - HEAD_BYTES;
        let fields = fields(self.generation, self.next, len as u64);
        let hash = hash_of(&fields, &record[HEAD_BYTES..]);
        record[..FIELDS_BYTES].copy_from_slice(&fields);
        record[FIELDS_BYTES..HEAD_BYTES].copy_from_slice(&hash);
        record.resize(record.len().next_multiple_of(PAGE_BYTES), 0);
        let end = self.at + record.len() as u64;
        if end > self.allocated {
            self.allocated = (end + AHEAD_BYTES).min(self.range.end);
            let zeros = vec![0; usize::try_from(self.allocated - end).unwrap_or(0)];
            self.backend.write(end, &zeros)?;
        }
        self.backend.write(self.at, record)?;
        self.backend.sync_data()?;
        self.pass(HEAD_BYTES + len);
        Ok(())
    }

    /// Bytes that one more record may have.
    pub(super) fn room(&self) -> usize {
        usize::try_from(self.range.end - self.at).unwrap_or(usize::MAX)
    }

    /// Whether at least that part of it is used.
    pub(super) fn is_used(&self, part: u64) -> bool {
        (self.at - self.range.start).saturating_mul(part) >= self.range.end - self.range.start
    }

    /// Begins anew: everything in it is durable elsewhere.
    pub(super) fn restart(&mut self, generation: u64) {
        (self.at, self.generation, self.next) = (self.range.start, generation, 0);
    }

    fn pass(&mut self, bytes: usize) {
        self.at += (bytes as u64).next_multiple_of(PAGE);
        self.next += 1;
    }

    fn slot(&self, at: u64, number: u64) -> io::Result<Slot> {
        Ok(match Head::read(&*self.backend, at, self.range.end)? {
            Some(head) if (head.generation, head.number) == (self.generation, number) => {
                head.record(&*self.backend, at)?.map_or(Slot::End, Slot::Record)
            }
            _ => Slot::End,
        })
    }

    /// That no record follows the last one proves that it is the last one.
    fn check_end(&self) -> io::Result<()> {
        let mut at = self.at + PAGE;
        while at < self.range.end {
            if let Some(head) = Head::read(&*self.backend, at, self.range.end)?
                && head.generation == self.generation
                && head.number > self.next
                && head.record(&*self.backend, at)?.is_some()
            {
                let detail = format!("record {} of the log is damaged", self.next);
                return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
            }
            at += PAGE;
        }
        Ok(())
    }
}

/// The beginning of a record.
pub(super) struct Head {
    generation: u64,
    number: u64,
    len: usize,
    hash: [u8; 32],
}

impl Head {
    /// What a page begins with, if that may be a record that ends before `end`.
    fn read(backend: &dyn StorageBackend, at: u64, end: u64) -> io::Result<Option<Self>> {
        let mut bytes = [0; HEAD_BYTES];
        if end - at < HEAD_BYTES as u64 {
            return Ok(None);
        }
        backend.read(at, &mut bytes)?;
        Ok(Self::of(&bytes).filter(|head| head.len as u64 <= end - at - HEAD_BYTES as u64))
    }

    /// The head in these bytes, if there is one.
    pub(super) fn of(bytes: &[u8; HEAD_BYTES]) -> Option<Self> {
        let (generation, rest) = bytes.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (len, hash) = rest.split_first_chunk()?;
        let (generation, number) = (u64::from_le_bytes(*generation), u64::from_le_bytes(*number));
        let len = usize::try_from(u64::from_le_bytes(*len)).ok()?;
        Some(Self { generation, number, len, hash: hash.try_into().ok()? })
    }

    /// Bytes of what is recorded.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether this is what is recorded.
    pub(super) fn proves(&self, record: &[u8]) -> bool {
        record.len() == self.len
            && hash_of(&fields(self.generation, self.number, self.len as u64), record) == self.hash
    }

    /// The record with its head, if it is whole.
    fn record(&self, backend: &dyn StorageBackend, at: u64) -> io::Result<Option<Vec<u8>>> {
        let mut record = vec![0; HEAD_BYTES + self.len];
        backend.read(at, &mut record)?;
        Ok(self.proves(&record[HEAD_BYTES..]).then_some(record))
    }
}

fn fields(generation: u64, number: u64, len: u64) -> [u8; FIELDS_BYTES] {
    let mut fields = [0; FIELDS_BYTES];
    fields[..8].copy_from_slice(&generation.to_le_bytes());
    fields[8..16].copy_from_slice(&number.to_le_bytes());
    fields[16..].copy_from_slice(&len.to_le_bytes());
    fields
}

fn hash_of(fields: &[u8; FIELDS_BYTES], record: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new().update(fields).update(record).finalize().as_bytes()
}
