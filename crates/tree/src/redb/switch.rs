//! What redb's bytes pass through: a switch that cuts a database off from them, and the delegation of
//! locks that every backend over another one needs.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::StorageBackend;

/// The lock methods of a [`StorageBackend`], answered by what `self.under()` answers.
macro_rules! delegate_locks {
    () => {
        delegate_locks! {
            try_lock_range -> bool;
            try_lock_shared_range -> bool;
            lock_range -> ();
            lock_shared_range -> ();
            unlock_range -> ();
            query_lock_range -> bool;
        }
    };
    ($($name:ident -> $answer:ty;)*) => {
        $(fn $name(
            &self,
            from: std::ops::Bound<u64>,
            to: std::ops::Bound<u64>,
        ) -> std::result::Result<$answer, redb::BackendError> {
            self.under()?.$name(from, to)
        })*
    };
}
pub(super) use delegate_locks;

/// Cuts a database off from its bytes.
///
/// redb commits once more when it is closed. Over damaged pages that commit can panic twice and take the
/// process with it, and it can make damage worse: a handle that met damage is cut off before it closes.
#[derive(Clone, Debug, Default)]
pub(super) struct Switch(Arc<AtomicBool>);

impl Switch {
    pub(super) fn cut(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(super) fn is_cut(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub(super) fn check(&self) -> io::Result<()> {
        if self.is_cut() {
            return Err(io::Error::other("cut off after damage was met"));
        }
        Ok(())
    }
}

/// Any backend, behind a switch.
#[derive(Debug)]
pub(super) struct Switched {
    backend: Box<dyn StorageBackend>,
    switch: Switch,
}

impl Switched {
    pub(super) fn new(backend: Box<dyn StorageBackend>, switch: Switch) -> Self {
        Self { backend, switch }
    }

    fn under(&self) -> io::Result<&dyn StorageBackend> {
        self.switch.check()?;
        Ok(&*self.backend)
    }
}

impl StorageBackend for Switched {
    fn len(&self) -> io::Result<u64> {
        self.under()?.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.under()?.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.under()?.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.under()?.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.under()?.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.backend.close()
    }

    delegate_locks!();
}
