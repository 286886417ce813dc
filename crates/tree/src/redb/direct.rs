//! Writes redb's pages in long runs past the kernel's page cache (`O_DIRECT`). redb keeps the pages it wrote in memory
//! itself, so a second copy in the page cache is seldom read; and to make it costs more than to write, most of all where
//! that memory was never touched, as in a virtual machine that gets its memory as it uses it.
//!
//! Between two syncs pages are gathered, which redb writes one by one and in no order. What is read sees them; what is
//! written over them, is no whole page, or finds no room comes behind them; the sync makes them durable or fails. What
//! file system or device do not take goes through the page cache, as all does where there is no file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IoSlice, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use redb::StorageBackend;

use super::layout::{PAGE_BYTES, Region};
use super::switch::{Switch, delegate_locks};

/// Gathered at most: what a checkpoint of a log of the usual length writes, or little less.
const MOST_BYTES: usize = 4 << 20;
/// A sync of less leaves it in the page cache, from which a store that is opened again reads it.
const LEAST_BYTES: usize = 1 << 20;
/// A shorter run costs a wait for the device, which many writes through the page cache share.
const LEAST_RUN_BYTES: usize = 16 << 10;
/// Pieces that one call takes (`IOV_MAX` of Linux).
const MOST_PIECES: usize = 1_024;
/// More than the page cache keeps as one. What is written past it is dropped from it, which fails where somebody
/// writes to a neighbour meanwhile: here, the log's writer behind the end of the log.
const APART_BYTES: u64 = 2 << 20;

const PAGE: u64 = PAGE_BYTES as u64;

/// Bytes for redb, whose large commits go past the page cache.
#[derive(Debug)]
pub(super) struct Direct {
    region: Region,
    switch: Switch,
    /// The way past the page cache, until it is refused. Whoever writes anything holds it.
    past: Mutex<Option<Past>>,
    gathered: RwLock<Gathered>,
}

/// The same file, open for writes past the page cache.
#[derive(Debug)]
struct Past {
    file: File,
    /// Whether the page cache was seen to find what went past it.
    is_found: bool,
}

/// What was written and has not come to the file.
#[derive(Debug, Default)]
struct Gathered {
    /// The pages in the order in which they came, behind what makes the first one lie as the device needs it.
    bytes: Vec<u8>,
    /// Where they are among the bytes, by where they belong. None overlaps another.
    pieces: BTreeMap<u64, Range<usize>>,
}

/// Pieces that follow each other in the file.
struct Run<'a> {
    at: u64,
    bytes: usize,
    pieces: Vec<IoSlice<'a>>,
}

fn end_of(at: u64, bytes: &[u8]) -> u64 {
    at.saturating_add(bytes.len() as u64)
}

impl Gathered {
    /// Takes whole pages for where none are yet, if there is room.
    fn takes(&mut self, offset: u64, data: &[u8]) -> bool {
        let is_whole = offset.is_multiple_of(PAGE) && data.len().is_multiple_of(PAGE_BYTES);
        if !is_whole || self.within(offset..end_of(offset, data)).next().is_some() {
            return false;
        }
        if self.bytes.is_empty() {
            self.bytes.reserve_exact(MOST_BYTES + PAGE_BYTES);
            let lead = self.bytes.as_ptr().align_offset(PAGE_BYTES).min(PAGE_BYTES);
            self.bytes.resize(lead, 0);
        }
        // More would move the bytes to where they do not lie as they must.
        let fits = self.bytes.capacity() - self.bytes.len() >= data.len();
        if fits {
            let from = self.bytes.len();
            self.bytes.extend_from_slice(data);
            self.pieces.insert(offset, from..self.bytes.len());
        }
        fits
    }

    /// The pieces of which a part is in this range, the last one first.
    fn within(&self, range: Range<u64>) -> impl Iterator<Item = (u64, &[u8])> {
        let before_end = self.pieces.range(..range.end).rev();
        let pieces = before_end.map(|(at, piece)| (*at, &self.bytes[piece.clone()]));
        pieces.take_while(move |(at, piece)| end_of(*at, piece) > range.start)
    }

    fn runs(&self) -> Vec<Run<'_>> {
        let mut runs: Vec<Run<'_>> = Vec::new();
        for (&at, piece) in &self.pieces {
            let piece = &self.bytes[piece.clone()];
            match runs.last_mut().filter(|run| run.at + run.bytes as u64 == at) {
                Some(run) if run.pieces.len() < MOST_PIECES => {
                    run.bytes += piece.len();
                    run.pieces.push(IoSlice::new(piece));
                }
                _ => runs.push(Run { at, bytes: piece.len(), pieces: vec![IoSlice::new(piece)] }),
            }
        }
        runs
    }
}

impl Direct {
    /// Over these bytes, which are those of `past` where it is a file.
    pub(super) fn new(region: Region, switch: Switch, past: Option<File>) -> Self {
        let past = past.map(|file| Past { file, is_found: false });
        Self { region, switch, past: Mutex::new(past), gathered: RwLock::default() }
    }

    #[allow(clippy::unnecessary_wraps, reason = "what delegates locks may fail")]
    fn under(&self) -> io::Result<&dyn StorageBackend> {
        Ok(&self.region)
    }

    fn turn(&self) -> MutexGuard<'_, Option<Past>> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gathers(&self, offset: u64, data: &[u8]) -> bool {
        self.gathered.write().unwrap_or_else(PoisonError::into_inner).takes(offset, data)
    }

    /// Writes what was gathered. Where that fails it stays, to be written again.
    fn settle(&self, past: &mut Option<Past>) -> io::Result<()> {
        // Readers see it in either place.
        let gathered = self.gathered.read().unwrap_or_else(PoisonError::into_inner);
        if gathered.pieces.is_empty() {
            return Ok(());
        }
        self.switch.check()?;
        let is_much = gathered.bytes.len() >= LEAST_BYTES;
        for run in gathered.runs() {
            if !(is_much && self.goes_past(&run, past)) {
                self.write_run(&run)?;
            }
        }
        drop(gathered);
        let mut gathered = self.gathered.write().unwrap_or_else(PoisonError::into_inner);
        gathered.pieces.clear();
        gathered.bytes.clear();
        Ok(())
    }

    fn write_run(&self, run: &Run<'_>) -> io::Result<()> {
        let mut at = run.at;
        for piece in &run.pieces {
            self.region.write(at, piece)?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// Whether the run is written; if not, whatever was must be written again. What is refused once is not tried again:
    /// file systems differ in what they ask for, and a full disk has an error for who writes the usual way.
    fn goes_past(&self, run: &Run<'_>, past: &mut Option<Past>) -> bool {
        let start = self.region.start;
        let is_apart = start.saturating_add(run.at) >= start.next_multiple_of(APART_BYTES);
        let Some(open) = past.as_mut().filter(|_| is_apart && run.bytes >= LEAST_RUN_BYTES) else {
            return false;
        };
        let written = self.write_past(run, open);
        if matches!(written, Ok(true)) {
            return true;
        }
        tracing::debug!(?written, bytes = run.bytes, "no more writes past the page cache");
        *past = None;
        false
    }

    /// Whether all of it is written, and found. A file system that does not keep the page cache in step would go on
    /// showing what was there: the first run is looked for where something is kept.
    fn write_past(&self, run: &Run<'_>, past: &mut Past) -> io::Result<bool> {
        let mut last = [0; PAGE_BYTES];
        let last_at = run.at.saturating_add(run.bytes as u64) - PAGE;
        if !past.is_found {
            self.region.read(last_at, &mut last)?;
        }
        past.file.seek(SeekFrom::Start(self.region.start.saturating_add(run.at)))?;
        let is_whole = past.file.write_vectored(&run.pieces)? == run.bytes;
        if !past.is_found {
            self.region.read(last_at, &mut last)?;
            past.is_found = run.pieces.last().is_some_and(|piece| piece.ends_with(&last));
        }
        Ok(is_whole && past.is_found)
    }
}

impl StorageBackend for Direct {
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.switch.check()?;
        let mut past = self.turn();
        if self.gathers(offset, data) {
            return Ok(());
        }
        self.settle(&mut past)?;
        if self.gathers(offset, data) {
            return Ok(());
        }
        self.region.write(offset, data)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = end_of(offset, out);
        let gathered = self.gathered.read().unwrap_or_else(PoisonError::into_inner);
        let Some((at, last)) = gathered.within(offset..end).next() else {
            drop(gathered);
            return self.region.read(offset, out);
        };
        let is_all = at <= offset && end <= end_of(at, last);
        if !is_all {
            self.region.read(offset, out)?;
        }
        for (at, piece) in gathered.within(offset..end) {
            let (from, to) = (at.max(offset), end_of(at, piece).min(end));
            let bytes = |count: u64| usize::try_from(count).unwrap_or(0);
            let part = |base: u64| bytes(from - base)..bytes(to - base);
            out[part(offset)].copy_from_slice(&piece[part(at)]);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.settle(&mut self.turn())?;
        self.region.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.region.len()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.settle(&mut self.turn())?;
        self.region.sync_data()
    }

    /// What no sync came behind was promised to nobody.
    fn close(&self) -> io::Result<()> {
        self.region.close()
    }

    delegate_locks!();
}
