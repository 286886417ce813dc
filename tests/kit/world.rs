//! Random requests that suit a state: a pure function of the model and a seed, so that any part of a
//! sequence is a sequence too and failing ones shrink. Most requests are right, some are stale, refer
//! to nothing, or break a rule.

use std::sync::Arc;

use treering_tree::{
    Body, Change, Content, Draft, Envelope, Erasure, ErrorKind, Expect, Id, Kind, Label, Move,
    Nonce, Presence, Reason, Result, Session, Sources, Store, To, Tombstone,
};

use super::model::Model;
use super::rng::Rng;

/// Few of each, so that requests meet.
const SESSIONS: [&str; 3] = ["one", "two", "three"];
const BRANCHES: [&str; 3] = ["main", "side", "try"];
const CALLS: [&str; 7] = ["c0", "c1", "c2", "c3", "c4", "c5", "c6"];
const SLOTS: [&str; 2] = ["persona", "memory"];
const ALIASES: [&str; 6] = ["a0", "a1", "a2", "a3", "a4", "a5"];
/// Body sizes: nothing, a page and its neighbours, what compression begins at.
const SIZES: [usize; 8] = [0, 1, 40, 511, 700, 4095, 4096, 4097];

/// Something a caller asks for.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the fields are the arguments of the calls of the same names")]
pub enum Request {
    Append { session: String, drafts: Vec<Draft>, expect: Expect },
    Rewind { session: String, to: Option<Id>, expect: Expect },
    ForkBranch { session: String, branch: String, at: Id },
    ForkSession { session: String, name: String, at: Id },
    Switch { session: String, branch: String },
    Undo { session: String },
    Erase { session: String, entries: Vec<Id> },
}

impl Request {
    /// A request that suits the state.
    pub fn random(model: &Model, seed: u64) -> Self {
        let rng = &mut Rng::new(seed);
        let session = (*rng.pick(&SESSIONS)).to_owned();
        let known = model.lines.contains_key(&session);
        match rng.below(20) {
            16 if known => {
                let to = (!rng.chance(10)).then(|| some_id(model, &session, rng));
                let expect = expectation(model, &session, rng);
                Self::Rewind { session, to, expect }
            }
            17 if known => {
                let branch = (*rng.pick(&BRANCHES)).to_owned();
                let at = some_id(model, &session, rng);
                if rng.chance(50) {
                    Self::Switch { session, branch }
                } else {
                    Self::ForkBranch { session, branch, at }
                }
            }
            18 if known => {
                let name = (*rng.pick(&SESSIONS)).to_owned();
                let at = some_id(model, &session, rng);
                Self::ForkSession { session, name, at }
            }
            19 => Self::Undo { session },
            14 if known && rng.chance(30) => {
                let entries = (0..=rng.below(3)).map(|_| some_id(model, &session, rng)).collect();
                Self::Erase { session, entries }
            }
            15 if !model.nodes.is_empty() => retry(model, session, rng),
            _ => {
                let expect = expectation(model, &session, rng);
                let drafts = drafts(model, &session, rng);
                Self::Append { session, drafts, expect }
            }
        }
    }

    /// The change it comes to. An undo is none before the journal is read, an erasure takes its own way.
    pub fn change(&self) -> Option<Change> {
        let base = |session: &String, presence, reason, moves| Change {
            presence,
            moves,
            ..Change::new(session, reason, 0)
        };
        let moved = |branch: Option<&String>, expect, to| {
            let branch = branch.cloned();
            vec![Move { branch, expect, to }]
        };
        Some(match self {
            Self::Append { session, drafts, expect } => {
                let moves = moved(None, *expect, To::Last);
                let entries = drafts.clone();
                Change { entries, ..base(session, Presence::Any, Reason::Append, moves) }
            }
            Self::Rewind { session, to, expect } => {
                let moves = moved(None, *expect, to.map_or(To::Nothing, To::Entry));
                base(session, Presence::Existing, Reason::Rewind, moves)
            }
            Self::ForkBranch { session, branch, at } => {
                let moves = moved(Some(branch), Expect::Absent, To::Entry(*at));
                let activate = Some(branch.clone());
                Change { activate, ..base(session, Presence::Existing, Reason::Fork, moves) }
            }
            Self::ForkSession { name, at, .. } => {
                let moves = moved(None, Expect::Empty, To::Entry(*at));
                base(name, Presence::New, Reason::Fork, moves)
            }
            Self::Switch { session, branch } => {
                let activate = Some(branch.clone());
                let switch = base(session, Presence::Existing, Reason::Switch, Vec::new());
                Change { activate, ..switch }
            }
            Self::Undo { .. } | Self::Erase { .. } => return None,
        })
    }

    /// What the model makes of it.
    pub fn on_model(&self, model: &mut Model) -> Result<Vec<Id>, ErrorKind> {
        match (self, self.change()) {
            (Self::Undo { session }, _) => model.undo(session).map(|()| Vec::new()),
            (Self::Erase { session, entries }, _) => model.erase(session, entries, &tombstone()),
            (_, Some(change)) => model.commit(&change),
            (_, None) => unreachable!("all others are changes"),
        }
    }

    /// What the store makes of it, asked through a session.
    pub async fn on_store(&self, store: &Arc<dyn Store>) -> Result<Vec<Id>> {
        let session = |name: &str| Session::new(Arc::clone(store), name, Sources::fixed(0));
        let done = match self {
            Self::Append { session: name, drafts, expect } => {
                session(name).append_all(drafts.clone(), *expect).await?
            }
            Self::Rewind { session: name, to, expect } => {
                session(name).rewind(*to, *expect).await?
            }
            Self::ForkBranch { session: name, branch, at } => {
                session(name).fork_branch(branch, *at).await?
            }
            Self::ForkSession { session: from, name, at } => {
                session(from).fork_session(name, *at).await?;
                return Ok(Vec::new());
            }
            Self::Switch { session: name, branch } => session(name).switch(branch).await?,
            Self::Undo { session: name } => session(name).undo().await?,
            Self::Erase { session, entries } => {
                let Tombstone { by, at_ms, reason } = tombstone();
                let (session, entries) = (session.clone(), entries.clone());
                let erasure = Erasure { session, entries, by, reason, at_ms };
                return store.erase(erasure).await.map(|erased| erased.tombstones);
            }
        };
        Ok(done.ids)
    }
}

/// What every erasure says.
fn tombstone() -> Tombstone {
    Tombstone { by: "the test".to_owned(), at_ms: 0, reason: "a rule".to_owned() }
}

/// An entry of the session's path, of anywhere, or of nowhere.
fn some_id(model: &Model, session: &str, rng: &mut Rng) -> Id {
    let path = model.path(model.head(session));
    match rng.below(20) {
        0 => Id::from_bytes([9; 32]),
        1..=4 if !model.nodes.is_empty() => rng.pick(&model.nodes).entry.id(),
        _ if path.is_empty() => Id::from_bytes([8; 32]),
        _ => rng.pick(&path).entry.id(),
    }
}

fn expectation(model: &Model, session: &str, rng: &mut Rng) -> Expect {
    match (rng.below(8), model.head(session)) {
        (0, _) => Expect::Head(some_id(model, session, rng)),
        (1, _) => Expect::Empty,
        (2, Some(_)) => Expect::Behind(some_id(model, session, rng)),
        (3..=4, Some(head)) => Expect::Head(head),
        _ => Expect::Any,
    }
}

/// Up to three entries of anywhere again, as a caller that never got its answer sends them.
fn retry(model: &Model, session: String, rng: &mut Rng) -> Request {
    let from = rng.below(model.nodes.len());
    let again = model.nodes.iter().skip(from).take(1 + rng.below(3));
    let draft = |node: &Arc<super::model::Node>| {
        let envelope = node.entry.envelope().clone();
        let Content::Whole(whole) = node.entry.content() else {
            unreachable!("the model remembers every body")
        };
        let (parent, has_alias) = (envelope.parent, envelope.alias.is_some());
        let tokens = u32::try_from(node.tokens).unwrap();
        let draft = Draft::with(envelope, whole.nonce, whole.body.clone()).tokens(tokens);
        // An alias makes a retry safe where the parent is left open.
        if has_alias { draft } else { draft.under(parent) }
    };
    let drafts = again.clone().map(draft).collect();
    let own = again.clone().next().map(|node| node.session.clone());
    let session = if rng.chance(80) { own.unwrap_or(session) } else { session };
    let expect = expectation(model, &session, rng);
    Request::Append { session, drafts, expect }
}

fn drafts(model: &Model, session: &str, rng: &mut Rng) -> Vec<Draft> {
    let count = if rng.chance(20) { 1 + rng.below(4) } else { 1 };
    let mut drafts: Vec<Draft> = (0..count).map(|_| draft(model, session, rng)).collect();
    if rng.chance(5) {
        drafts[0] = drafts[0].clone().under(Some(some_id(model, session, rng)));
    } else if rng.chance(3) {
        drafts[0] = drafts[0].clone().under(None);
    }
    if let Some(last) = drafts.last_mut()
        && rng.chance(15)
    {
        *last = last.clone().alias(*rng.pick(&ALIASES));
    }
    drafts
}

fn draft(model: &Model, session: &str, rng: &mut Rng) -> Draft {
    let head = model.head(session);
    let target = some_id(model, session, rng);
    let mut envelope = Envelope::new(Kind::Note, i64::try_from(rng.below(1_000_000)).unwrap());
    let some_calls = |rng: &mut Rng| -> Vec<String> {
        (0..=rng.below(3)).map(|_| (*rng.pick(&CALLS)).to_owned()).collect()
    };
    envelope.kind = match rng.below(28) {
        0..=5 => Kind::User,
        6..=9 => Kind::Assistant,
        10..=13 => {
            envelope.calls = some_calls(rng);
            Kind::Assistant
        }
        14..=18 => {
            let open = model.open_calls(head);
            envelope.answers = match rng.below(6) {
                0 => some_calls(rng),
                1 => open,
                _ if open.is_empty() => some_calls(rng),
                _ => vec![rng.pick(&open).clone()],
            };
            Kind::ToolResult
        }
        19 => Kind::Note,
        20 => Kind::BranchSummary,
        21 => {
            envelope.target = Some(target);
            Kind::Record
        }
        22 => {
            envelope.slot = Some((*rng.pick(&SLOTS)).to_owned());
            Kind::SystemPrompt
        }
        kind @ 23..=25 => {
            envelope.target = Some(target);
            if kind == 25 { Kind::Unpin } else { Kind::Pin }
        }
        _ => {
            envelope.target = (!rng.chance(10)).then_some(target);
            Kind::Compaction
        }
    };
    let body = body(envelope.kind, rng);
    let nonce = Nonce(rng.bytes(16).try_into().unwrap());
    let tokens = u32::try_from(rng.below(100)).unwrap();
    Draft::with(envelope, nonce, body).tokens(tokens)
}

fn body(kind: Kind, rng: &mut Rng) -> Body {
    if kind == Kind::Record {
        return Label { name: format!("label {}", rng.below(9)) }.body();
    }
    let size = *rng.pick(&SIZES);
    let bytes = if rng.chance(50) { rng.bytes(size) } else { vec![b'a'; size] };
    Body::new("test/1", bytes)
}
