//! How the bytes of a store are laid out: a page that says what they are, the log, and redb's own.

use std::io;
use std::sync::Arc;

use redb::StorageBackend;

use super::switch::delegate_locks;
use crate::encode;

/// What every store begins with.
const MAGIC: [u8; 8] = *b"treering";
/// Version of this layout.
const VERSION: u32 = 1;
/// What is read and written whole, and what everything begins at a multiple of.
pub(super) const PAGE_BYTES: usize = 4096;
/// Magic, version, bytes of the log; a hash of these follows.
const FIELDS_BYTES: usize = 8 + 4 + 8;
const HASH_BYTES: usize = 16;
/// More than any log is made of: a damaged length is not believed.
const MOST_LOG_BYTES: u64 = 1 << 30;

/// Where the parts of a store are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    log_bytes: u64,
}

impl Layout {
    /// With a log of about so many bytes.
    pub(super) fn new(log_bytes: u64) -> Self {
        let page = PAGE_BYTES as u64;
        Self { log_bytes: log_bytes.clamp(page, MOST_LOG_BYTES) / page * page }
    }

    /// What the first page of a store says; `None` where it is none.
    pub(super) fn read(page: &[u8]) -> Option<Self> {
        let (fields, hash) = page.get(..FIELDS_BYTES + HASH_BYTES)?.split_at(FIELDS_BYTES);
        let (magic, rest) = fields.split_first_chunk::<8>()?;
        let (version, log_bytes) = rest.split_first_chunk::<4>()?;
        let layout = Self::new(u64::from_le_bytes(log_bytes.try_into().ok()?));
        let is_ours = *magic == MAGIC && u32::from_le_bytes(*version) == VERSION;
        (is_ours && hash == hash_of(fields) && layout.fields() == fields).then_some(layout)
    }

    fn fields(self) -> [u8; FIELDS_BYTES] {
        let mut fields = [0; FIELDS_BYTES];
        fields[..8].copy_from_slice(&MAGIC);
        fields[8..12].copy_from_slice(&VERSION.to_le_bytes());
        fields[12..].copy_from_slice(&self.log_bytes.to_le_bytes());
        fields
    }

    /// Gives empty bytes this layout, durable when it returns.
    pub(super) fn write(self, backend: &dyn StorageBackend) -> io::Result<()> {
        backend.set_len(self.database_at())?;
        let fields = self.fields();
        let mut page = [0; PAGE_BYTES];
        page[..FIELDS_BYTES].copy_from_slice(&fields);
        page[FIELDS_BYTES..FIELDS_BYTES + HASH_BYTES].copy_from_slice(&hash_of(&fields));
        backend.write(0, &page)?;
        backend.sync_data()
    }

    /// The layout of these bytes, which get one where nothing was ever put in them. `None` where they are
    /// something else.
    pub(super) fn of(backend: &dyn StorageBackend, new: Self) -> io::Result<Option<Self>> {
        let len = backend.len()?;
        if len == 0 {
            new.write(backend)?;
            return Ok(Some(new));
        }
        let mut page = [0; PAGE_BYTES];
        if len < PAGE_BYTES as u64 {
            return Ok(None);
        }
        backend.read(0, &mut page)?;
        Ok(Self::read(&page).filter(|layout| layout.database_at() < len))
    }

    /// Where the log is.
    pub(super) fn log(self) -> std::ops::Range<u64> {
        PAGE_BYTES as u64..self.database_at()
    }

    /// Where redb's bytes begin.
    pub(super) fn database_at(self) -> u64 {
        PAGE_BYTES as u64 + self.log_bytes
    }
}

fn hash_of(fields: &[u8]) -> [u8; HASH_BYTES] {
    let mut hash = [0; HASH_BYTES];
    hash.copy_from_slice(&encode::hash(&[fields])[..HASH_BYTES]);
    hash
}

/// The bytes from an offset on, as redb sees them.
#[derive(Clone, Debug)]
pub(super) struct Region {
    pub(super) backend: Arc<dyn StorageBackend>,
    pub(super) start: u64,
}

impl Region {
    #[allow(clippy::unnecessary_wraps, reason = "what delegates locks may fail")]
    fn under(&self) -> io::Result<&dyn StorageBackend> {
        Ok(&*self.backend)
    }
}

impl StorageBackend for Region {
    fn len(&self) -> io::Result<u64> {
        Ok(self.backend.len()?.saturating_sub(self.start))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.backend.read(self.start.saturating_add(offset), out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.backend.set_len(self.start.saturating_add(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.backend.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.backend.write(self.start.saturating_add(offset), data)
    }

    fn close(&self) -> io::Result<()> {
        self.backend.close()
    }

    delegate_locks!();
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;

    const PAGE: u64 = PAGE_BYTES as u64;

    fn backend(page: &[u8], len: u64) -> InMemoryBackend {
        let backend = InMemoryBackend::new();
        backend.set_len(len).unwrap();
        backend.write(0, page).unwrap();
        backend
    }

    fn page(layout: Layout) -> Vec<u8> {
        let backend = InMemoryBackend::new();
        layout.write(&backend).unwrap();
        assert_eq!(backend.len().unwrap(), layout.database_at());
        let mut page = vec![0; PAGE_BYTES];
        backend.read(0, &mut page).unwrap();
        page
    }

    #[test]
    fn a_log_is_of_whole_pages_one_at_least_and_a_gibibyte_at_most() {
        let bytes = [(0, PAGE), (PAGE + 1, PAGE), (3 * PAGE, 3 * PAGE), (u64::MAX, 1 << 30)];
        for (asked, log_bytes) in bytes {
            let layout = Layout::new(asked);
            assert_eq!(layout.log(), PAGE..PAGE + log_bytes);
            assert_eq!(layout.database_at(), PAGE + log_bytes);
            assert_eq!(Layout::read(&page(layout)), Some(layout));
        }
    }

    #[test]
    fn a_page_with_any_damage_or_of_another_version_says_nothing() {
        let whole = page(Layout::new(2 * PAGE));
        for at in 0..FIELDS_BYTES + HASH_BYTES {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x20;
            assert_eq!(Layout::read(&damaged), None, "byte {at}");
            assert_eq!(Layout::read(&whole[..at]), None, "{at} bytes");
        }
        // A hash that is right proves no other magic, version or length that no store has.
        for (at, byte) in [(0, b'T'), (8, 2), (12, 1)] {
            let mut other = whole.clone();
            other[at] = byte;
            let hash = hash_of(&other[..FIELDS_BYTES]);
            other[FIELDS_BYTES..FIELDS_BYTES + HASH_BYTES].copy_from_slice(&hash);
            assert_eq!(Layout::read(&other), None, "byte {at}");
        }
    }

    #[test]
    fn bytes_that_end_before_redb_begins_are_no_store_and_none_at_all_become_one() {
        let layout = Layout::new(2 * PAGE);
        let whole = page(layout);
        let of = |len: u64| {
            let page = &whole[..usize::try_from(len.min(PAGE)).unwrap()];
            Layout::of(&backend(page, len), Layout::new(PAGE)).unwrap()
        };
        assert_eq!(of(layout.database_at() + 1), Some(layout));
        assert_eq!([of(layout.database_at()), of(PAGE), of(PAGE - 1), of(1)], [None; 4]);
        let empty = InMemoryBackend::new();
        assert_eq!(Layout::of(&empty, layout).unwrap(), Some(layout));
        let mut written = vec![0; PAGE_BYTES];
        empty.read(0, &mut written).unwrap();
        assert_eq!(written, whole);
    }
}
