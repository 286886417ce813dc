//! Weaves records into the tree: finds each its parent, keeps the tree's rules, and reports what did
//! not fit. It holds what an index holds (ids, depths, open calls), never a body, and knows neither
//! formats nor files.
//!
//! A record may only name what stands before it in its file. So the tree has no cycles by
//! construction, and what the first part of a file became does not depend on what follows.

mod key;
mod open;
mod rows;

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use treering_tree::limits::{CALLS_PER_ENTRY, check_name};
use treering_tree::{Id, Kind, Message};

pub(crate) use self::key::Key;
use self::open::{OpenCalls, Set};
use self::rows::{Facts, NONE, Rows};
pub(crate) use self::rows::{Node, Strand};
use crate::formats::{About, Hangs, Meaning, Stands};
use crate::limits;
use crate::report::{RepairKind, quoted};

/// What was wrong with one record.
pub(crate) type Repairs = Vec<(RepairKind, String)>;

/// Whose id a name is.
#[derive(Clone, Copy)]
struct Name {
    node: Node,
    /// How many records name it as their parent.
    children: u32,
    /// How many records after the first have it.
    copies: u32,
}

const NOBODY: Name = Name { node: NONE, children: 0, copies: 0 };

/// Where a record stands.
#[derive(Clone, Copy)]
pub(crate) struct At {
    pub(crate) file: u32,
    pub(crate) line: u64,
}

/// What became of a record.
pub(crate) struct Woven {
    /// Its node; to be [bound](Loom::bind) to an id.
    pub(crate) node: Node,
    pub(crate) kind: Kind,
    pub(crate) parent: Option<Id>,
    pub(crate) target: Option<Id>,
    pub(crate) calls: Vec<String>,
    pub(crate) answers: Vec<String>,
    /// How many records before it have its id.
    pub(crate) copies: u32,
}

/// The tree so far.
#[derive(Default)]
pub(crate) struct Loom {
    rows: Rows,
    names: HashMap<Key, Name>,
    open: OpenCalls,
    /// Calls without a result yet, and where they were made.
    unanswered: HashMap<Box<str>, At>,
    called: HashSet<u64>,
    /// Nodes of the present file by number of the record; [`NONE`] for those beside the tree.
    records: Vec<Node>,
    /// Nodes of the present file by their mark.
    marks: HashMap<u64, Node>,
    /// The newest node of the present file.
    newest: Option<Node>,
    /// Where the conversation stands, if a record told.
    stands: Option<Stands>,
    pub(crate) nodes: u64,
    pub(crate) roots: u64,
    pub(crate) forks: u64,
}

impl Loom {
    /// Begins a file: what is counted per file starts over.
    pub(crate) fn begin_file(&mut self) {
        self.rows.begin_file();
        self.records.clear();
        self.marks.clear();
        self.newest = None;
    }

    /// Counts a record beside the tree.
    pub(crate) fn pass(&mut self, meaning: &Meaning) {
        self.stands = meaning.stands.clone().or(self.stands.take());
        self.records.push(NONE);
    }

    /// The head of the conversation: where a record said that it stands (`None` for before its first
    /// entry), or `otherwise` where none did or the one it named is not there.
    pub(crate) fn stands(&self, otherwise: Option<Node>) -> Option<Node> {
        let find = |id: &str| self.names.get(&Key::of(id)).map(|name| name.node);
        let (named, before) = match &self.stands {
            Some(Stands::At(id)) => (find(id), false),
            Some(Stands::Before(id)) => (find(id), true),
            None => (None, false),
        };
        match named.filter(|node| *node != NONE) {
            Some(node) if before => self.parent(node),
            Some(node) => Some(node),
            None => otherwise,
        }
    }

    /// Places a record of the tree.
    pub(crate) fn weave(&mut self, meaning: &Meaning, at: At, repairs: &mut Repairs) -> Woven {
        let (mut calls, answers) = usable_calls(meaning, repairs);
        let given = self.given_parent(meaning, repairs);
        let parent = given.map(|given| self.attach(given, meaning, &answers, repairs));
        self.roots += u64::from(meaning.hangs == Hangs::Root);
        let (kind, target) = self.judge(meaning, parent, repairs);
        let before = match parent {
            Some(parent) if kind != Kind::User => self.rows[parent].open,
            _ => Set::EMPTY,
        };
        self.settle_calls(before, &mut calls, &answers, at, repairs);
        let group = meaning.group.as_deref().map_or(0, hash);
        let facts = Facts { kind, standing: meaning.standing, group, file: at.file, line: at.line };
        let node = self.rows.push(parent, &facts);
        let hashes = |ids: &[String]| ids.iter().map(|id| hash(id)).collect::<Vec<_>>();
        self.rows[node].open = self.open.after(before, &hashes(&answers), &hashes(&calls));
        if kind == Kind::Compaction {
            self.rows[node].kept_depth = Some(self.rows[target.unwrap_or(node)].depth);
        }
        if let (Some(given), Some(parent)) = (given, parent) {
            let same_message = group != 0 && self.rows[given].group == group;
            if same_message || (meaning.continues && self.rows[parent].open != Set::EMPTY) {
                self.rows.set_stand_in(parent, node);
            }
        }
        let copies = self.take_name(meaning, node, repairs);
        self.records.push(node);
        self.marks.extend(meaning.mark.map(|mark| (mark, node)));
        self.newest = Some(node);
        let id_of = |node: Node| self.rows[node].id;
        let (parent, target) = (parent.map(id_of), target.map(id_of));
        Woven { node, kind, parent, target, calls, answers, copies }
    }

    /// Tells which id a node got.
    pub(crate) fn bind(&mut self, node: Node, id: Id) {
        self.rows[node].id = id;
    }

    pub(crate) fn id(&self, node: Node) -> Id {
        self.rows[node].id
    }

    /// Ids of all nodes.
    pub(crate) fn ids(&self) -> impl Iterator<Item = Id> + '_ {
        self.rows.ids()
    }

    /// Whether a record has that id.
    pub(crate) fn is_named(&self, key: &Key) -> bool {
        self.names.get(key).is_some_and(|name| name.node != NONE)
    }

    /// Calls that got no result, in file order.
    pub(crate) fn unanswered(&self) -> Vec<(&str, At)> {
        let mut all: Vec<_> = self.unanswered.iter().map(|(call, at)| (&**call, *at)).collect();
        all.sort_unstable_by_key(|(call, at)| (at.file, at.line, *call));
        all
    }

    /// Whether a call still waits for its result where a file ends.
    pub(crate) fn is_open_at_the_end(&self, call: &str, file: u32) -> bool {
        let last = self.last(file);
        last.is_some_and(|last| self.open.holds(self.rows[last].open, hash(call)))
    }

    pub(crate) fn strands(&self) -> impl Iterator<Item = Strand> + '_ {
        self.rows.strands()
    }

    pub(crate) fn parent(&self, node: Node) -> Option<Node> {
        Some(self.rows[node].parent).filter(|parent| *parent != NONE)
    }

    /// The last node of a file.
    pub(crate) fn last(&self, file: u32) -> Option<Node> {
        self.rows.last(file)
    }

    /// The node that ends the conversation of a file: under the last of what user or model said
    /// that leads to a record whose id no other names as its parent.
    pub(crate) fn last_leaf(&self, file: u32) -> Option<Node> {
        self.rows.last_leaf(file).or_else(|| self.rows.last(file))
    }

    fn given_parent(&mut self, meaning: &Meaning, repairs: &mut Repairs) -> Option<Node> {
        let named = match &meaning.hangs {
            Hangs::Under(named) => named,
            Hangs::Previous => return self.newest,
            Hangs::Beside(mark) => {
                return self.marks.get(mark).and_then(|node| self.parent(*node));
            }
            Hangs::Root | Hangs::Aside => return None,
        };
        if meaning.id.as_ref() == Some(named) {
            let detail = "names itself as its parent; made a root".to_owned();
            repairs.push((RepairKind::SelfParent, detail));
            return None;
        }
        let is_copy = meaning.id.as_deref().is_some_and(|id| self.is_named(&Key::of(id)));
        let name = self.names.entry(Key::of(named)).or_insert(NOBODY);
        if !is_copy || name.children == 0 {
            name.children += 1;
            self.forks += u64::from(name.children == 2);
        }
        if name.node == NONE {
            let detail = format!("parent {} does not stand before it; made a root", quoted(named));
            repairs.push((RepairKind::DanglingParent, detail));
            return None;
        }
        self.rows[name.node].is_end = false;
        Some(name.node)
    }

    /// Where a record goes whose parent is `given`.
    ///
    /// Tools record parallel calls as a fork: the first result and the second call both name the
    /// first call as their parent. What goes on with a group of open calls is therefore attached to
    /// the end of that group, so that no answered call looks unanswered.
    fn attach(
        &mut self,
        given: Node,
        meaning: &Meaning,
        answers: &[String],
        repairs: &mut Repairs,
    ) -> Node {
        let end = self.rows.stand_in(given);
        let answers_open = |node: Node| {
            let open = self.rows[node].open;
            answers.iter().any(|answer| self.open.holds(open, hash(answer)))
        };
        let mut at = end;
        if meaning.continues && answers_open(end) {
            for _ in 0..limits::LATE_STEPS {
                let next = self.rows[at].newest_child;
                if next == NONE || !answers_open(next) {
                    break;
                }
                at = next;
            }
        }
        let line = |node: Node| self.rows[node].line;
        if at != end {
            let (from, to) = (line(end), line(at));
            let detail =
                format!("the conversation went on from line {from}; moved behind line {to}");
            repairs.push((RepairKind::LateResult, detail));
        } else if at != given {
            let (from, to) = (line(given), line(at));
            let detail = format!(
                "parent at line {from}; moved behind line {to}, where its group of calls ends"
            );
            repairs.push((RepairKind::ParallelFork, detail));
        }
        at
    }

    /// What a record is in the tree, and what it is about.
    fn judge(
        &self,
        meaning: &Meaning,
        parent: Option<Node>,
        repairs: &mut Repairs,
    ) -> (Kind, Option<Node>) {
        match (&meaning.about, meaning.kind) {
            (Some(about), Kind::Compaction) => match self.first_kept(parent, about, repairs) {
                Ok(first_kept) => (Kind::Compaction, first_kept),
                Err(why) => {
                    let detail = format!("{why}; kept as a record");
                    repairs.push((RepairKind::UnusableCompaction, detail));
                    (Kind::Record, None)
                }
            },
            (Some(about), kind) => {
                let found = self.find(about);
                if let (None, About::Id(id)) = (found, about) {
                    let detail = format!("it is about {}, not found before it", quoted(id));
                    repairs.push((RepairKind::DanglingTarget, detail));
                }
                (kind, found)
            }
            (None, kind) => (kind, None),
        }
    }

    /// The first kept entry of a compaction under `parent`, or why the tree does not allow it.
    fn first_kept(
        &self,
        parent: Option<Node>,
        about: &About,
        repairs: &mut Repairs,
    ) -> Result<Option<Node>, &'static str> {
        let wanted = match about {
            About::Nothing => None,
            named => {
                let found =
                    self.find(named).ok_or("its first kept entry does not stand before it")?;
                if !parent.is_some_and(|parent| self.rows.is_above(found, parent)) {
                    return Err("its first kept entry is not on its path");
                }
                Some(found)
            }
        };
        let open = parent.filter(|parent| self.rows[*parent].open != Set::EMPTY);
        let cut = wanted.or(open).map(|node| self.rows[node].cut);
        let own_depth = parent.map_or(0, |parent| self.rows[parent].depth + 1);
        let cut_depth = cut.map_or(own_depth, |cut| self.rows[cut].depth);
        let before = parent.and_then(|parent| self.rows[parent].kept_depth);
        if before.is_some_and(|before| cut_depth <= before) {
            return Err("it covers nothing that the compaction before it does not");
        }
        if let Some(cut) = cut.filter(|cut| Some(*cut) != wanted) {
            let line = self.rows[cut].line;
            let detail = format!(
                "first kept entry moved back to line {line}, so that no call is parted from its result"
            );
            repairs.push((RepairKind::MovedCut, detail));
        }
        Ok(cut)
    }

    fn find(&self, about: &About) -> Option<Node> {
        let node = match about {
            About::Id(id) => self.names.get(&Key::of(id))?.node,
            About::Nth(nth) => {
                let from = usize::try_from(*nth).ok()?;
                *self.records.get(from..)?.iter().find(|node| **node != NONE)?
            }
            About::Nothing => return None,
        };
        (node != NONE).then_some(node)
    }

    /// Pairs results with calls, and drops calls that would be too many.
    fn settle_calls(
        &mut self,
        before: Set,
        calls: &mut Vec<String>,
        answers: &[String],
        at: At,
        repairs: &mut Repairs,
    ) {
        for answer in answers {
            self.unanswered.remove(answer.as_str());
            if !self.called.contains(&hash(answer)) {
                let detail = format!("no call {} stands before it; kept", quoted(answer));
                repairs.push((RepairKind::OrphanResult, detail));
            }
        }
        let room = self.open.room(before);
        if calls.len() > room {
            let (over, limit) = (calls.len() - room, limits::OPEN_CALLS);
            let detail = format!("{over} calls over the limit of {limit} open ones; not paired");
            repairs.push((RepairKind::TooManyCalls, detail));
            calls.truncate(room);
        }
        for call in calls {
            self.called.insert(hash(call));
            self.unanswered.insert(call.as_str().into(), at);
        }
    }

    fn take_name(&mut self, meaning: &Meaning, node: Node, repairs: &mut Repairs) -> u32 {
        let Some(id) = &meaning.id else {
            self.nodes += 1;
            return 0;
        };
        let name = self.names.entry(Key::of(id)).or_insert(NOBODY);
        if name.node == NONE {
            if name.children > 0 {
                let detail = format!("{} was named as a parent before it came", quoted(id));
                repairs.push((RepairKind::LateParent, detail));
            }
            self.nodes += 1;
            name.node = node;
            self.rows[node].is_end = name.children == 0;
            return 0;
        }
        // A record that says whose place it takes is no accident.
        if !matches!(meaning.hangs, Hangs::Beside(_)) {
            let line = self.rows[name.node].line;
            let detail =
                format!("id {} is that of line {line}; from here on it is this one", quoted(id));
            let kind = if meaning.preserved {
                RepairKind::PreservedRecord
            } else {
                RepairKind::DuplicateId
            };
            repairs.push((kind, detail));
        }
        name.copies += 1;
        // Another file of the session does not take an id away from the one that had it.
        if self.rows.file(name.node) == self.rows.file(node) {
            self.rows[name.node].is_end = false;
            self.rows[node].is_end = name.children == 0;
            name.node = node;
        }
        name.copies
    }
}

fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish().max(1)
}

/// Calls and answers of a record that the tree takes.
fn usable_calls(meaning: &Meaning, repairs: &mut Repairs) -> (Vec<String>, Vec<String>) {
    let mut usable = |what: &str, mut ids: Vec<String>| {
        let all = ids.len();
        ids.retain(|id| check_name("tool call id", id).is_ok());
        ids.truncate(usize::try_from(CALLS_PER_ENTRY).unwrap_or(usize::MAX));
        if ids.len() < all {
            let without = all - ids.len();
            let detail = format!("{without} of {all} {what} have no usable id; not paired");
            repairs.push((RepairKind::UnusableId, detail));
        }
        ids
    };
    match (&meaning.message, meaning.kind) {
        (Some(message), Kind::Assistant) => {
            // What a record calls and answers in one is nobody else's business.
            let answered: HashSet<String> = Message::answers(message).into_iter().collect();
            let mut calls = Message::calls(message);
            calls.retain(|call| !answered.contains(call));
            (usable("calls", calls), vec![])
        }
        (Some(message), Kind::ToolResult) => (vec![], usable("results", Message::answers(message))),
        _ => (vec![], vec![]),
    }
}
