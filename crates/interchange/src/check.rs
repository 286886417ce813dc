//! Tells whether sessions would come out of a store as they went in: loads each into a scratch store,
//! gives it back against its own files, loads it again, and verifies the store.

use std::io::{self, Read, Write};
use std::path::Path;

use serde::Serialize;
use treering_tree::Store;

use crate::error::{Error, Result};
use crate::export::Export;
use crate::files::{Group, SourceFile};
use crate::load::{Options, load_groups};
use crate::report::SessionReport;
use crate::sessions::Sessions;

/// What checking one session came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Its files, the one with the conversation first.
    pub files: Vec<String>,
    /// Size of its files in bytes.
    pub bytes: u64,
    /// What loading it did.
    #[serde(flatten)]
    pub report: SessionReport,
    /// Whether its files come out byte for byte.
    pub is_identical: bool,
    /// Entries that loading it a second time adds.
    pub added_again: u64,
    /// What `verify` finds in the store.
    pub problems: u64,
}

impl Checked {
    /// Whether nothing would be lost, changed or doubled.
    pub fn is_lossless(&self) -> bool {
        self.is_identical && self.added_again == 0 && self.problems == 0
    }
}

impl Sessions {
    /// Checks the session at `index`, from 0, in an empty `store` that nobody wants afterwards; empty
    /// where there is none. Costs two readings of its files, and one of the store.
    ///
    /// # Errors
    /// As [`Sessions::load`].
    pub async fn check(
        &self,
        index: usize,
        store: &dyn Store,
        mut options: Options<'_>,
    ) -> Result<Checked> {
        let Some(group) = self.groups.get(index) else { return Ok(Checked::default()) };
        let report = loaded(group, store, &mut options).await?;
        let is_identical = is_identical(group, store, &report.session).await?;
        let again = loaded(group, store, &mut options).await?;
        let verified = store.verify().await.map_err(Error::tree(&report.session))?;
        Ok(Checked {
            files: group.files.iter().map(SourceFile::shown).collect(),
            bytes: group.bytes(),
            is_identical,
            added_again: again.added,
            problems: verified.problems.len() as u64,
            report,
        })
    }
}

async fn loaded(
    group: &Group,
    store: &dyn Store,
    options: &mut Options<'_>,
) -> Result<SessionReport> {
    let Options { count, format, at_ms, .. } = *options;
    let options = Options { count, format, at_ms, progress: &mut *options.progress };
    let reports = load_groups(store, std::slice::from_ref(group), false, options).await?;
    Ok(reports.into_iter().next().unwrap_or_default())
}

async fn is_identical(group: &Group, store: &dyn Store, session: &str) -> Result<bool> {
    let export = Export::of(store, session).await?;
    let originals: Result<Vec<_>> = group.files.iter().map(SourceFile::open).collect();
    let mut against = Against { originals: originals?, differs: false, buffer: Vec::new() };
    for index in 0..export.files().len() {
        export.write(store, index, &mut against).await?;
    }
    against.read(1).map_err(Error::io(Path::new(session)))?;
    Ok(!against.differs && against.buffer.is_empty())
}

/// Compares what is written with what files hold, one after the other.
struct Against<'a> {
    originals: Vec<Box<dyn Read + Send + 'a>>,
    differs: bool,
    buffer: Vec<u8>,
}

impl Against<'_> {
    /// The next `len` bytes of the originals, fewer at their end.
    fn read(&mut self, len: usize) -> io::Result<()> {
        self.buffer.clear();
        while let Some(first) = self.originals.first_mut() {
            let left = len - self.buffer.len();
            if left == 0 {
                break;
            }
            if first.by_ref().take(left as u64).read_to_end(&mut self.buffer)? < left {
                self.originals.remove(0);
            }
        }
        Ok(())
    }
}

impl Write for Against<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.read(bytes.len())?;
        self.differs |= self.buffer != bytes;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
