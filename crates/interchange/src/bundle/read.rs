//! Takes a bundle in. Nothing in it is believed: ids are recomputed, lines and branches are bounded,
//! heads only move forward, and only once the end of the bundle was read.

use std::collections::{HashMap, VecDeque};
#[cfg(feature = "zstd")]
use std::io::BufReader;
use std::io::{BufRead, ErrorKind, Read};
use std::path::Path;

use treering_tree::{Draft, Error as TreeError, Expect, Id, Move, Seek, Store, To};

use super::line::{BranchHead, End, Line, VERSION, parse_id};
#[cfg(feature = "zstd")]
use super::squeeze::Swollen;
use super::{BundleOptions, BundleReport};
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::heads::heads;
use crate::limits;

/// What a compressed bundle begins with.
const ZSTD: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];

/// Takes a bundle into a store, also a compressed one where the feature `zstd` is on. Taking it in
/// again adds nothing.
///
/// A branch is made, or moved forward to an entry that stands on the one it is bound to; one that is
/// further on already stays, and one that is elsewhere stays and is listed as diverged.
///
/// # Errors
/// `Invalid` for a line that is no line of a bundle, an entry whose content is not that of its id, a
/// bundle that ends early; `Conflict` for an alias that names another entry; those of the store. Entries
/// taken in before an error stay, on no branch.
pub async fn import_bundle(
    store: &dyn Store,
    input: &mut (dyn BufRead + Send),
    options: BundleOptions<'_>,
) -> Result<BundleReport> {
    let begins = input.fill_buf().map_err(Error::io(Path::new("bundle")))?;
    if !begins.starts_with(&ZSTD) {
        return take(store, input, options).await;
    }
    #[cfg(feature = "zstd")]
    return take(store, &mut BufReader::new(Swollen::new(input)), options).await;
    #[cfg(not(feature = "zstd"))]
    Err(Error::Bundle { line: 1, why: "it is compressed, and this build reads no zstd".into() })
}

async fn take(
    store: &dyn Store,
    input: &mut (dyn BufRead + Send),
    options: BundleOptions<'_>,
) -> Result<BundleReport> {
    let mut lines = Lines { input, number: 0 };
    let head = match lines.next()? {
        Line::Bundle(head) if head.version == VERSION => head,
        Line::Bundle(head) => {
            return Err(lines.error(format!("expected version {VERSION}, found {}", head.version)));
        }
        _ => return Err(lines.error("expected the beginning of a bundle")),
    };
    let session = options.session.unwrap_or(&head.session).to_owned();
    let is_new = match store.session(&session).await {
        Ok(info) => info.head.is_none() && info.branches <= 1,
        Err(error) if error.kind() == treering_tree::ErrorKind::NotFound => true,
        Err(error) => return Err(Error::tree(&session)(error)),
    };
    let mut batch = Batch::new(store, &session, options.at_ms);
    let mut report = BundleReport { session: session.clone(), ..BundleReport::default() };
    let mut heads = Vec::new();
    let mut aliases = Aliases::default();
    loop {
        match lines.next()? {
            Line::Bundle(_) => return Err(lines.error("expected no second bundle")),
            Line::Entry(entry) => {
                let (id, draft) = entry.draft().map_err(|why| lines.error(why))?;
                aliases.note(lines.number, id, &draft);
                batch.put(draft);
                report.entries += 1;
                batch.flush_if_full().await.map_err(|error| aliases.at_line(error))?;
            }
            Line::Head(head) => heads.push(lines.head(head, heads.len())?),
            Line::End(end) => {
                report.heads = heads.len() as u64;
                let found = End { entries: report.entries, heads: report.heads };
                if end != found {
                    return Err(lines.error(format!("expected {end:?}, found {found:?}")));
                }
                lines.expect_end()?;
                break;
            }
        }
    }
    report.added = batch.finish().await.map_err(|error| aliases.at_line(error))?;
    let moves = forward(store, &session, &heads, &mut report).await?;
    let has_active = heads.iter().any(|(branch, _)| *branch == head.active);
    if !moves.is_empty() {
        batch.finish_with(moves, Some(head.active).filter(|_| is_new && has_active)).await?;
    }
    Ok(report)
}

struct Lines<'i> {
    input: &'i mut (dyn BufRead + Send),
    number: u64,
}

impl Lines<'_> {
    /// Nothing may stand behind the end; of a compressed bundle this is where its last sum is checked.
    fn expect_end(&mut self) -> Result<()> {
        let is_over = self.input.fill_buf().map(<[u8]>::is_empty);
        if self.read(is_over)? {
            return Ok(());
        }
        Err(self.error("expected nothing behind the end of the bundle"))
    }

    /// What was read; damage of the compression is damage of the bundle.
    fn read<T>(&self, read: std::io::Result<T>) -> Result<T> {
        read.map_err(|why| match why.kind() {
            ErrorKind::InvalidData => self.error(format!("its compression is damaged: {why}")),
            _ => Error::io(Path::new("bundle"))(why),
        })
    }

    fn next(&mut self) -> Result<Line> {
        self.number += 1;
        let mut bytes = Vec::new();
        let mut limited = Read::take(&mut *self.input, limits::BUNDLE_LINE_BYTES + 1);
        let read = limited.read_until(b'\n', &mut bytes).map(|_| ());
        self.read(read)?;
        let (limit, found) = (limits::BUNDLE_LINE_BYTES, bytes.len() as u64);
        if found > limit {
            return Err(Error::TooLarge { what: "bytes of a line of a bundle", limit, found });
        }
        if bytes.is_empty() {
            return Err(self.error("expected the end of the bundle, found that of the file"));
        }
        // What serde says quotes the line, and with it bodies.
        serde_json::from_slice(&bytes).map_err(|why: serde_json::Error| {
            let at = why.column();
            self.error(format!("expected a line of a bundle, found another thing at column {at}"))
        })
    }

    fn head(&self, head: BranchHead, before: usize) -> Result<Head> {
        if before >= limits::BUNDLE_BRANCHES {
            let limit = limits::BUNDLE_BRANCHES as u64;
            return Err(Error::TooLarge { what: "branches of a bundle", limit, found: limit + 1 });
        }
        let id = head.id.as_deref().map(parse_id).transpose().map_err(|why| self.error(why))?;
        Ok((head.branch, id))
    }

    fn error(&self, why: impl Into<String>) -> Error {
        Error::Bundle { line: self.number, why: why.into() }
    }
}

/// Line, alias and id of each entry that the store may not have answered yet.
#[derive(Default)]
struct Aliases(VecDeque<(u64, String, Id)>);

impl Aliases {
    fn note(&mut self, line: u64, id: Id, draft: &Draft) {
        let Some(alias) = draft.envelope().alias.clone() else { return };
        if self.0.len() >= limits::UNANSWERED_ENTRIES {
            self.0.pop_front();
        }
        self.0.push_back((line, alias, id));
    }

    /// An alias that was refused, with the line it stands on.
    fn at_line(&self, error: Error) -> Error {
        let Error::Tree { source, .. } = &error else { return error };
        let TreeError::AliasTaken { alias, existing } = &**source else { return error };
        let refused = self.0.iter().find(|(_, noted, id)| noted == alias && id != existing);
        let Some((line, alias, _)) = refused else { return error };
        Error::AliasTaken { line: *line, alias: alias.clone(), existing: *existing }
    }
}

/// A branch, and the entry it is bound to.
type Head = (String, Option<Id>);

/// The moves that only go forward.
async fn forward(
    store: &dyn Store,
    session: &str,
    bundled: &[Head],
    report: &mut BundleReport,
) -> Result<Vec<Move>> {
    let there = heads(store, session).await?;
    let there: HashMap<String, Option<Id>> =
        there.into_iter().map(|branch| (branch.name, branch.head)).collect();
    let mut moves = Vec::new();
    for (branch, to) in bundled {
        let is_forward = match (there.get(branch).copied(), to) {
            (None, _) | (Some(None), Some(_)) => true,
            (Some(_), None) => continue,
            (Some(from), _) if from == *to => continue,
            (Some(Some(from)), Some(to)) if is_above(store, session, *to, from).await? => continue,
            (Some(Some(from)), Some(to)) => is_above(store, session, from, *to).await?,
        };
        if !is_forward {
            report.diverged.push(branch.clone());
            continue;
        }
        report.moved.push(branch.clone());
        let from = there.get(branch).copied().flatten();
        let expect = from.map_or(Expect::Empty, Expect::Head);
        let to = to.map_or(To::Nothing, To::Entry);
        moves.push(Move { branch: Some(branch.clone()), expect, to });
    }
    Ok(moves)
}

async fn is_above(store: &dyn Store, session: &str, above: Id, below: Id) -> Result<bool> {
    let found = store.seek(below, &[Seek::Entry(above)]).await.map_err(Error::tree(session))?;
    Ok(found.first().is_some_and(Option::is_some))
}
