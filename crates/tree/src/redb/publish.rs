//! Gives a file its name once it is whole and durable: a crash at any point leaves what was there before, and
//! at most a temporary file. The steps go through [`Files`], so that a test can cut the power between them;
//! what the file holds is its maker's.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::Options;
use super::file::storage;
use crate::error::{Error, Result};

/// What is done to whole files and their names.
pub(super) trait Files: fmt::Debug + Send + Sync {
    /// Makes the bytes of a file durable.
    fn sync(&self, path: &Path) -> io::Result<()>;
    /// Gives a file a second name, or another one instead; fails where that is taken.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file another name, which what has it loses.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Takes a name away.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in the folder of a file durable.
    fn sync_folder_of(&self, path: &Path) -> io::Result<()>;
}

/// Those of the operating system.
#[derive(Debug)]
pub(super) struct SystemFiles;

impl Files for SystemFiles {
    fn sync(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to).or_else(|cause| match cause.kind() {
            io::ErrorKind::AlreadyExists => Err(cause),
            _ => rename_to_free(from, to),
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder_of(&self, path: &Path) -> io::Result<()> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if cfg!(unix) { self.sync(parent.unwrap_or(Path::new("."))) } else { Ok(()) }
    }
}

/// Gives a file another name where nothing has it yet: what there is where there are no links.
pub(super) fn rename_to_free(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    {
        let _ = (from, to);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// What becomes of a file that has the name already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It stays, and is as good as what was made.
    Stays,
    /// It stays, and that is an error.
    Refused,
    /// It gives way.
    Replaced,
}

/// Makes a file whole and durable under a temporary name, then gives it its own, durably too.
pub(super) fn publish<T>(
    path: &Path,
    options: &Options,
    taken: Taken,
    make: impl FnOnce(&Path) -> Result<T>,
) -> Result<T> {
    let files = &*options.files;
    let doing = |what: &str| format!("{what} {}", path.display());
    let mut suffix = [0; 8];
    options.sources.fill(&mut suffix);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let temporary = path.with_file_name(format!(".{name}.{:016x}.new", u64::from_le_bytes(suffix)));
    let made = (|| {
        let made = make(&temporary)?;
        files.sync(&temporary).map_err(|cause| storage(&doing("syncing"), cause))?;
        let rename = || files.rename(&temporary, path);
        let named = if taken == Taken::Replaced {
            rename()
        } else {
            // It fails where the name is taken: of two creators one wins. A file system that has no way to find
            // out gets a mere renaming, where the later one does.
            match files.link(&temporary, path) {
                Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
                    if taken == Taken::Refused {
                        let name = path.display().to_string();
                        return Err(Error::Exists { what: "store", name });
                    }
                    Ok(())
                }
                Err(_) => rename(),
                Ok(()) => Ok(()),
            }
        };
        named.map_err(|cause| storage(&doing("naming"), cause))?;
        let synced = files.sync_folder_of(path);
        synced.map_err(|cause| storage(&doing("syncing the folder of"), cause))?;
        Ok(made)
    })();
    // Gone already where it was renamed.
    let _ = files.remove(&temporary);
    made
}
