//! Files that come to be whole or not at all.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A file on its way: dropped before [`NewFile::keep`], it leaves nothing behind.
pub(crate) struct NewFile {
    file: NamedTempFile,
    path: PathBuf,
}

impl NewFile {
    /// Begins one beside `path`, whose folder is made where it is not there.
    pub(crate) fn begin(path: &Path) -> io::Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        Ok(Self { file: NamedTempFile::new_in(folder)?, path: path.to_owned() })
    }

    pub(crate) fn writer(&mut self) -> &mut (dyn Write + Send) {
        &mut self.file
    }

    /// Puts it in its place, durably, over what is there.
    pub(crate) fn keep(self) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        self.file.persist(self.path).map_err(|error| error.error)?;
        Ok(())
    }
}
