//! Writes a bundle: which entries belong to it, and out with them. It holds ids, never bodies.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use treering_tree::{Branch, Id, Number, Store, Stored};

use super::BundleReport;
use super::line::{BranchHead, End, EntryLine, Head, Line, VERSION};
use crate::error::{Error, Result};
use crate::heads::heads;
use crate::limits;

/// Writes a session: the entries that were appended in it, the histories they stand on, and its
/// branches.
///
/// # Errors
/// `NotFound` for an unknown session, `Invalid` for an entry that damage took, those of the store and
/// of `out`.
pub async fn export_bundle(
    store: &dyn Store,
    session: &str,
    out: &mut (dyn Write + Send),
) -> Result<BundleReport> {
    let tree = || Error::tree(session);
    let info = store.session(session).await.map_err(tree())?;
    let heads = heads(store, session).await?;
    let slice = Slice::of(store, session, &heads).await?;
    let head = Head { version: VERSION, session: session.to_owned(), active: info.active };
    put(out, &Line::Bundle(head))?;
    let ids: Vec<Id> = slice.ids.into_values().collect();
    for page in ids.chunks(limits::PAGE) {
        let found = store.entries(page).await.map_err(tree())?;
        for (id, stored) in page.iter().zip(found) {
            let stored = stored.ok_or_else(|| tree()(treering_tree::Error::no_entry(id)))?;
            put(out, &Line::Entry(Box::new(EntryLine::of(&stored)?)))?;
        }
    }
    let end = End { entries: ids.len() as u64, heads: heads.len() as u64 };
    for Branch { name: branch, head, .. } in heads {
        put(out, &Line::Head(BranchHead { branch, id: head.map(|id| id.to_string()) }))?;
    }
    let report = BundleReport {
        session: session.to_owned(),
        entries: end.entries,
        heads: end.heads,
        ..BundleReport::default()
    };
    put(out, &Line::End(end))?;
    out.flush().map_err(Error::io(Path::new("bundle")))?;
    Ok(report)
}

/// The same, compressed: what `zstd -d` and [`import_bundle`](crate::import_bundle()) read.
///
/// # Errors
/// As [`export_bundle`].
#[cfg(feature = "zstd")]
pub async fn export_bundle_zstd(
    store: &dyn Store,
    session: &str,
    out: &mut (dyn Write + Send),
) -> Result<BundleReport> {
    export_bundle(store, session, &mut super::squeeze::Squeezed::new(out)).await
}

fn put(out: &mut (dyn Write + Send), line: &Line) -> Result<()> {
    // Lines hold strings and numbers: nothing of them can fail to encode.
    let mut bytes = serde_json::to_vec(line).unwrap_or_default();
    bytes.push(b'\n');
    out.write_all(&bytes).map_err(Error::io(Path::new("bundle")))
}

/// The entries of a bundle, in the order they were appended.
struct Slice<'a> {
    store: &'a dyn Store,
    session: &'a str,
    ids: BTreeMap<Number, Id>,
    /// Entries that others are about.
    targets: Vec<Id>,
}

impl<'a> Slice<'a> {
    async fn of(store: &'a dyn Store, session: &'a str, heads: &[Branch]) -> Result<Self> {
        let mut slice = Self { store, session, ids: BTreeMap::new(), targets: Vec::new() };
        let mut outside = Vec::new();
        let mut from = 0;
        loop {
            let page = store.scan(Some(session), from, limits::PAGE).await;
            let page = page.map_err(Error::tree(session))?;
            let Some(last) = page.last() else { break };
            from = last.place.number + 1;
            for stored in page {
                let parent = stored.place.parent;
                // What it stands on was appended in another session.
                if parent.is_some_and(|parent| !slice.ids.contains_key(&parent)) {
                    outside.extend(stored.entry.envelope().parent);
                }
                slice.take(&stored);
            }
        }
        outside.extend(heads.iter().filter_map(|branch| branch.head));
        loop {
            for id in std::mem::take(&mut outside) {
                slice.take_path(id).await?;
            }
            outside = slice.targets_there().await?;
            if outside.is_empty() {
                return Ok(slice);
            }
        }
    }

    /// What entries are about, as far as it is there: a label may name what never was.
    async fn targets_there(&mut self) -> Result<Vec<Id>> {
        let mut there = Vec::new();
        for page in std::mem::take(&mut self.targets).chunks(limits::PAGE) {
            let found = self.store.entries(page).await.map_err(Error::tree(self.session))?;
            there.extend(found.iter().flatten().map(|stored| stored.entry.id()));
        }
        Ok(there)
    }

    fn take(&mut self, stored: &Stored) {
        let id = stored.entry.id();
        if self.ids.insert(stored.place.number, id).is_none() {
            self.targets.extend(stored.entry.envelope().target);
        }
    }

    /// Takes an entry and everything above it that is not there yet.
    async fn take_path(&mut self, id: Id) -> Result<()> {
        let tree = || Error::tree(self.session);
        let found = self.store.entries(&[id]).await.map_err(tree())?.pop().flatten();
        let stored = found.ok_or_else(|| tree()(treering_tree::Error::no_entry(&id)))?;
        if self.ids.contains_key(&stored.place.number) {
            return Ok(());
        }
        let mut end = stored.place.depth + 1;
        while end > 0 {
            let begin = end.saturating_sub(limits::PAGE as u64);
            let page = self.store.path(id, begin..end).await.map_err(tree())?;
            // What is above an entry that is there is there too, or on the list.
            let known = page.iter().any(|stored| self.ids.contains_key(&stored.place.number));
            for stored in &page {
                self.take(stored);
            }
            end = if known { 0 } else { begin };
        }
        Ok(())
    }
}
