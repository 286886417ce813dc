//! Finds the files to load, tells their formats by how they begin, and puts those of one session
//! together. It never reads past a file's head.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use crate::document;
use crate::error::{Error, Result};
use crate::folder::gather;
use crate::formats::{self, FORMATS, Format, Found, Head, MAIN_PART};
use crate::frame::Frame;
use crate::json;
use crate::limits;
use crate::lines::Lines;
use crate::names::Names;
use crate::source::Content;
pub(crate) use crate::source::SourceFile;
use crate::split::{is_json, split};

/// Something to load.
#[derive(Clone)]
pub enum Input {
    /// A file, a folder with everything in it, or a glob.
    Path(PathBuf),
    /// Bytes under a name, such as standard input.
    Bytes {
        /// What the report calls it.
        name: String,
        /// The bytes of one file.
        bytes: Vec<u8>,
    },
    /// A file under another name, such as what standard input was put into.
    File {
        /// What the report calls it.
        name: String,
        /// Where it is.
        path: PathBuf,
    },
}

/// Names and sizes, no bytes.
impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "Path({})", path.display()),
            Self::Bytes { name, bytes } => write!(f, "Bytes({name}, {} of them)", bytes.len()),
            Self::File { name, path } => write!(f, "File({name}, {})", path.display()),
        }
    }
}

impl<P: Into<PathBuf>> From<P> for Input {
    fn from(path: P) -> Self {
        Self::Path(path.into())
    }
}

/// The files of one session, the one with the conversation first.
pub(crate) struct Group {
    pub(crate) session: String,
    pub(crate) files: Vec<SourceFile>,
}

impl Group {
    /// Size of its files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.len).sum()
    }
}

/// The sessions that `inputs` hold, in the order they were found.
pub(crate) fn find(inputs: Vec<Input>, forced: Option<&'static dyn Format>) -> Result<Vec<Group>> {
    find_at_most(inputs, forced, limits::FILES)
}

/// The same, where a test cannot have as many files.
pub(crate) fn find_at_most(
    inputs: Vec<Input>,
    forced: Option<&'static dyn Format>,
    most: usize,
) -> Result<Vec<Group>> {
    let mut files = Files { all: Vec::new(), most };
    for input in inputs {
        match input {
            Input::Bytes { name, bytes } => {
                let path = PathBuf::from(name);
                let len = bytes.len() as u64;
                let head = recognize(path, &bytes, forced)?;
                files.extend(vec![SourceFile { content: Content::Bytes(bytes), len, ..head }])?;
            }
            Input::File { name, path } => {
                let mut found = open_head(&path, PathBuf::from(name), forced)?;
                for file in &mut found {
                    if let Content::Disk = file.content {
                        file.content = Content::Elsewhere(path.clone());
                    }
                }
                files.extend(found)?;
            }
            Input::Path(path) => from_path(&path, forced, &mut files)?,
        }
    }
    Ok(group(gather(files.all)))
}

/// The files found so far.
struct Files {
    all: Vec<SourceFile>,
    most: usize,
}

impl Files {
    fn extend(&mut self, found: Vec<SourceFile>) -> Result<()> {
        self.all.extend(found);
        if self.all.len() > self.most {
            let (limit, found) = (self.most as u64, self.all.len() as u64);
            return Err(Error::TooLarge { what: "files of one import", limit, found });
        }
        Ok(())
    }
}

fn group(files: Vec<SourceFile>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut by_session: HashMap<String, usize> = HashMap::new();
    let (mains, parts): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|file| file.found.part == MAIN_PART);
    for file in mains {
        by_session.entry(file.session()).or_insert(groups.len());
        groups.push(Group { session: file.session(), files: vec![file] });
    }
    for file in parts {
        let at = *by_session.entry(file.session()).or_insert(groups.len());
        match groups.get_mut(at) {
            Some(group) => group.files.push(file),
            None => groups.push(Group { session: file.session(), files: vec![file] }),
        }
    }
    for group in &mut groups {
        group.files.sort_by_key(|file| (file.found.part != MAIN_PART, file.found.part.clone()));
        // Files from two folders that claim one place are two files.
        let mut names = Names::default();
        for file in &mut group.files {
            file.found.part = names.take(std::mem::take(&mut file.found.part));
        }
    }
    groups
}

fn from_path(path: &Path, forced: Option<&'static dyn Format>, files: &mut Files) -> Result<()> {
    if path.is_file() {
        return files.extend(open_head(path, path.to_owned(), forced)?);
    }
    if path.is_dir() {
        return walk(path, |_| true, forced, files);
    }
    let (base, glob) = glob_of(path).ok_or_else(|| Error::NotFound { path: path.to_owned() })?;
    let before = files.all.len();
    walk(&base, |file| glob.is_match(file), forced, files)?;
    if files.all.len() == before {
        return Err(Error::NotFound { path: path.to_owned() });
    }
    Ok(())
}

/// The folder that a glob begins in, and its matcher.
fn glob_of(path: &Path) -> Option<(PathBuf, GlobMatcher)> {
    let text = path.to_str().filter(|text| text.contains(['*', '?', '[', '{']))?;
    let glob = GlobBuilder::new(text).literal_separator(true).build().ok()?;
    let is_plain = |name: &&std::ffi::OsStr| !name.to_string_lossy().contains(['*', '?', '[', '{']);
    let base: PathBuf = path.iter().take_while(is_plain).collect();
    let base = if base.as_os_str().is_empty() { PathBuf::from(".") } else { base };
    Some((base, glob.compile_matcher()))
}

/// Takes the sessions among the files below a folder; others are passed over.
fn walk(
    folder: &Path,
    wanted: impl Fn(&Path) -> bool,
    forced: Option<&'static dyn Format>,
    files: &mut Files,
) -> Result<()> {
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(Error::io(&folder))?;
        let mut paths: Vec<PathBuf> = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()
            .map_err(Error::io(&folder))?;
        paths.sort();
        for path in paths {
            let kind = fs::symlink_metadata(&path).map_err(Error::io(&path))?.file_type();
            if kind.is_dir() && depth < limits::FOLDER_DEPTH {
                folders.push((path, depth + 1));
            } else if kind.is_file() && wanted(path.strip_prefix("./").unwrap_or(&path)) {
                match open_head(&path, path.clone(), forced) {
                    Ok(found) => files.extend(found)?,
                    Err(Error::Unrecognized { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(())
}

fn open_head(
    path: &Path,
    name: PathBuf,
    forced: Option<&'static dyn Format>,
) -> Result<Vec<SourceFile>> {
    let mut head = Vec::new();
    let file = fs::File::open(path).map_err(Error::io(path))?;
    let len = file.metadata().map_err(Error::io(path))?.len();
    file.take(limits::HEAD_BYTES as u64).read_to_end(&mut head).map_err(Error::io(path))?;
    #[cfg(feature = "sqlite")]
    if crate::database::is_database(&head) {
        return crate::database::sessions(path, forced);
    }
    Ok(vec![SourceFile { len, ..recognize(name, &head, forced)? }])
}

/// A file of the format that knows how it begins.
fn recognize(
    path: PathBuf,
    bytes: &[u8],
    forced: Option<&'static dyn Format>,
) -> Result<SourceFile> {
    let bytes = &bytes[..bytes.len().min(limits::HEAD_BYTES)];
    let document = document::outline(bytes);
    let head = Head { records: first_records(&path, bytes)?, document, path: &path };
    let known = match forced {
        Some(format) => {
            Some((format, format.recognize(&head).unwrap_or_else(|| Found::main(None))))
        }
        None => FORMATS.iter().find_map(|format| Some((*format, format.recognize(&head)?))),
    };
    let Some((format, found)) = known else {
        return Err(Error::Unrecognized { path, expected: formats::names() });
    };
    let frame = format.frame(&head);
    Ok(SourceFile { path, content: Content::Disk, len: 0, format, found, frame })
}

fn first_records(path: &Path, bytes: &[u8]) -> Result<Vec<String>> {
    let mut lines = Lines::new(bytes, Frame::Lines);
    let mut records = Vec::new();
    while records.len() < limits::HEAD_LINES {
        let Some(line) = lines.next_line().map_err(Error::io(path))? else { break };
        let parts = split(line.bytes).into_iter().map(|range| &line.bytes[range]);
        records
            .extend(parts.filter(|part| is_json(part)).map(|part| json::text(part).into_owned()));
    }
    Ok(records)
}
