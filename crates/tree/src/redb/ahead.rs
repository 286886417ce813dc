//! Writes zeros ahead of what redb uses of a file, so that a commit's sync finds its blocks allocated:
//! on a journalling file system a sync that allocates must commit the journal too, and costs twice or
//! more. Useless on copy-on-write file systems, where [`Options::write_ahead`](super::Options) says no.

use std::io;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

/// A quarter of what is used, but at least and at most this many bytes ahead.
const LEAST_BYTES: u64 = 1 << 20;
const MOST_BYTES: u64 = 16 << 20;
/// Bytes looked at, and written, at a time.
const STEP_BYTES: u64 = 64 << 10;

/// A file whose blocks exist before redb writes to them.
#[derive(Debug)]
pub(super) struct Ahead {
    file: FileBackend,
    /// Everything below is allocated, as far as this handle knows. Writers share it; who moves it
    /// keeps them out.
    reach: RwLock<u64>,
}

impl Ahead {
    pub(super) fn new(file: FileBackend) -> Self {
        Self { file, reach: RwLock::new(0) }
    }

    /// Moves the reach past `end`. Only bytes that read as zero are written, as zeros: a crash in
    /// the middle changes nothing that can be read.
    fn extend(&self, from: u64, end: u64) -> io::Result<()> {
        let mut reach = self.reach.write().unwrap_or_else(PoisonError::into_inner);
        if end <= *reach {
            return Ok(());
        }
        let ahead = (end / 4).clamp(LEAST_BYTES, MOST_BYTES);
        let to = end.saturating_add(ahead).min(self.file.len()?);
        let mut at = from.max(*reach);
        let mut bytes = vec![0; usize::try_from(STEP_BYTES).unwrap_or(0)];
        while at < to {
            let len = usize::try_from(STEP_BYTES.min(to - at)).unwrap_or(0);
            self.file.read(at, &mut bytes[..len])?;
            if bytes[..len].iter().all(|byte| *byte == 0) {
                self.file.write(at, &bytes[..len])?;
            }
            at += len as u64;
        }
        *reach = to.max(end);
        Ok(())
    }
}

impl StorageBackend for Ahead {
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let end = offset.saturating_add(data.len() as u64);
        loop {
            let reach = self.reach.read().unwrap_or_else(PoisonError::into_inner);
            if end <= *reach {
                return self.file.write(offset, data);
            }
            drop(reach);
            self.extend(offset, end)?;
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut reach = self.reach.write().unwrap_or_else(PoisonError::into_inner);
        *reach = len.min(*reach);
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, from: Bound<u64>, to: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(from, to)
    }

    fn try_lock_shared_range(
        &self,
        from: Bound<u64>,
        to: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(from, to)
    }

    fn lock_range(&self, from: Bound<u64>, to: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(from, to)
    }

    fn lock_shared_range(&self, from: Bound<u64>, to: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(from, to)
    }

    fn unlock_range(&self, from: Bound<u64>, to: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(from, to)
    }

    fn query_lock_range(&self, from: Bound<u64>, to: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(from, to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_stays_and_the_rest_is_zero() {
        let file = tempfile::tempfile().unwrap();
        let backend = Ahead::new(FileBackend::new(file).unwrap());
        backend.set_len(8 << 20).unwrap();
        // Going back below the first write, past its end, over a step's edge, to the end.
        let writes: [(u64, &[u8]); 4] = [
            (3 << 20, b"middle"),
            (10, b"start"),
            ((3 << 20) + STEP_BYTES - 2, b"edge"),
            ((8 << 20) - 3, b"end"),
        ];
        let mut expected = vec![0; 8 << 20];
        for (offset, data) in writes {
            backend.write(offset, data).unwrap();
            let at = usize::try_from(offset).unwrap();
            expected[at..at + data.len()].copy_from_slice(data);
        }
        let mut found = vec![1; 8 << 20];
        backend.read(0, &mut found).unwrap();
        assert!(found == expected, "bytes differ from what was written");
    }
}
