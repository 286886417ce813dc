//! Gives the files of a session back as they came, byte for byte. It never converts.

use std::io::Write;
use std::ops::Range;
use std::path::Path;

use treering_tree::Store;

use crate::error::{Error, Result};
use crate::formats::MAIN_PART;
use crate::stored::{Pieces, Survey};

/// The files that a session came from.
#[derive(Debug)]
pub struct Export {
    session: String,
    survey: Survey,
    files: Vec<ExportedFile>,
    /// For each of them, where it is: number of the file in the survey, and the bytes of that.
    places: Vec<(usize, Range<u64>)>,
}

/// One file that a session came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedFile {
    /// Its path, relative to where the session's own file goes; made of plain names only.
    pub name: String,
    /// Name of its format.
    pub format: String,
    /// Its size.
    pub bytes: u64,
}

impl Export {
    /// Finds the files of a session. O(entries of the session).
    ///
    /// # Errors
    /// `NotFound` for an unknown session, `Invalid` for one that did not come from files, those of
    /// the store.
    pub async fn of(store: &dyn Store, session: &str) -> Result<Self> {
        store.session(session).await.map_err(Error::tree(session))?;
        let survey = Survey::of(store, session).await?;
        if survey.files.is_empty() {
            return Err(Error::NoOrigin { session: session.to_owned() });
        }
        let folder = plain_name(session, "session");
        let (mut files, mut places) = (Vec::new(), Vec::new());
        for (at, file) in survey.files.iter().enumerate() {
            let whole = [match file.source.part.as_str() {
                MAIN_PART => (plain_name(&file.source.file, session), file.bytes),
                part => (format!("{folder}/{}", plain_path(part)), file.bytes),
            }];
            let members = file.members.iter();
            let members: Vec<_> = members
                .map(|(name, len)| (format!("{folder}/{}", plain_path(name)), *len))
                .collect();
            let mut end = 0;
            for (name, bytes) in if members.is_empty() { &whole[..] } else { &members } {
                let (name, bytes) = (name.clone(), *bytes);
                files.push(ExportedFile { name, format: file.source.format.clone(), bytes });
                places.push((at, end..end + bytes));
                end += bytes;
            }
        }
        Ok(Self { session: session.to_owned(), survey, files, places })
    }

    /// The files, the one with the conversation first.
    pub fn files(&self) -> &[ExportedFile] {
        &self.files
    }

    /// Writes the file at `index` of [`Export::files`]; nothing where there is none.
    ///
    /// # Errors
    /// Those of the store and of `out`.
    pub async fn write(
        &self,
        store: &dyn Store,
        index: usize,
        out: &mut (dyn Write + Send),
    ) -> Result<()> {
        let none = (usize::MAX, 0..0);
        let (file, range) = self.places.get(index).unwrap_or(&none);
        let file = self.survey.files.get(*file);
        let (mut pieces, mut at) = Pieces::within(store, &self.session, file, range);
        while let Some(stored) = pieces.next().await? {
            let bytes = stored.entry.body().map_or(&[][..], |body| &body.bytes);
            let inside = |offset: u64| {
                usize::try_from(offset.saturating_sub(at))
                    .map_or(bytes.len(), |at| at.min(bytes.len()))
            };
            out.write_all(&bytes[inside(range.start)..inside(range.end)])
                .map_err(Error::io(Path::new("output")))?;
            at += bytes.len() as u64;
        }
        out.flush().map_err(Error::io(Path::new("output")))
    }
}

/// The last name of a path, so that no stored text can point outside a folder.
pub(crate) fn plain_name(name: &str, otherwise: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_plain = !last.is_empty() && !matches!(last, "." | "..") && !last.contains([':', '\0']);
    if is_plain { last.to_owned() } else { otherwise.to_owned() }
}

fn plain_path(path: &str) -> String {
    path.split('/').map(|name| plain_name(name, "_")).collect::<Vec<_>>().join("/")
}
