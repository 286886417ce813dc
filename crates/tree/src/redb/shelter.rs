//! A backend over bytes that must not be written to: reads go through, what is written stays in memory.
//! redb can then open a file on a disk that refuses writes, mend it for itself, and be read.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock};

use redb::{BackendError, StorageBackend};

use super::layout::PAGE_BYTES;
use super::switch::delegate_locks;

/// Pages kept in memory at most: redb writes a few to mend a file, and more only to a broken one.
const PAGES: usize = 16_384;

/// Any backend, sheltered from writes.
#[derive(Debug)]
pub(super) struct Shelter {
    under: Box<dyn StorageBackend>,
    kept: RwLock<Kept>,
}

#[derive(Debug)]
struct Kept {
    len: u64,
    /// What of the backend below still counts.
    under_len: u64,
    /// Whole pages that were written to, by number.
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Shelter {
    pub(super) fn new(under: Box<dyn StorageBackend>) -> io::Result<Self> {
        let len = under.len()?;
        Ok(Self { under, kept: RwLock::new(Kept { len, under_len: len, pages: BTreeMap::new() }) })
    }

    #[allow(clippy::unnecessary_wraps, reason = "what delegates locks may fail")]
    fn under(&self) -> io::Result<&dyn StorageBackend> {
        Ok(&*self.under)
    }

    /// A page as it is below, zeros behind its end.
    fn below(&self, kept: &Kept, number: u64) -> io::Result<Vec<u8>> {
        let mut page = vec![0; PAGE_BYTES];
        let from = number * PAGE_BYTES as u64;
        let there = kept.under_len.saturating_sub(from);
        let there = usize::try_from(there).unwrap_or(PAGE_BYTES).min(PAGE_BYTES);
        if there > 0 {
            self.under.read(from, &mut page[..there])?;
        }
        Ok(page)
    }
}

/// The parts of pages that `len` bytes from `offset` touch: page, start in it, start in the bytes, bytes.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
    let page = PAGE_BYTES as u64;
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset.checked_add(done as u64).filter(|_| done < len)?;
        let inside = usize::try_from(at % page).unwrap_or(0);
        let part = (at / page, inside, done, (PAGE_BYTES - inside).min(len - done));
        done += part.3;
        Some(part)
    })
}

impl StorageBackend for Shelter {
    fn len(&self) -> io::Result<u64> {
        Ok(self.kept.read().unwrap_or_else(PoisonError::into_inner).len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > kept.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (number, inside, at, len) in parts(offset, out.len()) {
            let out = &mut out[at..at + len];
            match kept.pages.get(&number) {
                Some(page) => out.copy_from_slice(&page[inside..inside + len]),
                None => out.copy_from_slice(&self.below(&kept, number)?[inside..inside + len]),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        let (number, inside) = (len / PAGE_BYTES as u64, len % PAGE_BYTES as u64);
        drop(kept.pages.split_off(&len.div_ceil(PAGE_BYTES as u64)));
        if let Some(page) = kept.pages.get_mut(&number) {
            page[usize::try_from(inside).unwrap_or(0)..].fill(0);
        }
        kept.under_len = kept.under_len.min(len);
        kept.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        for (number, inside, at, len) in parts(offset, data.len()) {
            if !kept.pages.contains_key(&number) {
                if kept.pages.len() >= PAGES {
                    let why = format!("more than {PAGES} pages were written to a sheltered store");
                    return Err(io::Error::new(io::ErrorKind::StorageFull, why));
                }
                let page = self.below(&kept, number)?;
                kept.pages.insert(number, page);
            }
            if let Some(page) = kept.pages.get_mut(&number) {
                page[inside..inside + len].copy_from_slice(&data[at..at + len]);
            }
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.under.close()
    }

    // What is only read is locked against writers alone: a file that is open for reading takes no other lock.
    fn try_lock_range(&self, from: Bound<u64>, to: Bound<u64>) -> Result<bool, BackendError> {
        self.under.try_lock_shared_range(from, to)
    }

    fn lock_range(&self, from: Bound<u64>, to: Bound<u64>) -> Result<(), BackendError> {
        self.under.lock_shared_range(from, to)
    }

    delegate_locks! {
        try_lock_shared_range -> bool;
        lock_shared_range -> ();
        unlock_range -> ();
        query_lock_range -> bool;
    }
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_never_reaches_the_bytes_below() {
        let below = InMemoryBackend::new();
        below.set_len(10_000).unwrap();
        below.write(0, &[7; 10_000]).unwrap();
        let shelter = Shelter::new(Box::new(below)).unwrap();
        shelter.write(4_090, &[1; 12]).unwrap();
        let mut out = [0; 16];
        shelter.read(4_088, &mut out).unwrap();
        assert_eq!(out, [7, 7, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 7, 7]);
        // What is cut off is zeros when the file grows again.
        shelter.set_len(4_094).unwrap();
        shelter.set_len(9_000).unwrap();
        shelter.read(4_088, &mut out).unwrap();
        assert_eq!(out, [7, 7, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert!(shelter.read(8_990, &mut out).is_err());
        let mut untouched = [0; 16];
        shelter.under.read(4_088, &mut untouched).unwrap();
        assert_eq!((untouched, shelter.under.len().unwrap()), ([7; 16], 10_000));
    }
}
