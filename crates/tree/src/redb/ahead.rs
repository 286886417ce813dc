//! Writes zeros ahead of what redb uses of a file, so that a commit's sync finds its blocks allocated:
//! on a journalling file system a sync that allocates must commit the journal too, and costs twice or
//! more. Useless on copy-on-write file systems, where [`Options::write_ahead`](super::Options) says no.

use std::io;
use std::sync::{PoisonError, RwLock};

use redb::StorageBackend;

use super::layout::Region;
use super::switch::delegate_locks;

/// A quarter of what is used, but at least and at most this many bytes ahead.
const LEAST_BYTES: u64 = 1 << 20;
const MOST_BYTES: u64 = 16 << 20;
/// Bytes looked at, and written, at a time.
const STEP_BYTES: u64 = 64 << 10;

/// A file whose blocks exist before redb writes to them.
#[derive(Debug)]
pub(super) struct Ahead {
    file: Region,
    /// Everything below is allocated, as far as this handle knows. Writers share it; who moves it
    /// keeps them out.
    reach: RwLock<u64>,
}

impl Ahead {
    pub(super) fn new(file: Region) -> Self {
        Self { file, reach: RwLock::new(0) }
    }

    #[allow(clippy::unnecessary_wraps, reason = "what delegates locks may fail")]
    fn under(&self) -> io::Result<&dyn StorageBackend> {
        Ok(&self.file)
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

    delegate_locks!();
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_was_written_stays_and_the_rest_is_zero() {
        let file = tempfile::tempfile().unwrap();
        let backend = Arc::new(redb::backends::FileBackend::new(file).unwrap());
        let backend = Ahead::new(Region { backend, start: 0 });
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
