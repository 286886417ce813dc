//! `recover`: makes a new store of what is left of a damaged file. Every entry that still hashes to its
//! id comes back with that id; what it hangs on and is not there any more is named by a stand-in of
//! [`Kind::Lost`](crate::Kind::Lost). It reads bytes only: redb may refuse the file altogether. The
//! damaged file is never written to.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::path::Path;

use super::file;
use super::leaf::Raw;
use super::publish::{Taken, publish};
use super::restore::{Item, RECOVERED, Refused, Restorer};
use super::salvage::{self, At, Salvage};
use super::{Options, RedbStore};
use crate::counted::Counted;
use crate::entry::{Content, Entry};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::place::Number;
use crate::store::MAIN;

/// Lost entries named in a report.
const LOST_LISTED: usize = 10_000;

/// What `recover` found and what it did not.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct RecoverReport {
    /// Bytes of the damaged file.
    pub bytes: u64,
    /// Entries given back, with their own ids.
    pub entries: u64,
    /// Those of them whose bodies were erased.
    pub erased: u64,
    /// Entries the damaged store last counted, where its counters survived.
    pub counted: Option<u64>,
    /// Entries that something names and nothing holds any more: stand-ins in the new store.
    pub lost: u64,
    /// Ids of them, up to 10,000.
    pub lost_ids: Vec<Id>,
    /// Entries whose size in tokens was lost with their place: guessed as a fourth of their bytes.
    pub guessed_tokens: u64,
    /// Every session of the new store.
    pub sessions: Vec<RecoveredSession>,
    /// What is gone whatever happened to it: words for people.
    pub gone: Vec<String>,
}

/// One session of the new store.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RecoveredSession {
    /// Its name.
    pub name: String,
    /// Entries, stand-ins included.
    pub entries: u64,
    /// Branches that were found bound.
    pub branches: u64,
    /// Branches made for leaves that no branch was found to lead to.
    pub recovered_branches: u64,
}

impl RedbStore {
    /// Salvages what is left of a damaged store file into a new store at `into`, where nothing may be
    /// yet; blocks until it is done. `progress` hears of bytes read and in all. Keep others from
    /// writing to the damaged file meanwhile; it is only read. Memos and the history of heads do not
    /// come along, and bodies that were embedded in others as raw frames may turn up as entries.
    ///
    /// # Errors
    /// `Conflict` where there is something at `into`, `Storage`.
    pub fn recover(
        damaged: impl AsRef<Path>,
        into: impl AsRef<Path>,
        options: &Options,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<RecoverReport> {
        let (damaged, into) = (damaged.as_ref(), into.as_ref());
        let reading = |cause| file::storage(&format!("reading {}", damaged.display()), cause);
        if into.symlink_metadata().is_ok() {
            return Err(Error::Exists { what: "store", name: into.display().to_string() });
        }
        let mut raw = File::open(damaged).and_then(Raw::new).map_err(reading)?;
        let salvage = salvage::scan(&mut raw, progress).map_err(reading)?;
        publish(into, options, Taken::Refused, |temporary| {
            let restorer = Restorer::create(temporary, options, &salvage)?;
            let plan = Plan::of(&salvage);
            let mut recovery = Recovery { raw, salvage, plan, report: RecoverReport::default() };
            recovery.put(restorer)?;
            Ok(recovery.report)
        })
    }
}

/// A node of the forest to restore: an entry, or the stand-in for one.
struct Node {
    parent: Option<Id>,
    /// Where it goes, as an old session number; `None` where nobody knows.
    session: Option<u64>,
}

/// Everything that is decided before anything is written.
#[derive(Default)]
struct Plan {
    /// Parents and targets before those that name them.
    order: Vec<Id>,
    nodes: HashMap<Id, Node>,
    /// Old number to name.
    names: BTreeMap<u64, String>,
    /// Old session number and branch to head.
    heads: BTreeMap<(u64, String), Option<Id>>,
}

impl Plan {
    fn of(salvage: &Salvage) -> Self {
        let mut plan = Self::default();
        plan.heads(salvage);
        plan.order(salvage);
        plan.sessions(salvage);
        plan
    }

    fn heads(&mut self, salvage: &Salvage) {
        for ((session, branch), head) in &salvage.heads {
            let id = match &head.at {
                None => continue,
                Some(At::Nothing) => None,
                Some(At::Entry(id)) => Some(*id),
                Some(At::Number(number)) => match salvage.numbers.get(number) {
                    Some(id) => Some(*id),
                    // Whatever it led to, its leaf gets a branch.
                    None => continue,
                },
            };
            self.heads.insert((*session, branch.clone()), id);
        }
    }

    /// Walks up from every entry, by number, and puts down what it hangs on first.
    fn order(&mut self, salvage: &Salvage) {
        let number = |id: &Id| {
            let placed = salvage.places.get(id).map(|placed| placed.number);
            placed.or(salvage.entries.get(id).and_then(|found| found.number))
        };
        let mut ids: BTreeSet<(Number, Id)> = BTreeSet::new();
        let heads = self.heads.values().flatten();
        for id in salvage.entries.keys().chain(salvage.places.keys()).chain(heads) {
            ids.insert((number(id).unwrap_or(Number::MAX), *id));
        }
        let mut begun = HashSet::new();
        for (_, id) in ids {
            let mut stack = vec![(id, false)];
            while let Some((id, ready)) = stack.pop() {
                if ready {
                    self.node(salvage, id);
                } else if begun.insert(id) {
                    stack.push((id, true));
                    let target = salvage.entries.get(&id).and_then(|found| found.target);
                    stack.extend(target.map(|id| (id, false)));
                    stack.extend(parent_of(salvage, &id).map(|id| (id, false)));
                }
            }
        }
    }

    fn node(&mut self, salvage: &Salvage, id: Id) {
        // A damaged place may lead in circles: then it leads nowhere.
        let parent = parent_of(salvage, &id).filter(|parent| self.nodes.contains_key(parent));
        let placed = salvage.places.get(&id).map(|placed| placed.session);
        let by_journal = || {
            let number = salvage.entries.get(&id)?.number?;
            let (first, (count, session)) = salvage.runs.range(..=number).next_back()?;
            (number - first < *count).then_some(*session)
        };
        let inherited = || self.nodes.get(&parent?)?.session;
        let session = placed.or_else(by_journal).or_else(inherited);
        self.nodes.insert(id, Node { parent, session });
        self.order.push(id);
    }

    fn sessions(&mut self, salvage: &Salvage) {
        let rows = salvage.sessions.iter().map(|(number, row)| (*number, row.name.clone()));
        self.names = salvage.names.iter().map(|(number, name)| (*number, name.clone())).collect();
        self.names.extend(rows);
        let nodes = self.nodes.values().filter_map(|node| node.session);
        let trees = salvage.sessions.values().map(|row| row.tree);
        let needed: BTreeSet<u64> =
            nodes.chain(trees).chain(self.heads.keys().map(|key| key.0)).collect();
        for number in needed {
            self.names.entry(number).or_insert_with(|| format!("{RECOVERED}-session-{number}"));
        }
        let mut taken = HashSet::new();
        for (number, name) in &mut self.names {
            while !taken.insert(name.clone()) || name == RECOVERED {
                *name = format!("{RECOVERED}-session-{number}-{}", taken.len());
            }
        }
    }
}

/// What an entry says it stands under, or for one that is gone, what its place said.
fn parent_of(salvage: &Salvage, id: &Id) -> Option<Id> {
    if let Some(found) = salvage.entries.get(id) {
        return found.parent;
    }
    let placed = salvage.places.get(id)?;
    let parent = *salvage.numbers.get(&placed.parent?)?;
    let above = salvage.places.get(&parent);
    above.is_none_or(|above| above.depth + 1 == placed.depth).then_some(parent)
}

struct Recovery {
    raw: Raw,
    salvage: Salvage,
    plan: Plan,
    report: RecoverReport,
}

impl Recovery {
    fn put(&mut self, mut restorer: Restorer) -> Result<()> {
        let sessions = self.create_sessions(&mut restorer);
        let mut counts: BTreeMap<usize, RecoveredSession> = BTreeMap::new();
        for id in std::mem::take(&mut self.plan.order) {
            let session = self.plan.nodes.get(&id).and_then(|node| node.session);
            let session = session.and_then(|old| sessions.get(&old).copied());
            let item = self.item(id)?;
            let session = restorer.put(session, item)?;
            let name = restorer.name(session);
            count(&mut counts, session, name).entries += 1;
        }
        let heads = std::mem::take(&mut self.plan.heads);
        let mut bound: BTreeMap<usize, Vec<(String, Option<Id>)>> = BTreeMap::new();
        for ((old, branch), id) in heads {
            if let Some(session) = sessions.get(&old) {
                count(&mut counts, *session, restorer.name(*session)).branches += 1;
                bound.entry(*session).or_default().push((branch, id));
            }
        }
        self.name_leaves(&mut bound, &sessions, &mut counts, &mut restorer);
        restorer.flush()?;
        for (session, branches) in bound {
            restorer.bind(session, &branches)?;
        }
        let refused = restorer.finish()?;
        self.report.sessions = counts.into_values().collect();
        self.tell_the_rest(&refused);
        Ok(())
    }

    /// Old session number to the new one.
    fn create_sessions(&self, restorer: &mut Restorer) -> HashMap<u64, usize> {
        let numbers: HashMap<u64, usize> =
            self.plan.names.keys().enumerate().map(|(new, old)| (*old, new)).collect();
        for (old, name) in &self.plan.names {
            let row = self.salvage.sessions.get(old);
            let tree = row.and_then(|row| numbers.get(&row.tree));
            let active = row.map_or(MAIN, |row| row.active.as_str());
            let branches = || self.plan.heads.range((*old, String::new())..).map(|(key, _)| key);
            let own = |branch: &&(u64, String)| branch.0 == *old;
            let has = |name: &str| branches().take_while(own).any(|branch| branch.1 == name);
            let active = if has(active) { active } else { MAIN };
            let first = branches().next().filter(own).map_or(MAIN, |branch| branch.1.as_str());
            let active = if has(active) { active } else { first };
            restorer.session(name, active, tree.copied(), row);
        }
        numbers
    }

    fn item(&mut self, id: Id) -> Result<Item> {
        let parent = self.plan.nodes.get(&id).and_then(|node| node.parent);
        let size = self.salvage.places.get(&id).map(|placed| placed.size);
        let found = match self.salvage.entries.get(&id) {
            Some(found) => {
                let len = usize::try_from(found.len).unwrap_or(usize::MAX);
                salvage::read_frame(&mut self.raw, found.offset, len, found.parent)
                    .map_err(|cause| file::storage("reading the damaged file", cause))?
            }
            None => None,
        };
        let Some(mut entry) = found else {
            self.lost(id);
            return Ok(Item { entry: Entry::lost(id, parent), size: Counted::default() });
        };
        if let Content::Whole(_) | Content::Sealed(_) = entry.content()
            && self.salvage.erased.contains(&id)
        {
            entry = entry.without_body();
        }
        self.report.entries += 1;
        self.report.erased += u64::from(matches!(entry.content(), Content::Erased { .. }));
        let guess = || {
            self.report.guessed_tokens += 1;
            let bytes = entry.body().map_or(0, |body| body.bytes.len());
            Counted::from(u32::try_from(bytes.div_ceil(4)).unwrap_or(u32::MAX))
        };
        let size = size.unwrap_or_else(guess);
        Ok(Item { entry, size })
    }

    fn lost(&mut self, id: Id) {
        self.report.lost += 1;
        if self.report.lost_ids.len() < LOST_LISTED {
            self.report.lost_ids.push(id);
        }
    }

    /// Binds a branch to every entry that no branch leads to and nothing salvaged follows.
    fn name_leaves(
        &self,
        bound: &mut BTreeMap<usize, Vec<(String, Option<Id>)>>,
        sessions: &HashMap<u64, usize>,
        counts: &mut BTreeMap<usize, RecoveredSession>,
        restorer: &mut Restorer,
    ) {
        let mut followed: HashSet<Id> = HashSet::new();
        let heads = bound.values().flatten().filter_map(|(_, head)| *head);
        for id in heads.chain(self.salvage.entries.keys().copied()).collect::<Vec<_>>() {
            // The head itself is named; of an entry, what is above it is followed.
            let is_head = !self.salvage.entries.contains_key(&id);
            let mut above = if is_head { Some(id) } else { self.parent(&id) };
            while let Some(id) = above {
                if !followed.insert(id) {
                    break;
                }
                above = self.parent(&id);
            }
        }
        let named: HashSet<Id> = bound.values().flatten().filter_map(|(_, head)| *head).collect();
        let mut leaves: Vec<Id> = self.salvage.entries.keys().copied().collect();
        leaves.retain(|id| !followed.contains(id) && !named.contains(id));
        leaves.sort_unstable_by_key(|id| (self.salvage.entries.get(id).map(|it| it.number), *id));
        for id in leaves {
            let old = self.plan.nodes.get(&id).and_then(|node| node.session);
            let session = old.and_then(|old| sessions.get(&old).copied());
            let session = restorer.known(session);
            let count = count(counts, session, restorer.name(session));
            let branches = bound.entry(session).or_default();
            loop {
                count.recovered_branches += 1;
                let name = format!("{RECOVERED}-{}", count.recovered_branches);
                if !branches.iter().any(|(taken, _)| *taken == name) {
                    branches.push((name, Some(id)));
                    break;
                }
            }
        }
    }

    fn parent(&self, id: &Id) -> Option<Id> {
        self.plan.nodes.get(id).and_then(|node| node.parent)
    }

    fn tell_the_rest(&mut self, refused: &[Refused]) {
        for Refused { id, .. } in refused {
            self.lost(*id);
            self.report.entries -= 1;
        }
        self.report.bytes = self.salvage.bytes;
        self.report.counted = self.salvage.counters.as_ref().map(|counters| counters.entries);
        let gone = &mut self.report.gone;
        gone.push("the history of heads: there is nothing to undo".to_owned());
        gone.push("memos: leases, breakers and calibrations start anew".to_owned());
        if self.salvage.identity.is_none() {
            gone.push("the store's secret: what is imported again gets new ids".to_owned());
        }
        let no_place =
            |refused: &Refused| format!("{}, which is whole: {}", refused.id, refused.why);
        gone.extend(refused.iter().map(no_place));
    }
}

fn count<'c>(
    counts: &'c mut BTreeMap<usize, RecoveredSession>,
    session: usize,
    name: &str,
) -> &'c mut RecoveredSession {
    counts.entry(session).or_insert_with(|| RecoveredSession {
        name: name.to_owned(),
        entries: 0,
        branches: 0,
        recovered_branches: 0,
    })
}

#[cfg(test)]
mod tests;
