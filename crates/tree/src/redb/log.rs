//! The log in front of redb: one record for each group, in one run of bytes, durable with one sync. redb
//! takes the group without a sync and saves itself when the log is full; what it had not saved is put
//! back from here.
//!
//! Records have the generation that redb's own state asks for, and are numbered densely in it: what an
//! earlier filling left behind is never taken for one. Each begins a page of its own, so that no
//! write touches one that is durable.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redb::StorageBackend;

use super::layout::PAGE_BYTES;
use crate::encode;

/// Generation, number, how many before it were durable, bytes of what is recorded; a hash of these and of it
/// follows.
const FIELDS_BYTES: usize = 4 * 8;
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
    /// Records below are durable; another thread may make them so.
    synced: Arc<AtomicU64>,
    /// Memory of records that were written: what comes and goes costs more than what is written to it.
    spare: Arc<Mutex<Vec<u8>>>,
}

/// A record that has its place in the log. It is to be written before the next one, on any thread; until then the log
/// must not begin anew, nor be synced.
pub(super) struct Appending {
    backend: Arc<dyn StorageBackend>,
    at: u64,
    /// Where to allocate blocks to, behind it.
    allocates: u64,
    generation: u64,
    number: u64,
    record: Vec<u8>,
    synced: Arc<AtomicU64>,
    spare: Arc<Mutex<Vec<u8>>>,
}

impl Appending {
    /// Writes it, durable at the next sync. Its first [`HEAD_BYTES`] are filled here.
    pub(super) fn write(&mut self) -> io::Result<()> {
        let mut record = std::mem::take(&mut self.record);
        let len = record.len() - HEAD_BYTES;
        let (generation, number) = (self.generation, self.number);
        let synced = self.synced.load(Ordering::Acquire);
        let mut head = RecordHead { generation, number, synced, len, hash: [0; 32] };
        head.hash = head.hash_of(&record[HEAD_BYTES..]);
        record[..FIELDS_BYTES].copy_from_slice(&head.fields());
        record[FIELDS_BYTES..HEAD_BYTES].copy_from_slice(&head.hash);
        record.resize(record.len().next_multiple_of(PAGE_BYTES), 0);
        let end = self.at + record.len() as u64;
        if end < self.allocates {
            let zeros = vec![0; usize::try_from(self.allocates - end).unwrap_or(0)];
            self.backend.write(end, &zeros)?;
        }
        self.backend.write(self.at, &record)?;
        *self.spare.lock().unwrap_or_else(PoisonError::into_inner) = record;
        Ok(())
    }

    /// Makes it durable, and all before it.
    pub(super) fn sync(&self) -> io::Result<()> {
        sync(&*self.backend, &self.synced, self.number + 1)
    }
}

/// Makes so many records durable.
fn sync(backend: &dyn StorageBackend, synced: &AtomicU64, records: u64) -> io::Result<()> {
    if synced.load(Ordering::Acquire) < records {
        backend.sync_data()?;
        synced.store(records, Ordering::Release);
    }
    Ok(())
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
        let (synced, spare) = (Arc::default(), Arc::default());
        Self { backend, range, at, allocated, generation, next: 0, synced, spare }
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

    /// Gives a record its place. Its first [`HEAD_BYTES`] are the log's to fill.
    pub(super) fn append(&mut self, record: Vec<u8>) -> Appending {
        let (at, number) = (self.at, self.next);
        self.pass(record.len());
        let grows = self.at > self.allocated;
        if grows {
            self.allocated = (self.at + AHEAD_BYTES).min(self.range.end);
        }
        Appending {
            backend: Arc::clone(&self.backend),
            at,
            allocates: if grows { self.allocated } else { 0 },
            generation: self.generation,
            number,
            record,
            synced: Arc::clone(&self.synced),
            spare: Arc::clone(&self.spare),
        }
    }

    /// Memory for a record.
    pub(super) fn spare(&self) -> Vec<u8> {
        std::mem::take(&mut *self.spare.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes all records durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        sync(&*self.backend, &self.synced, self.next)
    }

    /// Whether all records are durable.
    pub(super) fn is_synced(&self) -> bool {
        self.synced.load(Ordering::Acquire) == self.next
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
        (self.at, self.generation) = (self.range.start, generation);
        self.next = 0;
        // Its own: a late sync of a record before says nothing of those that follow.
        self.synced = Arc::default();
    }

    /// Gives the blocks behind the last record back to the file system, where that takes them. They may hold
    /// one that was never finished for want of room.
    pub(super) fn give_back(&self, path: &Path) {
        #[cfg(target_os = "linux")]
        if self.allocated > self.at
            && let Ok(file) = std::fs::File::options().write(true).open(path)
        {
            use rustix::fs::{FallocateFlags, fallocate};
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            // What cannot be given back is kept.
            let _ = fallocate(file, flags, self.at, self.range.end - self.at);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = path;
    }

    fn pass(&mut self, bytes: usize) {
        self.at += (bytes as u64).next_multiple_of(PAGE);
        self.next += 1;
    }

    fn slot(&self, at: u64, number: u64) -> io::Result<Slot> {
        Ok(match RecordHead::read(&*self.backend, at, self.range.end)? {
            Some(head) if (head.generation, head.number) == (self.generation, number) => {
                head.record(&*self.backend, at)?.map_or(Slot::End, Slot::Record)
            }
            _ => Slot::End,
        })
    }

    /// Fails where a record says that the one expected here was durable before it.
    fn check_end(&self) -> io::Result<()> {
        let mut at = self.at + PAGE;
        while at < self.range.end {
            if let Some(head) = RecordHead::read(&*self.backend, at, self.range.end)?
                && head.generation == self.generation
                && head.synced > self.next
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
pub(super) struct RecordHead {
    generation: u64,
    number: u64,
    synced: u64,
    len: usize,
    hash: [u8; 32],
}

impl RecordHead {
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
        let (synced, rest) = rest.split_first_chunk()?;
        let (len, hash) = rest.split_first_chunk()?;
        let len = usize::try_from(u64::from_le_bytes(*len)).ok()?;
        Some(Self {
            generation: u64::from_le_bytes(*generation),
            number: u64::from_le_bytes(*number),
            synced: u64::from_le_bytes(*synced),
            len,
            hash: hash.try_into().ok()?,
        })
    }

    /// Bytes of what is recorded.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether this is what is recorded.
    pub(super) fn proves(&self, record: &[u8]) -> bool {
        record.len() == self.len && self.hash_of(record) == self.hash
    }

    fn fields(&self) -> [u8; FIELDS_BYTES] {
        let mut fields = [0; FIELDS_BYTES];
        let values = [self.generation, self.number, self.synced, self.len as u64];
        for (field, value) in fields.chunks_exact_mut(8).zip(values) {
            field.copy_from_slice(&value.to_le_bytes());
        }
        fields
    }

    fn hash_of(&self, record: &[u8]) -> [u8; 32] {
        encode::hash(&[&self.fields(), record])
    }

    /// The record with its head, if it is whole.
    fn record(&self, backend: &dyn StorageBackend, at: u64) -> io::Result<Option<Vec<u8>>> {
        let mut record = vec![0; HEAD_BYTES + self.len];
        backend.read(at, &mut record)?;
        Ok(self.proves(&record[HEAD_BYTES..]).then_some(record))
    }
}

#[cfg(test)]
mod tests;
