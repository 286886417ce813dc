//! Loads foreign sessions into a store: finds the files, tells which session each belongs to, and
//! takes one session after the other through.

use std::fmt;
use std::io::Read;

use treering_tree::{Counted, Message, Store, Stored};

use crate::error::{Error, Result};
use crate::files::{Group, Input, SourceFile};
use crate::formats::MAIN_PART;
use crate::limits;
use crate::lines::Lines;
use crate::loading::{Loading, Place, other};
use crate::names::fitting;
use crate::report::{Progress, SessionReport};
use crate::sessions::Sessions;
use crate::stored::{Pieces, Survey};

/// How to load.
pub struct Options<'a> {
    /// Size of a message, with whose count that is.
    pub count: &'a (dyn Fn(&Message) -> Counted + Sync),
    /// Name of the format; `None` tells it by the content.
    pub format: Option<&'a str>,
    /// The time the journal gives, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// Called about once per MiB, and at the end.
    pub progress: &'a mut (dyn FnMut(Progress) + Send),
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("format", &self.format).finish_non_exhaustive()
    }
}

/// Loads sessions, each file's records as entries with verbatim bodies, and binds branches to them.
///
/// What is in the store already stays as it is: loading a file again adds nothing, and loading a
/// file that has grown adds what is new. A session whose name is taken by another conversation gets
/// a number behind its name. Memory holds an index of one session and one change, never the bodies
/// of a file.
///
/// # Errors
/// `NotFound` for a path where nothing is, `Format` for a file that no format recognizes, `Invalid`
/// for an unknown format name, `Storage` where reading fails, and those of the store. What was
/// loaded before an error stays loaded.
pub async fn load(
    store: &dyn Store,
    inputs: Vec<Input>,
    options: Options<'_>,
) -> Result<Vec<SessionReport>> {
    Sessions::find(inputs, options.format)?.load(store, options).await
}

/// Loads sessions that were found; while they are `live`, the ends that their tools are still writing
/// are left for later.
pub(crate) async fn load_groups(
    store: &dyn Store,
    groups: &[Group],
    live: bool,
    options: Options<'_>,
) -> Result<Vec<SessionReport>> {
    let total_bytes = groups.iter().map(Group::bytes).sum();
    let mut progress = Progress { done_bytes: 0, total_bytes };
    let mut reports = Vec::new();
    for group in groups {
        let (session, survey) = place_of(store, group).await?;
        let mut tell = |done_bytes| (options.progress)(Progress { done_bytes, ..progress });
        let mut loading =
            Loading::new(store, &session, survey, options.at_ms, options.count, &mut tell);
        loading.live = live;
        reports.push(loading.run(&group.files, progress.done_bytes).await?);
        progress.done_bytes += group.bytes();
    }
    (options.progress)(progress);
    Ok(reports)
}

/// The session that a group goes to: the first of its name that is free or begins like its file.
async fn place_of(store: &dyn Store, group: &Group) -> Result<(String, Survey)> {
    for number in 1..=limits::NAMESAKES {
        let session = match number {
            1 => group.session.clone(),
            _ => fitting(format!("{}~{number}", group.session)),
        };
        let survey = Survey::of(store, &session).await?;
        if begins_alike(store, &session, &survey, group).await? {
            return Ok((session, survey));
        }
    }
    let limit = limits::NAMESAKES as u64;
    Err(Error::TooLarge { what: "sessions of one name", limit, found: limit + 1 })
}

async fn begins_alike(
    store: &dyn Store,
    session: &str,
    survey: &Survey,
    group: &Group,
) -> Result<bool> {
    let Some(file) = group.files.first().filter(|file| file.found.part == MAIN_PART) else {
        return Ok(true);
    };
    if file.is_named() {
        return Ok(true);
    }
    let Some(known) = survey.file(MAIN_PART) else {
        // A session of the engine's own has nothing to do with a file of that name.
        return Ok(!survey.exists
            || !survey.files.is_empty()
            || is_known(store, session, survey, file, &mut file.lines()?, None)?);
    };
    let Some(first) = Pieces::new(store, session, Some(known)).next().await? else {
        return Ok(true);
    };
    let mut lines = file.lines()?;
    if is_known(store, session, survey, file, &mut lines, Some(&first))? {
        return Ok(true);
    }
    let first = first.entry.body().map_or(&[][..], |body| &body.bytes);
    let found = lines.peek(first.len()).map_err(Error::io(&file.path))?;
    Ok(first.starts_with(found))
}

/// Whether a file begins with a record that the session has with another body, or without one.
fn is_known<R: Read>(
    store: &dyn Store,
    session: &str,
    survey: &Survey,
    file: &SourceFile,
    lines: &mut Lines<R>,
    first: Option<&Stored>,
) -> Result<bool> {
    let runs = survey.file(&file.found.part).map_or(0, |known| known.runs);
    let line = lines.peek_line().map_err(Error::io(&file.path))?;
    let place = Place { session, file, runs };
    Ok(line.is_some_and(|line| other(store, survey, &place, &line, first).is_some()))
}
