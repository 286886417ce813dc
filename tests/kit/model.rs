//! The plain model of a store: vectors, maps and walks from the root. It shares the types of entries
//! and changes with the engine, and none of its code; every answer is worked out the slow way. What a
//! model is given at a head is in [`model_context`](super::model_context).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::model_context::{Calls, kind, newest_cut, position};
use treering_tree::{
    Change, Draft, Entry, ErrorKind, Expect, HeadMove, Id, Kind, MAIN, Move, Parent, Presence,
    Reason, To,
};

/// An entry as the model keeps it.
#[derive(Debug)]
pub struct Node {
    /// The entry.
    pub entry: Entry,
    /// Its own size.
    pub tokens: u64,
    /// The session it was first appended in.
    pub session: String,
    tree: String,
}

/// A session.
#[derive(Clone, Debug)]
pub struct Line {
    tree: String,
    /// Name of its active branch.
    pub active: String,
    /// Where each branch is.
    pub branches: BTreeMap<String, Option<Id>>,
    /// Journal rows that can be taken back, oldest first.
    undoable: Vec<usize>,
}

/// What one change did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Name of the session.
    pub session: String,
    /// Why.
    pub reason: Reason,
    /// How many entries it added.
    pub added: u64,
    /// What moved.
    pub moves: Vec<HeadMove>,
    /// The active branch before and after, where that changed.
    pub activated: Option<(String, String)>,
}

/// A whole store. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Entries in append order.
    pub nodes: Vec<Arc<Node>>,
    /// Sessions by name.
    pub lines: BTreeMap<String, Line>,
    /// What was done.
    pub journal: Vec<Arc<Row>>,
    /// Entries whose bodies are gone.
    pub erased: BTreeSet<Id>,
    by_id: BTreeMap<Id, usize>,
}

impl Model {
    /// Applies a change whole, or refuses it with nothing done. Answers the ids of its entries.
    pub fn commit(&mut self, change: &Change) -> Result<Vec<Id>, ErrorKind> {
        let mut next = self.clone();
        let ids = next.apply(change)?;
        *self = next;
        Ok(ids)
    }

    /// Takes back the newest change of a session that was not taken back yet.
    pub fn undo(&mut self, session: &str) -> Result<(), ErrorKind> {
        let line = self.lines.get_mut(session).ok_or(ErrorKind::NotFound)?;
        let number = line.undoable.pop().ok_or(ErrorKind::NotFound)?;
        let row = Arc::clone(&self.journal[number]);
        let stays = row.activated.as_ref().map_or(&line.active, |(before, _)| before).clone();
        let mut moves = Vec::new();
        for done in &row.moves {
            let exists = done.existed || done.branch == stays;
            let back = HeadMove {
                existed: done.exists,
                exists,
                from: done.to,
                to: done.from,
                ..done.clone()
            };
            line.put(&back);
            moves.push(back);
        }
        let activated = (stays != line.active).then(|| (line.active.clone(), stays.clone()));
        line.active = stays;
        self.journal.push(Arc::new(Row {
            session: session.to_owned(),
            reason: Reason::Undo(number as u64),
            added: 0,
            moves,
            activated,
        }));
        Ok(())
    }

    /// Head of the active branch.
    pub fn head(&self, session: &str) -> Option<Id> {
        self.lines.get(session).and_then(|line| *line.branches.get(&line.active)?)
    }

    /// The path to an entry, root first.
    pub fn path(&self, head: Option<Id>) -> Vec<Arc<Node>> {
        let mut path = Vec::new();
        let mut next = head;
        while let Some(id) = next {
            let node = &self.nodes[self.by_id[&id]];
            next = node.entry.envelope().parent;
            path.push(Arc::clone(node));
        }
        path.reverse();
        path
    }

    /// Whether a compaction of this target could land under `head`, as the rules say.
    pub fn may_cut(&self, head: Option<Id>, target: Option<Id>) -> Result<(), ErrorKind> {
        let path = self.path(head);
        let first = match target {
            Some(id) if !self.by_id.contains_key(&id) => return Err(ErrorKind::NotFound),
            Some(id) => position(&path, &id).ok_or(ErrorKind::Invalid)?,
            None => path.len(),
        };
        let closes = path.get(first).is_some_and(|node| kind(node) == Kind::User);
        let before = Calls::of(&path[..first]);
        if !closes && before.open().next().is_some() {
            return Err(ErrorKind::Invalid);
        }
        match newest_cut(&path) {
            Some((_, older)) if first <= older => Err(ErrorKind::Conflict),
            _ => Ok(()),
        }
    }

    fn apply(&mut self, change: &Change) -> Result<Vec<Id>, ErrorKind> {
        let created = !self.lines.contains_key(&change.session);
        match change.presence {
            Presence::New if !created => return Err(ErrorKind::Conflict),
            Presence::Existing if created => return Err(ErrorKind::NotFound),
            _ => {}
        }
        let mut line =
            self.lines.get(&change.session).cloned().unwrap_or_else(|| self.new_line(change));
        let appended = self.append(change, &line);
        if appended.is_err() {
            // A lost swap says more than what does not fit where the branch is by now.
            for wanted in &change.moves {
                self.expected(wanted, &line)?;
            }
        }
        let (ids, added) = appended?;
        if added == 0
            && !ids.is_empty()
            && ids.iter().all(|id| self.node(id).session == change.session)
        {
            return Ok(ids);
        }
        let mut moves = Vec::new();
        for wanted in &change.moves {
            let moved = self.moved(wanted, &line, &ids)?;
            moves.push(moved);
        }
        for moved in &moves {
            line.put(moved);
        }
        let active = change.activate.clone().unwrap_or_else(|| line.active.clone());
        if change.activate.is_some() && !line.branches.contains_key(&active) {
            return Err(ErrorKind::NotFound);
        }
        let activated = (active != line.active).then(|| (line.active.clone(), active.clone()));
        line.active = active;
        if added == 0 && moves.is_empty() && activated.is_none() {
            return Ok(ids);
        }
        line.undoable.push(self.journal.len());
        self.journal.push(Arc::new(Row {
            session: change.session.clone(),
            reason: change.reason,
            added: added as u64,
            moves,
            activated,
        }));
        self.lines.insert(change.session.clone(), line);
        Ok(ids)
    }

    fn new_line(&self, change: &Change) -> Line {
        let forked = change.moves.first().and_then(|moved| match moved.to {
            To::Entry(id) => self.by_id.get(&id).map(|at| self.nodes[*at].tree.clone()),
            _ => None,
        });
        let active = change.moves.first().and_then(|moved| moved.branch.clone());
        Line {
            tree: forked.unwrap_or_else(|| change.session.clone()),
            active: active.unwrap_or_else(|| MAIN.to_owned()),
            branches: BTreeMap::new(),
            undoable: Vec::new(),
        }
    }

    fn node(&self, id: &Id) -> &Arc<Node> {
        &self.nodes[self.by_id[id]]
    }

    /// The entry of an id, with the body it came with.
    pub fn entry(&self, id: &Id) -> Option<&Entry> {
        self.by_id.get(id).map(|at| &self.nodes[*at].entry)
    }

    /// Appends the drafts that are not there yet; answers all ids, and how many were new.
    fn append(&mut self, change: &Change, line: &Line) -> Result<(Vec<Id>, usize), ErrorKind> {
        let branch =
            change.moves.first().and_then(|moved| moved.branch.as_ref()).unwrap_or(&line.active);
        let mut above = line.branches.get(branch).copied().flatten();
        let (mut ids, before) = (Vec::new(), self.nodes.len());
        for draft in &change.entries {
            if let Parent::Is(parent) = draft.parent {
                if parent.is_some_and(|id| !self.by_id.contains_key(&id)) {
                    return Err(ErrorKind::NotFound);
                }
                above = parent;
            }
            let id = match self.known(draft, above, line, &change.session)? {
                Some(id) => id,
                None => self.push(draft, above, line, &change.session)?,
            };
            ids.push(id);
            above = Some(id);
        }
        Ok((ids, self.nodes.len() - before))
    }

    fn known(
        &self,
        draft: &Draft,
        above: Option<Id>,
        line: &Line,
        session: &str,
    ) -> Result<Option<Id>, ErrorKind> {
        let alias = &draft.envelope().alias;
        let holds = |node: &&Arc<Node>| {
            node.tree == line.tree && alias.is_some() && node.entry.envelope().alias == *alias
        };
        let id = draft.id_under(above);
        let itself = self.by_id.contains_key(&id).then_some(id);
        let Some(node) = self.nodes.iter().find(holds) else { return Ok(itself) };
        let mut wanted = draft.envelope().clone();
        wanted.at_ms = node.entry.envelope().at_ms;
        let moved_on = draft.parent == Parent::Previous && node.session == session;
        wanted.parent = if moved_on { node.entry.envelope().parent } else { above };
        let alike = Some(draft.body()) == node.entry.body();
        let is_erased = self.erased.contains(&node.entry.id());
        let same = wanted == *node.entry.envelope() && (alike || is_erased);
        // Of two trees' entries with one alias, each is itself.
        same.then_some(node.entry.id()).or(itself).map(Some).ok_or(ErrorKind::Conflict)
    }

    fn push(
        &mut self,
        draft: &Draft,
        above: Option<Id>,
        line: &Line,
        session: &str,
    ) -> Result<Id, ErrorKind> {
        let entry = draft.entry_under(above);
        let target = entry.envelope().target;
        match entry.envelope().kind {
            Kind::Compaction => self.may_cut(above, target)?,
            Kind::Pin | Kind::Unpin => {
                let target = target.ok_or(ErrorKind::Invalid)?;
                let known =
                    self.by_id.contains_key(&target).then_some(()).ok_or(ErrorKind::NotFound);
                known?;
                position(&self.path(above), &target).ok_or(ErrorKind::Invalid)?;
            }
            _ => {}
        }
        let id = entry.id();
        self.by_id.insert(id, self.nodes.len());
        let (session, tree) = (session.to_owned(), line.tree.clone());
        self.nodes.push(Arc::new(Node { entry, tokens: u64::from(draft.tokens), session, tree }));
        Ok(id)
    }

    /// Whether `mark` is on the path to `head`, and nothing between them changes what a cut does.
    fn is_behind(&self, head: Id, mark: Id) -> bool {
        let path = self.path(Some(head));
        let changes = [Kind::Compaction, Kind::SystemPrompt, Kind::Pin, Kind::Unpin];
        position(&path, &mark)
            .is_some_and(|at| path[at + 1..].iter().all(|node| !changes.contains(&kind(node))))
    }

    fn expected(&self, wanted: &Move, line: &Line) -> Result<(), ErrorKind> {
        let branch = wanted.branch.as_ref().unwrap_or(&line.active);
        let from = line.branches.get(branch).copied().flatten();
        let expected = match wanted.expect {
            Expect::Any => true,
            Expect::Head(id) => from == Some(id),
            Expect::Behind(id) => from.is_some_and(|head| self.is_behind(head, id)),
            Expect::Empty => from.is_none(),
            Expect::Absent => !line.branches.contains_key(branch),
        };
        if expected { Ok(()) } else { Err(ErrorKind::Conflict) }
    }

    fn moved(&self, wanted: &Move, line: &Line, ids: &[Id]) -> Result<HeadMove, ErrorKind> {
        self.expected(wanted, line)?;
        let branch = wanted.branch.clone().unwrap_or_else(|| line.active.clone());
        let from = line.branches.get(&branch).copied();
        let to = match wanted.to {
            To::Last => ids.last().copied(),
            To::Entry(id) => Some(id),
            To::Nothing | To::Removed => None,
        };
        let exists = wanted.to != To::Removed;
        match to {
            Some(id) if !self.by_id.contains_key(&id) => Err(ErrorKind::NotFound),
            _ => Ok(HeadMove { branch, existed: from.is_some(), exists, from: from.flatten(), to }),
        }
    }
}

impl Line {
    fn put(&mut self, moved: &HeadMove) {
        if moved.exists {
            self.branches.insert(moved.branch.clone(), moved.to);
        } else {
            self.branches.remove(&moved.branch);
        }
    }
}
