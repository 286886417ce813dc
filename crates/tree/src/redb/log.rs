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
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;

    const BYTES: u64 = 16 * PAGE;

    /// Bytes before the log, which it must leave alone.
    const START: u64 = PAGE;

    fn log(backend: &Arc<InMemoryBackend>, generation: u64) -> Log {
        Log::new(Arc::clone(backend) as _, START..START + BYTES, true, generation)
    }

    fn backend() -> Arc<InMemoryBackend> {
        let backend = InMemoryBackend::new();
        backend.set_len(START + BYTES + PAGE).unwrap();
        Arc::new(backend)
    }

    fn record(len: usize, byte: u8) -> Vec<u8> {
        [vec![0; HEAD_BYTES], vec![byte; len]].concat()
    }

    fn all(log: &mut Log) -> io::Result<Vec<(u64, Vec<u8>)>> {
        let mut records = Vec::new();
        while let Some((number, record)) = log.read()? {
            records.push((number, record[HEAD_BYTES..].to_vec()));
        }
        Ok(records)
    }

    /// Lengths below, at and above what fills a page.
    const LENS: [usize; 5] = [1, PAGE_BYTES - HEAD_BYTES, PAGE_BYTES, 0, 9_000];

    fn filled(backend: &Arc<InMemoryBackend>, generation: u64) -> Vec<(u64, Vec<u8>)> {
        let mut log = log(backend, generation);
        for (number, len) in LENS.into_iter().enumerate() {
            log.append(record(len, b'a' + u8::try_from(number).unwrap())).write().unwrap();
            log.sync().unwrap();
        }
        let records = LENS.into_iter().zip(b'a'..).map(|(len, byte)| vec![byte; len]);
        (0..).zip(records).collect()
    }

    #[test]
    fn what_was_appended_is_read_in_order_and_what_follows_goes_behind_it() {
        let backend = backend();
        let expected = filled(&backend, 7);
        let mut again = log(&backend, 7);
        assert_eq!(all(&mut again).unwrap(), expected);
        again.append(record(5, b'z')).write().unwrap();
        let last = all(&mut log(&backend, 7)).unwrap().pop();
        assert_eq!(last, Some((LENS.len() as u64, vec![b'z'; 5])));
        let mut untouched = [1; PAGE_BYTES];
        backend.read(0, &mut untouched).unwrap();
        assert_eq!(untouched, [0; PAGE_BYTES]);
        backend.read(START + BYTES, &mut untouched).unwrap();
        assert_eq!(untouched, [0; PAGE_BYTES]);
    }

    #[test]
    fn memory_of_a_record_is_used_again() {
        let mut log = log(&backend(), 1);
        log.append(record(1, 1)).write().unwrap();
        let spare = log.spare();
        assert!(spare.capacity() >= PAGE_BYTES && log.spare().capacity() == 0);
    }

    #[test]
    fn a_late_sync_says_nothing_of_the_next_filling() {
        let mut log = log(&backend(), 1);
        let mut late = log.append(record(1, 1));
        late.write().unwrap();
        log.restart(2);
        log.append(record(1, 2)).write().unwrap();
        late.sync().unwrap();
        assert!(!log.is_synced());
        log.sync().unwrap();
        assert!(log.is_synced());
    }

    #[test]
    fn an_older_filling_is_never_read() {
        let backend = backend();
        filled(&backend, 7);
        assert_eq!(all(&mut log(&backend, 8)).unwrap(), []);
        let mut anew = log(&backend, 7);
        all(&mut anew).unwrap();
        anew.restart(8);
        anew.append(record(1, b'n')).write().unwrap();
        // The record behind it is number 1 too, of the filling before.
        assert_eq!(all(&mut log(&backend, 8)).unwrap(), [(0, vec![b'n'])]);
    }

    #[test]
    fn a_last_record_that_is_torn_is_no_record_and_a_damaged_one_before_others_is_an_error() {
        for (number, _) in LENS.into_iter().enumerate() {
            let backend = backend();
            let expected = filled(&backend, 3);
            let mut reader = log(&backend, 3);
            for _ in 0..number {
                reader.read().unwrap().unwrap();
            }
            // The hash: every record has one.
            backend.write(reader.at + HEAD_BYTES as u64 - 1, &[0xee]).unwrap();
            let read = all(&mut log(&backend, 3));
            if number + 1 == LENS.len() {
                assert_eq!(read.unwrap(), expected[..number]);
            } else {
                assert_eq!(read.unwrap_err().kind(), io::ErrorKind::InvalidData);
            }
        }
    }

    #[test]
    fn records_that_were_never_synced_prove_nothing() {
        let backend = backend();
        let mut writer = log(&backend, 1);
        for byte in [1, 2, 3] {
            writer.append(record(10, byte)).write().unwrap();
        }
        assert!(!writer.is_synced());
        // Power was lost: the second never reached the disk, the third did.
        backend.write(START + PAGE, &[0; HEAD_BYTES]).unwrap();
        assert_eq!(all(&mut log(&backend, 1)).unwrap(), [(0, vec![1; 10])]);
    }

    #[test]
    fn room_is_what_one_more_record_may_take() {
        let backend = backend();
        let mut log = log(&backend, 1);
        log.append(record(PAGE_BYTES, 1)).write().unwrap();
        let room = log.room();
        log.append(record(room - HEAD_BYTES, 2)).write().unwrap();
        assert_eq!((log.room(), log.is_used(1)), (0, true));
        assert_eq!(all(&mut self::log(&backend, 1)).unwrap().len(), 2);
    }

    #[test]
    fn a_torn_record_is_an_error_only_where_a_later_one_vouches_for_it() {
        let backend = backend();
        let mut writer = log(&backend, 1);
        writer.append(record(10, 1)).write().unwrap();
        writer.sync().unwrap();
        for byte in [2, 3] {
            writer.append(record(10, byte)).write().unwrap();
        }
        // The third knows the first alone to be durable.
        backend.write(START + PAGE, &[0; HEAD_BYTES]).unwrap();
        assert_eq!(all(&mut log(&backend, 1)).unwrap(), [(0, vec![1; 10])]);
        backend.write(START, &[0; HEAD_BYTES]).unwrap();
        assert!(all(&mut log(&backend, 1)).is_err());
    }

    #[test]
    fn a_record_that_ends_behind_the_log_is_none() {
        let backend = backend();
        let most = usize::try_from(BYTES).unwrap() - HEAD_BYTES;
        for (len, whole) in [(most, true), (most + 1, false), (most + 2 * HEAD_BYTES, false)] {
            let mut head = RecordHead { generation: 1, number: 0, synced: 0, len, hash: [0; 32] };
            head.hash = head.hash_of(&vec![7; len]);
            let bytes = [&head.fields()[..], &head.hash, &vec![7; len]].concat();
            backend.write(START, &bytes).unwrap();
            assert_eq!(all(&mut log(&backend, 1)).unwrap().len(), usize::from(whole), "{len}");
        }
    }

    #[test]
    fn blocks_are_allocated_so_far_ahead_and_only_where_they_are_not() {
        let (size, range) = (4 * AHEAD_BYTES, START..3 * AHEAD_BYTES);
        let filled = |at: u64, backend: &InMemoryBackend| {
            let mut byte = [0];
            backend.read(at, &mut byte).unwrap();
            byte[0] == 0xee
        };
        for writes_ahead in [true, false] {
            let backend = Arc::new(InMemoryBackend::new());
            backend.set_len(size).unwrap();
            backend.write(0, &vec![0xee; usize::try_from(size).unwrap()]).unwrap();
            let mut log = Log::new(Arc::clone(&backend) as _, range.clone(), writes_ahead, 1);
            log.append(record(1, 1)).write().unwrap();
            let ahead = START + PAGE + AHEAD_BYTES;
            let found = [START - 1, START + PAGE, ahead - 1, ahead].map(|at| filled(at, &backend));
            assert_eq!(found, [true, !writes_ahead, !writes_ahead, true]);
            // What is allocated is not written again.
            log.append(record(usize::try_from(AHEAD_BYTES).unwrap() - HEAD_BYTES, 2))
                .write()
                .unwrap();
            assert!(filled(ahead, &backend));
            log.append(record(1, 3)).write().unwrap();
            assert_eq!(filled(ahead + PAGE, &backend), !writes_ahead);
            // No further than the log.
            log.append(record(log.room() - 2 * PAGE_BYTES, 4)).write().unwrap();
            assert!(filled(range.end, &backend));
        }
    }

    #[test]
    fn a_part_is_used_from_its_last_page_on() {
        let backend = backend();
        let mut log = log(&backend, 1);
        for used in 1..=16 {
            log.append(record(1, 1)).write().unwrap();
            let found = [1, 2, 4].map(|part| log.is_used(part));
            assert_eq!(found, [used == 16, used >= 8, used >= 4], "{used} pages");
        }
        log.restart(2);
        assert!(!log.is_used(16) && log.is_synced());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_given_back_is_what_lies_behind_the_last_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let bytes = usize::try_from(START + BYTES + PAGE).unwrap();
        for writes_ahead in [true, false] {
            std::fs::write(&path, vec![0xee; bytes]).unwrap();
            let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
            let backend = Arc::new(redb::backends::FileBackend::new(file).unwrap());
            let mut log = Log::new(backend, START..START + BYTES, writes_ahead, 1);
            log.append(record(5, 1)).write().unwrap();
            log.give_back(&path);
            let found = std::fs::read(&path).unwrap();
            let (before, behind) = found.split_at(PAGE_BYTES * 2);
            let (given, after) = behind.split_at(behind.len() - PAGE_BYTES);
            assert!(before[..PAGE_BYTES].iter().chain(after).all(|byte| *byte == 0xee));
            assert_eq!(before[PAGE_BYTES + HEAD_BYTES..][..5], [1; 5]);
            assert!(
                given.iter().all(|byte| *byte == 0),
                "a file system that takes no blocks back?"
            );
            assert_eq!(found.len(), bytes);
        }
    }
}
