//! `rewrite`: makes the file of a store anew, with what the store holds and nothing else. Gives space
//! back, and takes from the disk what was erased: redb leaves old bytes in pages that are free.

use std::path::Path;

use super::file::Place as Where;
use super::open::Resumed;
use super::publish::{Taken, publish};
use super::tables::{MetaRow, ReadTables, WriteTables, copy_all};
use super::{Open, Options, RedbStore, Sharing, shrink};
use crate::encode;
use crate::encrypt::Encrypt;
use crate::error::Result;

/// What rewriting did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct RewriteReport {
    /// Entries, each hashed on the way.
    pub entries: u64,
    /// Bytes of the file before.
    pub bytes_before: u64,
    /// Bytes of the file now.
    pub bytes_after: u64,
}

impl RedbStore {
    /// Rewrites the file of a store that nobody has open; blocks until it is done. The new file takes the
    /// place of the old one when it is whole and durable: an interruption at any point leaves the store
    /// as it was, and at most a stray `.NAME.*.new`. `progress` hears of entries done and in all.
    ///
    /// What the file system or the drive keeps of the old file's blocks is beyond reach.
    ///
    /// # Errors
    /// `NotFound` where there is no store, `Locked`, `Corrupt` where an entry is damaged (see
    /// [`RedbStore::recover`]), `Storage`.
    pub fn rewrite(
        path: impl AsRef<Path>,
        options: &Options,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<RewriteReport> {
        rewrite(path.as_ref(), options, None, progress)
    }

    /// Gives an encrypted store that nobody has open another master key: every session's key is wrapped anew,
    /// no body is sealed anew. The file is rewritten, since redb leaves the old rows in pages that are free.
    ///
    /// # Errors
    /// As [`RedbStore::rewrite`]; `Key` where the store is not encrypted, or `options` bring another key than
    /// its present one.
    pub fn rotate_key(
        path: impl AsRef<Path>,
        options: &Options,
        to: &dyn Encrypt,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<RewriteReport> {
        rewrite(path.as_ref(), options, Some(to), progress)
    }
}

fn rewrite(
    path: &Path,
    options: &Options,
    rotate_to: Option<&dyn Encrypt>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<RewriteReport> {
    let bytes = || std::fs::metadata(path).map_or(0, |meta| meta.len());
    if !path.exists() {
        let name = path.display().to_string();
        return Err(crate::error::Error::NotFound { what: "store", name });
    }
    let bytes_before = bytes();
    let options = &options.clone().sharing(Sharing::Exclusive);
    let (old, Resumed { counters, .. }) = Open::new(&Where::File(path.to_owned()), options)?;
    publish(path, options, Taken::Replaced, |temporary| {
        let options = options.clone().write_ahead(false);
        let (mut new, _) = Open::new(&Where::File(temporary.to_owned()), &options)?;
        old.guarded(|| {
            use redb::ReadableDatabase;
            let from = ReadTables::open(old.database()?.begin_read()?)?;
            let mut txn = new.database()?.begin_write()?;
            txn.set_two_phase_commit(true);
            txn.set_quick_repair(true);
            let mut to = WriteTables::open(&txn)?;
            let check = |number, frame: &[u8]| {
                let id = from.place_at(number)?.id;
                let entry = encode::unframe(frame, &id, || from.id_before(number), shrink::expand)?;
                old.keyring.opened(&from, entry)?;
                progress(number + 1, counters.entries);
                Ok(())
            };
            let meta = |row: MetaRow<'_>| match rotate_to {
                Some(master) => old.keyring.rewrapped(row, master),
                None => Ok(row.bytes().to_vec()),
            };
            copy_all(&from, &mut to, check, meta)?;
            drop(to);
            Ok(txn.commit()?)
        })?;
        // redb doubles a file that grows: gives back what the copy left free.
        new.compact()
    })?;
    Ok(RewriteReport { entries: counters.entries, bytes_before, bytes_after: bytes() })
}
