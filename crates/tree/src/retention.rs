//! Retention: erases what sessions hold that did not change for long. Works over any [`Store`], one
//! session after the other, by [`erase`](Store::erase) alone: ids and ancestry stay, every body that goes
//! leaves a tombstone that says why, and every step is a row of the journal.

use std::collections::{BTreeSet, HashSet};

use serde::Serialize;

use crate::entry::{Content, Kind};
use crate::error::Result;
use crate::id::Id;
use crate::limits;
use crate::message::TOMBSTONE_FORMAT;
use crate::place::Number;
use crate::store::{Dependants, Erasure, SessionInfo, Store, Stored};

/// Places in one page of a walk.
const PLACES: u64 = 1_000;

/// What is to go, and what its tombstones say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Sessions that changed last before this go, milliseconds since 1970 UTC.
    pub before_ms: i64,
    /// Sessions that stay however old they are.
    pub keep: BTreeSet<String>,
    /// Who erases.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Only tell what would go.
    pub dry_run: bool,
}

/// What became of one session that is due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Its name.
    pub session: String,
    /// When it changed last, milliseconds since 1970 UTC.
    pub changed_ms: i64,
    /// Bodies that were erased, or would be.
    pub erased: u64,
    /// Bodies that stay because a branch of a session that stays stands on them.
    pub shared: u64,
    /// What may still tell of what was erased.
    pub dependants: Dependants,
}

/// Applies a rule of retention at the time `now_ms`; sessions that are due and have nothing left to
/// erase are left out. An interruption leaves the sessions done so far; a session of more entries than
/// one change may hold and interrupted in the middle is due again when it is old again.
///
/// # Errors
/// `Corrupt`, `Storage`; what was erased before an error stays erased.
pub async fn prune(store: &dyn Store, rule: &Retention, now_ms: i64) -> Result<Vec<Pruned>> {
    let (due, stays): (Vec<SessionInfo>, Vec<SessionInfo>) = all(store)
        .await?
        .into_iter()
        .partition(|info| info.changed_ms < rule.before_ms && !rule.keep.contains(&info.name));
    let mut needed = HashSet::new();
    for info in &stays {
        note(store, &info.name, &mut needed).await?;
    }
    let mut pruned = Vec::new();
    for info in due {
        let done = prune_one(store, &info, &needed, rule, now_ms).await?;
        pruned.extend(Some(done).filter(|done| done.erased + done.shared > 0));
    }
    Ok(pruned)
}

async fn all(store: &dyn Store) -> Result<Vec<SessionInfo>> {
    let mut sessions: Vec<SessionInfo> = Vec::new();
    loop {
        let after = sessions.last().map(|info| info.name.clone());
        let page = store.sessions(after.as_deref(), limits::PAGE).await?;
        if page.is_empty() {
            return Ok(sessions);
        }
        sessions.extend(page);
    }
}

/// Notes everything that the branches of a session stand on.
async fn note(store: &dyn Store, session: &str, needed: &mut HashSet<Number>) -> Result<()> {
    let mut after: Option<String> = None;
    loop {
        let page = store.branches(session, after.as_deref(), limits::PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.name.clone());
        for head in page.iter().filter_map(|branch| branch.head) {
            walk(store, head, needed).await?;
        }
    }
}

/// Notes everything on the path to `head`, from its end down to what was noted before.
async fn walk(store: &dyn Store, head: Id, needed: &mut HashSet<Number>) -> Result<()> {
    let mut end = store.measure(head).await?.head.depth + 1;
    while end > 0 {
        let start = end.saturating_sub(PLACES);
        let page = store.places(head, start..end).await?;
        let known = page.first().is_some_and(|place| needed.contains(&place.number));
        needed.extend(page.iter().map(|place| place.number));
        if known {
            return Ok(());
        }
        end = start;
    }
    Ok(())
}

/// Whether an entry has a body that may be erased.
fn has_body(stored: &Stored) -> bool {
    let is_tombstone = |body: &crate::Body| body.format == TOMBSTONE_FORMAT;
    matches!(stored.entry.content(), Content::Whole(whole) if !is_tombstone(&whole.body))
        && stored.place.kind != Kind::Lost
}

async fn prune_one(
    store: &dyn Store,
    info: &SessionInfo,
    needed: &HashSet<Number>,
    rule: &Retention,
    now_ms: i64,
) -> Result<Pruned> {
    let mut pruned = Pruned {
        session: info.name.clone(),
        changed_ms: info.changed_ms,
        erased: 0,
        shared: 0,
        dependants: Dependants::default(),
    };
    let mut from = 0;
    let mut going = Vec::new();
    loop {
        let page = store.scan(Some(&info.name), from, limits::PAGE).await?;
        let Some(last) = page.last() else { break };
        from = last.place.number + 1;
        for stored in page.iter().filter(|stored| has_body(stored)) {
            if needed.contains(&stored.place.number) {
                pruned.shared += 1;
            } else {
                going.push(stored.place.id);
            }
        }
    }
    pruned.erased = going.len() as u64;
    let most = usize::try_from(limits::ENTRIES_PER_CHANGE).unwrap_or(usize::MAX);
    for entries in going.chunks(most).filter(|_| !rule.dry_run) {
        let erased = store.erase(Erasure {
            session: info.name.clone(),
            entries: entries.to_vec(),
            by: rule.by.clone(),
            reason: rule.reason.clone(),
            at_ms: now_ms,
        });
        let found = erased.await?.dependants;
        pruned.dependants.summaries.extend(found.summaries);
        pruned.dependants.labels.extend(found.labels);
        pruned.dependants.branches.extend(found.branches);
    }
    Ok(pruned)
}
