//! A backend under a store that several processes write to, one at a time. redb marks a commit whose last sync is
//! still to be made, and whoever writes next syncs first: enough where the process that made it was killed, but not
//! where that sync failed, which leaves its pages clean, so that the next one passes them over. Pages of the state
//! before are then overwritten while the disk still holds that state to be the newest one, and a power loss at that
//! moment costs the store. So whoever finds at its turn that another one wrote last writes that again, and syncs.

use std::io;
use std::ops::Bound;
use std::sync::{Mutex, PoisonError};

use redb::{BackendError, StorageBackend};

use super::switch::delegate_locks;

/// What redb locks for as long as a transaction writes.
const WRITER_BYTE: Bound<u64> = Bound::Included(1 << 62);
/// Bytes of redb's header: which state is the newest, and where the two newest ones are.
const HEADER_BYTES: usize = 320;

/// Any backend, made durable at every change of hands.
#[derive(Debug)]
pub(super) struct Turn {
    backend: Box<dyn StorageBackend>,
    /// The header as this process knows it to be durable, or has written it.
    header: Mutex<[u8; HEADER_BYTES]>,
}

impl Turn {
    pub(super) fn new(backend: Box<dyn StorageBackend>) -> Self {
        Self { backend, header: Mutex::new([0; HEADER_BYTES]) }
    }

    #[allow(clippy::unnecessary_wraps, reason = "what delegates locks may fail")]
    fn under(&self) -> io::Result<&dyn StorageBackend> {
        Ok(&*self.backend)
    }

    /// Writes the header that another process wrote once more, and syncs: a sync that failed for that process
    /// has left the page clean, and a mere sync would pass it over.
    fn take_over(&self) -> io::Result<()> {
        let mut now = [0; HEADER_BYTES];
        if self.backend.len()? < HEADER_BYTES as u64 {
            return Ok(());
        }
        self.backend.read(0, &mut now)?;
        let mut known = self.header.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != now {
            self.backend.write(0, &now)?;
            self.backend.sync_data()?;
            *known = now;
        }
        Ok(())
    }
}

impl StorageBackend for Turn {
    fn lock_range(&self, from: Bound<u64>, to: Bound<u64>) -> Result<(), BackendError> {
        self.backend.lock_range(from, to)?;
        if from != WRITER_BYTE {
            return Ok(());
        }
        self.take_over().map_err(|cause| {
            // Nobody gives back what was refused.
            let _ = self.backend.unlock_range(from, to);
            cause.into()
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.backend.write(offset, data)?;
        if offset == 0
            && let Some(header) = data.first_chunk()
        {
            *self.header.lock().unwrap_or_else(PoisonError::into_inner) = *header;
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        self.backend.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.backend.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.backend.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.backend.sync_data()
    }

    fn close(&self) -> io::Result<()> {
        self.backend.close()
    }

    delegate_locks! {
        try_lock_range -> bool;
        try_lock_shared_range -> bool;
        lock_shared_range -> ();
        unlock_range -> ();
        query_lock_range -> bool;
    }
}
