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
    /// In the files of a folder, one after the other.
    Folder(Members),
    /// Rows of a database, as lines.
    #[cfg(feature = "sqlite")]
    Rows(Rows),
}

/// The files of a folder that are one conversation.
pub(crate) struct Members {
    files: Vec<SourceFile>,
    /// Where each ends.
    ends: Vec<u64>,
    /// Which of them begins each record.
    records: Vec<usize>,
}

impl Members {
    /// For each record the file that begins it and those that go on with it.
    pub(crate) fn new(all: Vec<Vec<SourceFile>>) -> Self {
        let (mut files, mut records) = (Vec::new(), Vec::new());
        for record in all {
            records.push(files.len());
            files.extend(record);
        }
        let ends = files.iter().scan(0, |end, file: &SourceFile| {
            *end += file.len;
            Some(*end)
        });
        Self { ends: ends.collect(), files, records }
    }

    /// The one that the byte at `offset` is of.
    fn at(&self, offset: u64) -> Option<&SourceFile> {
        self.files.get(self.ends.partition_point(|end| *end <= offset))
    }

    /// The one that begins a record, which is one line.
    fn on_line(&self, line: u64) -> Option<&SourceFile> {
        let record = usize::try_from(line).ok()?.saturating_sub(1);
        self.files.get(*self.records.get(record)?)
    }
}

impl SourceFile {
    /// What reports call it.
    pub(crate) fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// The file and line that reports give for what begins at `offset`, on what
    /// [`Lines`](crate::lines::Lines) calls `line`.
    pub(crate) fn place(&self, line: u64, offset: u64) -> (String, u64) {
        let Content::Folder(members) = &self.content else { return (self.shown(), line) };
        (members.at(offset).map_or_else(|| self.shown(), Self::shown), 1)
    }

    /// The same for the record that begins on `line`.
    pub(crate) fn place_of(&self, line: u64) -> (String, u64) {
        let Content::Folder(members) = &self.content else { return (self.shown(), line) };
        (members.on_line(line).map_or_else(|| self.shown(), Self::shown), 1)
    }

    /// What the file system noted of its last change, to be compared and never taken for a time.
    pub(crate) fn written(&self) -> Option<Duration> {
        let written = |path: &Path| {
            let changed = fs::metadata(path).and_then(|data| data.modified());
            changed.ok()?.duration_since(UNIX_EPOCH).ok()
        };
        match &self.content {
            Content::Folder(members) => members.files.iter().filter_map(Self::written).max(),
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
        let Content::Folder(Members { files, ends, .. }) = &self.content else { return Vec::new() };
        let mut members = Vec::new();
        for (file, end) in files.iter().zip(ends) {
            if *end > at || (*end == at && file.len == 0) {
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
            Content::Folder(members) => {
                Ok(Box::new(Chain { files: members.files.iter(), open: None }))
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
    files: std::slice::Iter<'a, SourceFile>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats;

    fn file(name: &str, len: u64) -> SourceFile {
        SourceFile {
            path: name.into(),
            content: Content::Bytes(Vec::new()),
            len,
            format: formats::named("openhands").unwrap(),
            found: Found::main(None),
            frame: Frame::Lines,
        }
    }

    #[test]
    fn a_place_in_a_folder_is_that_of_a_member() {
        let members = vec![vec![file("a", 2), file("empty", 0)], vec![file("b", 3)]];
        let whole =
            SourceFile { content: Content::Folder(Members::new(members)), ..file("folder", 5) };
        let at = [0, 1, 2, 4, 5].map(|offset| whole.place(9, offset));
        assert_eq!(at, ["a", "a", "b", "b", "folder"].map(|name| (name.to_owned(), 1)));
        let begins = [1, 2, 3].map(|line| whole.place_of(line));
        assert_eq!(begins, ["a", "b", "folder"].map(|name| (name.to_owned(), 1)));
        let left = [("b".to_owned(), 1)];
        assert_eq!((whole.members_from(4), whole.members_from(2).len()), (left.into(), 2));
    }
}
