//! A file of a session as it is read: one on disk, bytes in memory, or many small files that are one
//! conversation together, read one after the other. It never looks at what the bytes say.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

#[cfg(feature = "sqlite")]
use crate::database::Rows;
use crate::error::{Error, Result};
use crate::formats::{Format, Found};
use crate::frame::Frame;
use crate::lines::Lines;

/// A file of a known format.
pub(crate) struct SourceFile {
    pub(crate) path: PathBuf,
    pub(crate) content: Content,
    pub(crate) len: u64,
    pub(crate) format: &'static dyn Format,
    pub(crate) found: Found,
    pub(crate) frame: Frame,
}

/// Where the bytes of a file are.
pub(crate) enum Content {
    /// At its path.
    Disk,
    /// Here.
    Bytes(Vec<u8>),
    /// At another path.
    Elsewhere(PathBuf),
    /// In the files of a folder, one after the other: for each record the file that begins it and
    /// those that go on with it.
    Folder(Vec<Vec<SourceFile>>),
    /// Rows of a database, as lines.
    #[cfg(feature = "sqlite")]
    Rows(Rows),
}

impl SourceFile {
    /// What reports call it.
    pub(crate) fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// The file and line that reports give for what begins at `offset`, on what
    /// [`Lines`](crate::lines::Lines) calls `line`.
    pub(crate) fn place(&self, line: u64, offset: u64) -> (String, u64) {
        let Content::Folder(records) = &self.content else { return (self.shown(), line) };
        let mut end = 0;
        let file = records.iter().flatten().find(|file| {
            end += file.len;
            end > offset
        });
        (file.map_or_else(|| self.shown(), Self::shown), 1)
    }

    /// The same for the record that begins on `line`.
    pub(crate) fn place_of(&self, line: u64) -> (String, u64) {
        let Content::Folder(records) = &self.content else { return (self.shown(), line) };
        let at = usize::try_from(line).unwrap_or(usize::MAX).saturating_sub(1);
        let file = records.get(at).and_then(|files| files.first());
        (file.map_or_else(|| self.shown(), Self::shown), 1)
    }

    /// What the file system noted of its last change, to be compared and never taken for a time.
    pub(crate) fn written(&self) -> Option<Duration> {
        let written = |path: &Path| {
            let changed = fs::metadata(path).and_then(|data| data.modified());
            changed.ok()?.duration_since(UNIX_EPOCH).ok()
        };
        match &self.content {
            Content::Folder(records) => records.iter().flatten().filter_map(Self::written).max(),
            #[cfg(feature = "sqlite")]
            Content::Rows(_) => {
                crate::database::files_of(&self.path).filter_map(|path| written(&path)).max()
            }
            _ => written(&self.path),
        }
    }

    /// Whether its session is known by the id that its tool gave it, however the file begins.
    pub(crate) fn is_named(&self) -> bool {
        !matches!(self.content, Content::Disk | Content::Bytes(_) | Content::Elsewhere(_))
    }

    /// Its own name.
    pub(crate) fn name(&self) -> String {
        #[cfg(feature = "sqlite")]
        if let Content::Rows(_) = &self.content {
            return format!("{}.jsonl", self.session());
        }
        self.path
            .file_name()
            .map_or_else(|| self.shown(), |name| name.to_string_lossy().into_owned())
    }

    /// Names and sizes of the files that its bytes from `at` on are of; none where it is one file.
    pub(crate) fn members_from(&self, at: u64) -> Vec<(String, u64)> {
        let Content::Folder(records) = &self.content else { return Vec::new() };
        let mut end = 0;
        let mut members = Vec::new();
        for file in records.iter().flatten() {
            end += file.len;
            if end > at || (end == at && file.len == 0) {
                let name = file.found.member.as_ref().map(|member| member.name.clone());
                members.push((name.unwrap_or_else(|| file.name()), (end - at).min(file.len)));
            }
        }
        members
    }

    /// Its lines, from the first on.
    pub(crate) fn lines(&self) -> Result<Lines<Box<dyn Read + Send + '_>>> {
        Ok(Lines::new(self.open()?, self.frame.clone()))
    }

    pub(crate) fn open(&self) -> Result<Box<dyn Read + Send + '_>> {
        match &self.content {
            Content::Bytes(bytes) => Ok(Box::new(bytes.as_slice())),
            Content::Disk => on_disk(&self.path),
            Content::Elsewhere(path) => on_disk(path),
            Content::Folder(records) => {
                let files = records.iter().flatten();
                Ok(Box::new(Chain { files: Box::new(files), open: None }))
            }
            #[cfg(feature = "sqlite")]
            Content::Rows(rows) => Ok(Box::new(rows.open().map_err(Error::io(&self.path))?)),
        }
    }

    /// What the session it belongs to is called.
    pub(crate) fn session(&self) -> String {
        let stem = self.path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let names = [self.found.session.clone(), stem];
        let usable =
            |name: &String| treering_tree::limits::check_name("session name", name).is_ok();
        names.into_iter().flatten().find(usable).unwrap_or_else(|| self.format.name().to_owned())
    }
}

fn on_disk(path: &Path) -> Result<Box<dyn Read + Send>> {
    Ok(Box::new(fs::File::open(path).map_err(Error::io(path))?))
}

/// Files read one after the other, each with the size it was found with.
struct Chain<'a> {
    files: Box<dyn Iterator<Item = &'a SourceFile> + Send + 'a>,
    open: Option<(Box<dyn Read + Send + 'a>, u64)>,
}

impl Read for Chain<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some((file, left)) = &mut self.open
                && *left > 0
            {
                let room = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                let read = file.read(&mut buffer[..room])?;
                if read == 0 && room > 0 {
                    let why = "a file became shorter while it was read; try again";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
                }
                *left -= read as u64;
                return Ok(read);
            }
            let Some(next) = self.files.next() else { return Ok(0) };
            self.open = Some((next.open().map_err(io::Error::other)?, next.len));
        }
    }
}
