//! A prototype: a checksummed log of pages under redb. Between two syncs writes gather in memory; a sync
//! puts them in the log as one record, in one run of bytes, and syncs the log alone. Pages go to the
//! store's file when the log is full. What a crash leaves is always the state at some sync, whatever order
//! a drive writes in: a commit needs one sync then and not two. Measured, not for use: it takes no lock,
//! and stands still while pages go to the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use treering_tree::StorageBackend;

/// Bytes of the log before its pages go to the file.
const LOG_BYTES: u64 = 32 << 20;
/// Salt, bytes, hash.
const HEAD_BYTES: usize = 8 + 8 + 16;

const PAGE_BYTES: usize = 4096;

/// Whole pages, by page number.
type Pages = BTreeMap<u64, Vec<u8>>;

#[derive(Debug)]
struct State {
    /// Written since the last sync.
    fresh: Pages,
    /// In the log and not in the file.
    logged: Pages,
    len: u64,
    at: u64,
    /// Tells records of this filling of the log from those of the one before.
    salt: u64,
}

/// A file behind a log of pages.
#[derive(Debug)]
pub struct PageLog {
    file: File,
    log: File,
    state: Mutex<State>,
}

fn page_of(offset: u64) -> (u64, usize) {
    let page = PAGE_BYTES as u64;
    (offset / page, usize::try_from(offset % page).unwrap())
}

fn hash(salt: u64, body: &[u8]) -> [u8; 16] {
    let mut hash = blake3::Hasher::new();
    hash.update(&salt.to_le_bytes()).update(body);
    let mut half = [0; 16];
    half.copy_from_slice(&hash.finalize().as_bytes()[..16]);
    half
}

impl PageLog {
    /// Opens both files; records that a crash left go to the file first.
    pub fn open(path: &Path) -> Self {
        let open = |path: &Path| {
            File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap()
        };
        let (file, log) = (open(path), open(&path.with_extension("log")));
        let len = file.metadata().unwrap().len();
        let state = State { fresh: Pages::new(), logged: Pages::new(), len, at: 0, salt: 1 };
        let opened = Self { file, log, state: Mutex::new(state) };
        if opened.log.metadata().unwrap().len() < LOG_BYTES {
            let zeros = vec![0; 1 << 20];
            for at in (0..LOG_BYTES).step_by(1 << 20) {
                opened.log.write_all_at(&zeros, at).unwrap();
            }
            opened.log.sync_all().unwrap();
        }
        opened.replay().unwrap();
        opened
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Takes every whole record of the newest filling, in order, up to the first that is none.
    fn replay(&self) -> io::Result<()> {
        let mut state = self.state();
        let mut first = [0; 8];
        self.log.read_exact_at(&mut first, 0)?;
        state.salt = u64::from_le_bytes(first).max(1);
        while let Some(body) = self.record(state.at, state.salt)? {
            state.at += (HEAD_BYTES + body.len()) as u64;
            let (len, mut rest) = body.split_first_chunk::<8>().unwrap();
            state.len = u64::from_le_bytes(*len);
            while let Some((number, after)) = rest.split_first_chunk::<8>() {
                let (page, after) = after.split_at(PAGE_BYTES);
                state.logged.insert(u64::from_le_bytes(*number), page.to_vec());
                rest = after;
            }
        }
        self.empty(&mut state)
    }

    fn record(&self, at: u64, salt: u64) -> io::Result<Option<Vec<u8>>> {
        let mut head = [0; HEAD_BYTES];
        if self.log.read_exact_at(&mut head, at).is_err() || head[..8] != salt.to_le_bytes() {
            return Ok(None);
        }
        let len = u64::from_le_bytes(head[8..16].try_into().unwrap());
        if at + HEAD_BYTES as u64 + len > LOG_BYTES {
            return Ok(None);
        }
        let mut body = vec![0; usize::try_from(len).unwrap()];
        self.log.read_exact_at(&mut body, at + HEAD_BYTES as u64)?;
        Ok((head[16..] == hash(salt, &body)).then_some(body))
    }

    /// A page as it is now.
    fn page(&self, state: &State, number: u64) -> io::Result<Vec<u8>> {
        if let Some(page) = state.fresh.get(&number).or_else(|| state.logged.get(&number)) {
            return Ok(page.clone());
        }
        let mut page = vec![0; PAGE_BYTES];
        let mut done = 0;
        // What lies past the end of the file is zero.
        while done < PAGE_BYTES {
            let at = number * PAGE_BYTES as u64 + done as u64;
            match self.file.read_at(&mut page[done..], at)? {
                0 => break,
                read => done += read,
            }
        }
        Ok(page)
    }

    /// Puts the pages of the log into the file, durably, and begins the log anew.
    fn empty(&self, state: &mut State) -> io::Result<()> {
        if state.len > self.file.metadata()?.len() {
            self.file.set_len(state.len)?;
        }
        for (number, page) in &state.logged {
            self.file.write_all_at(page, number * PAGE_BYTES as u64)?;
        }
        self.file.sync_data()?;
        state.logged.clear();
        (state.at, state.salt) = (0, state.salt + 1);
        Ok(())
    }
}

impl StorageBackend for PageLog {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        let mut done = 0;
        while done < out.len() {
            let (number, within) = page_of(offset + done as u64);
            let len = (PAGE_BYTES - within).min(out.len() - done);
            let page = self.page(&state, number)?;
            out[done..done + len].copy_from_slice(&page[within..within + len]);
            done += len;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.state().len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state();
        let mut body = state.len.to_le_bytes().to_vec();
        for (number, page) in &state.fresh {
            body.extend(number.to_le_bytes());
            body.extend(page);
        }
        let mut record = Vec::with_capacity(HEAD_BYTES + body.len());
        record.extend(state.salt.to_le_bytes());
        record.extend((body.len() as u64).to_le_bytes());
        record.extend(hash(state.salt, &body));
        record.extend(&body);
        let fresh = std::mem::take(&mut state.fresh);
        if record.len() as u64 > LOG_BYTES {
            // Too much for the log at once: straight to the file.
            state.logged.extend(fresh);
            return self.empty(&mut state);
        }
        if state.at + record.len() as u64 > LOG_BYTES {
            self.empty(&mut state)?;
            record[..8].copy_from_slice(&state.salt.to_le_bytes());
            let hash = hash(state.salt, &record[HEAD_BYTES..]);
            record[16..HEAD_BYTES].copy_from_slice(&hash);
        }
        self.log.write_all_at(&record, state.at)?;
        self.log.sync_data()?;
        state.at += record.len() as u64;
        state.logged.extend(fresh);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let mut done = 0;
        while done < data.len() {
            let (number, within) = page_of(offset + done as u64);
            let len = (PAGE_BYTES - within).min(data.len() - done);
            let piece = &data[done..done + len];
            if len == PAGE_BYTES {
                state.fresh.insert(number, piece.to_vec());
            } else {
                let mut page = self.page(&state, number)?;
                page[within..within + len].copy_from_slice(piece);
                state.fresh.insert(number, page);
            }
            done += len;
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.sync_data()?;
        self.empty(&mut self.state())
    }
}
