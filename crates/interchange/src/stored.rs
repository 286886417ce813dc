//! The files of a session as the store holds them.
//!
//! The bodies of a file's entries, in the order they were appended, are the file. Which file they
//! belong to is told by a record of the engine's own before them: the source. A source that begins
//! before the end of its file takes away what it overlaps: so a torn last line, once it is whole,
//! takes the place of the torn one.

use std::collections::{HashMap, HashSet, VecDeque};

use serde::{Deserialize, Serialize};
use treering_tree::{Body, Commitment, Content, Id, Kind, Number, Store, Stored};

use crate::error::{Error, Result};
use crate::formats::{self, MAIN_PART};
use crate::limits;
use crate::loom::Key;

/// Format of the record that begins the entries of a file.
pub(crate) const SOURCE_FORMAT: &str = "treering/source/1";

/// From where on the entries after it are the records of which file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Source {
    /// Name of the format.
    pub(crate) format: String,
    /// Which file of its session.
    pub(crate) part: String,
    /// What the file was called.
    pub(crate) file: String,
    /// Offset of the first record after it, in bytes.
    pub(crate) at: u64,
    /// How many records before it stay, where their bodies do not tell: some were redacted or erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kept: Option<u64>,
    /// Names and sizes of the files that the bytes from there on are of; none where it is one file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) members: Vec<(String, u64)>,
}

impl Source {
    pub(crate) fn body(&self) -> Body {
        // A struct of strings and a number cannot fail to encode.
        Body::new(SOURCE_FORMAT, serde_json::to_vec(self).unwrap_or_default())
    }

    /// What an erased source said, as far as the records after it tell: all of one file, and not its name.
    fn of_main(format: &str) -> Self {
        let (format, part) = (format.to_owned(), MAIN_PART.to_owned());
        Self { format, part, file: String::new(), at: 0, kept: None, members: Vec::new() }
    }

    fn from_body(body: &Body) -> Option<Self> {
        (body.format == SOURCE_FORMAT).then(|| serde_json::from_slice(&body.bytes).ok())?
    }
}

/// One file of a session.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) source: Source,
    /// Its records in order: append number and length.
    pub(crate) pieces: Vec<(u64, u64)>,
    pub(crate) bytes: u64,
    /// How many sources it has.
    pub(crate) runs: u64,
    /// The newest of them.
    pub(crate) newest_source: Newest,
    /// Names and sizes of the files it is made of; none where it is one file.
    pub(crate) members: Vec<(String, u64)>,
}

impl File {
    /// Takes the members of a source, which begin at its offset.
    fn take_members(&mut self, source: &Source) {
        let mut end = 0;
        self.members.retain_mut(|(_, len)| {
            let begin = end;
            end += *len;
            *len = (*len).min(source.at.saturating_sub(begin));
            begin < source.at
        });
        for (name, len) in &source.members {
            match self.members.last_mut() {
                // The rest of a file that was there in part.
                Some((last, before)) if last == name => *before += len,
                _ => self.members.push((name.clone(), *len)),
            }
        }
    }
}

/// An entry, and how new it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Newest {
    pub(crate) number: Number,
    pub(crate) id: Id,
}

/// What the store holds of a session's files.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) files: Vec<File>,
    /// Where in the list of files each part is.
    parts: HashMap<String, usize>,
    /// Aliases of all entries of the session.
    pub(crate) aliases: HashSet<Key>,
    /// Every record of a file, also those that newer ones took the place of.
    pub(crate) records: HashSet<Id>,
    /// What ids still say of bodies that were erased.
    pub(crate) erased: HashMap<Commitment, Newest>,
    /// Records that were unfinished, and that this load has newer versions of.
    pub(crate) superseded: HashSet<Id>,
    /// Whether the session is there.
    pub(crate) exists: bool,
    /// What may be a source that was erased: a record before any other, without a parent or a body.
    erased_source: Option<Newest>,
}

impl Survey {
    /// Reads a session through; empty where the session is not there.
    pub(crate) async fn of(store: &dyn Store, session: &str) -> Result<Self> {
        let mut survey = Self::default();
        match store.session(session).await {
            Ok(_) => survey.exists = true,
            Err(error) if error.kind() == treering_tree::ErrorKind::NotFound => return Ok(survey),
            Err(error) => return Err(Error::tree(session)(error)),
        }
        let mut current = None;
        let mut from = 0;
        loop {
            let page = store
                .scan(Some(session), from, limits::PAGE)
                .await
                .map_err(Error::tree(session))?;
            let Some(last) = page.last() else { return Ok(survey) };
            from = last.place.number + 1;
            for stored in page {
                survey.take(&stored, &mut current);
            }
        }
    }

    fn take(&mut self, stored: &Stored, current: &mut Option<usize>) {
        self.aliases.extend(stored.entry.envelope().alias.as_deref().map(Key::of));
        let newest = Newest { number: stored.place.number, id: stored.entry.id() };
        if let Content::Erased { commitment } = stored.entry.content() {
            self.erased.insert(*commitment, newest);
            let envelope = stored.entry.envelope();
            let is_first = current.is_none() && envelope.parent.is_none();
            if is_first && envelope.kind == Kind::Record {
                self.erased_source.get_or_insert(newest);
            }
        }
        let Some(body) = stored.entry.body() else { return };
        if let Some(source) = Source::from_body(body) {
            *current = Some(self.begin(source, newest));
        } else if let Some(format) = formats::of_body(&body.format) {
            if let (None, Some(source)) = (&current, self.erased_source) {
                *current = Some(self.begin(Source::of_main(format.name()), source));
            }
            let Some(at) = *current else { return };
            let file = &mut self.files[at];
            let len = body.bytes.len() as u64;
            file.pieces.push((newest.number, len));
            file.bytes += len;
            self.records.insert(newest.id);
        }
    }

    fn begin(&mut self, source: Source, newest_source: Newest) -> usize {
        let Some(at) = self.parts.get(&source.part).copied() else {
            let members = source.members.clone();
            let (pieces, bytes, runs) = (Vec::new(), 0, 1);
            self.parts.insert(source.part.clone(), self.files.len());
            self.files.push(File { source, pieces, bytes, runs, newest_source, members });
            return self.files.len() - 1;
        };
        let file = &mut self.files[at];
        let kept = source.kept.and_then(|kept| usize::try_from(kept).ok());
        while match kept {
            Some(kept) => file.pieces.len() > kept,
            None => file.bytes > source.at,
        } && let Some((_, len)) = file.pieces.pop()
        {
            file.bytes -= len;
        }
        file.runs += 1;
        file.take_members(&source);
        file.source = source;
        file.newest_source = newest_source;
        at
    }

    pub(crate) fn file(&self, part: &str) -> Option<&File> {
        self.parts.get(part).map(|at| &self.files[*at])
    }
}

/// The entries of a file, in order.
pub(crate) struct Pieces<'a> {
    store: &'a dyn Store,
    session: &'a str,
    numbers: VecDeque<(u64, u64)>,
    page: VecDeque<Stored>,
}

impl<'a> Pieces<'a> {
    pub(crate) fn new(store: &'a dyn Store, session: &'a str, file: Option<&File>) -> Self {
        Self::within(store, session, file, &(0..u64::MAX)).0
    }

    /// The entries of a file that hold some of these bytes of it, and where the first of them begins.
    pub(crate) fn within(
        store: &'a dyn Store,
        session: &'a str,
        file: Option<&File>,
        range: &std::ops::Range<u64>,
    ) -> (Self, u64) {
        let mut numbers = VecDeque::new();
        let (mut at, mut first) = (0, 0);
        for (number, len) in file.map_or(&[][..], |file| &file.pieces) {
            if at < range.end && at + len > range.start {
                first = if numbers.is_empty() { at } else { first };
                numbers.push_back((*number, *len));
            }
            at += len;
        }
        (Self { store, session, numbers, page: VecDeque::new() }, first)
    }

    /// Puts back the entry read last.
    pub(crate) fn again(&mut self, stored: Stored) {
        let len = stored.entry.body().map_or(0, |body| body.bytes.len() as u64);
        self.numbers.push_front((stored.place.number, len));
        self.page.push_front(stored);
    }

    /// Whether the entry read last was the last one.
    pub(crate) fn at_end(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The next entry; `None` at the end of the file.
    pub(crate) async fn next(&mut self) -> Result<Option<Stored>> {
        let Some((number, _)) = self.numbers.pop_front() else { return Ok(None) };
        loop {
            while let Some(stored) = self.page.pop_front() {
                if stored.place.number == number {
                    return Ok(Some(stored));
                }
            }
            // No more than the file may have left: others of the session are read for themselves.
            let most = limits::PAGE.min(self.numbers.len() + 1);
            let page = self.store.scan(Some(self.session), number, most).await;
            self.page = page.map_err(Error::tree(self.session))?.into();
            if self.page.is_empty() {
                return Ok(None);
            }
        }
    }
}
