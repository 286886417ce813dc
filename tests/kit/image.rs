//! The bytes of a disk in pages that copies share until one of them writes: of thousands of images each costs
//! what it differs in.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

/// What the operating system caches and writes back whole.
pub const PAGE_BYTES: usize = 4096;

type Page = [u8; PAGE_BYTES];

static ZEROS: LazyLock<Arc<Page>> = LazyLock::new(|| Arc::new([0; PAGE_BYTES]));

/// Bytes of a disk. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// What is behind the length in the last one is zero.
    pages: Vec<Arc<Page>>,
    len: usize,
}

impl From<Vec<u8>> for Image {
    fn from(bytes: Vec<u8>) -> Self {
        let mut image = Self::default();
        image.resize(bytes.len());
        image.write(0, &bytes);
        image
    }
}

impl Image {
    /// How many bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All bytes in one piece.
    pub fn to_vec(&self) -> Vec<u8> {
        self.read(0..self.len)
    }

    /// Some of the bytes; those behind the end are left out.
    pub fn read(&self, range: Range<usize>) -> Vec<u8> {
        let mut bytes = vec![0; range.end.min(self.len).saturating_sub(range.start)];
        self.read_into(range.start, &mut bytes);
        bytes
    }

    /// Fills `out` with what stands there; false where that is behind the end.
    pub fn read_into(&self, at: usize, out: &mut [u8]) -> bool {
        if at + out.len() > self.len {
            return false;
        }
        for (page, within, part) in parts(at, out.len()) {
            out[part].copy_from_slice(&self.pages[page][within]);
        }
        true
    }

    /// Cuts off, or grows by zeros.
    pub fn resize(&mut self, len: usize) {
        self.pages.resize(len.div_ceil(PAGE_BYTES), Arc::clone(&ZEROS));
        if len < self.len
            && let (Some(last), within @ 1..) = (self.pages.last_mut(), len % PAGE_BYTES)
        {
            Arc::make_mut(last)[within..].fill(0);
        }
        self.len = len;
    }

    /// Writes as much as there is room for.
    pub fn write(&mut self, at: usize, bytes: &[u8]) {
        let room = self.len.saturating_sub(at).min(bytes.len());
        for (page, within, part) in parts(at, room) {
            Arc::make_mut(&mut self.pages[page])[within].copy_from_slice(&bytes[part]);
        }
    }

    /// Takes over the pages that the bytes of this range lie in, and grows where it has not got that far.
    pub fn take_pages(&mut self, from: &Self, range: Range<usize>) {
        let pages = range.start / PAGE_BYTES..range.end.div_ceil(PAGE_BYTES).min(from.pages.len());
        self.resize(self.len.max(from.len.min(pages.end * PAGE_BYTES)));
        for page in pages {
            self.pages[page] = Arc::clone(&from.pages[page]);
        }
    }
}

/// Pages a run of bytes lies in: each with the part of it, and the part of the run.
fn parts(at: usize, len: usize) -> impl Iterator<Item = (usize, Range<usize>, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let (page, from) = ((at + done) / PAGE_BYTES, (at + done) % PAGE_BYTES);
        let count = (PAGE_BYTES - from).min(len - done);
        let part = done..done + count;
        done = part.end;
        (count > 0).then_some((page, from..from + count, part))
    })
}
