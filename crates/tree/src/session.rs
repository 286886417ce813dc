//! A handle on one session: the sugar over [`Store`] that runtimes use.

use std::sync::Arc;

use crate::context::Context;
use crate::entry::{Body, Draft, Kind};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::limits;
use crate::message::Label;
use crate::place::Measure;
use crate::sources::Sources;
use crate::store::{
    Change, Committed, Expect, HeadMove, JournalRow, Move, Presence, Reason, SessionInfo, Store,
    Stored, To,
};

/// A handle on one session of a store. Cheap to clone; holds no state but names.
#[derive(Clone, Debug)]
pub struct Session {
    store: Arc<dyn Store>,
    name: String,
    sources: Sources,
}

impl Session {
    /// A handle on the session of that name, which comes to be with its first entry.
    pub fn new(store: Arc<dyn Store>, name: impl Into<String>, sources: Sources) -> Self {
        Self { store, name: name.into(), sources }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The store it lives in.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Time and randomness.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// What the store says of it.
    ///
    /// # Errors
    /// `NotFound` before its first entry.
    pub async fn info(&self) -> Result<SessionInfo> {
        self.store.session(&self.name).await
    }

    /// The active head; `None` where the session is empty or not there yet.
    ///
    /// # Errors
    /// `Corrupt`, `Storage`.
    pub async fn head(&self) -> Result<Option<Id>> {
        match self.info().await {
            Ok(info) => Ok(info.head),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A draft with the present time and a fresh nonce.
    pub fn draft(&self, kind: Kind, body: Body) -> Draft {
        Draft::new(kind, self.sources.now_ms(), self.sources.nonce(), body)
    }

    /// Appends one entry to the active branch, durably, and moves its head.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn append(&self, draft: Draft, expect: Expect) -> Result<Committed> {
        self.append_all(vec![draft], expect).await
    }

    /// Appends several entries to the active branch, all or none.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn append_all(&self, entries: Vec<Draft>, expect: Expect) -> Result<Committed> {
        let to = if entries.is_empty() {
            return Err(Error::invalid("change", "no entries"));
        } else {
            To::Last
        };
        self.commit(Reason::Append, entries, vec![Move { branch: None, expect, to }]).await
    }

    /// Moves the active branch to another entry, or before the first one. Nothing is removed.
    ///
    /// # Errors
    /// `NotFound` for an unknown entry or session.
    pub async fn rewind(&self, to: Option<Id>, expect: Expect) -> Result<Committed> {
        let to = to.map_or(To::Nothing, To::Entry);
        let change = Change {
            presence: Presence::Existing,
            ..self.change(Reason::Rewind, vec![], vec![Move { branch: None, expect, to }])
        };
        self.store.commit(change).await
    }

    /// Binds a new branch of this session to an entry and makes it active.
    ///
    /// # Errors
    /// `Conflict` where the branch exists, `NotFound` for an unknown entry.
    pub async fn fork_branch(&self, branch: &str, at: Id) -> Result<Committed> {
        let to_branch =
            Move { branch: Some(branch.to_owned()), expect: Expect::Absent, to: To::Entry(at) };
        let change = Change {
            presence: Presence::Existing,
            activate: Some(branch.to_owned()),
            ..self.change(Reason::Fork, vec![], vec![to_branch])
        };
        self.store.commit(change).await
    }

    /// Binds a new session to an entry. Nothing is copied.
    ///
    /// # Errors
    /// `Conflict` where the session exists, `NotFound` for an unknown entry.
    pub async fn fork_session(&self, name: &str, at: Id) -> Result<Self> {
        let fork = Self { name: name.to_owned(), ..self.clone() };
        let bound = Move { branch: None, expect: Expect::Empty, to: To::Entry(at) };
        let change =
            Change { presence: Presence::New, ..fork.change(Reason::Fork, vec![], vec![bound]) };
        self.store.commit(change).await?;
        Ok(fork)
    }

    /// Makes another branch active.
    ///
    /// # Errors
    /// `NotFound` for an unknown branch.
    pub async fn switch(&self, branch: &str) -> Result<Committed> {
        let change = Change {
            activate: Some(branch.to_owned()),
            ..self.change(Reason::Switch, vec![], vec![])
        };
        self.store.commit(change).await
    }

    /// Names an entry; an empty name takes its name away. The label is an entry of its own, under
    /// the active head.
    ///
    /// # Errors
    /// `NotFound` for an unknown entry; `Invalid` for a name that is over
    /// [`NAME_BYTES`](limits::NAME_BYTES) or holds control characters.
    pub async fn label(&self, entry: Id, name: &str) -> Result<Committed> {
        if !name.is_empty() {
            limits::check_name("label", name)?;
        }
        if self.store.entries(&[entry]).await?.pop().flatten().is_none() {
            return Err(Error::no_entry(&entry));
        }
        let body = Label { name: name.to_owned() }.body();
        self.append(self.draft(Kind::Record, body).target(entry), Expect::Any).await
    }

    /// Takes back the newest change of heads that was not taken back yet. Entries stay.
    ///
    /// # Errors
    /// `NotFound` when there is nothing left to take back.
    pub async fn undo(&self) -> Result<Committed> {
        let row = self.newest_undoable().await?;
        let stays = match &row.activated {
            Some((before, _)) => before.clone(),
            None => self.info().await?.active,
        };
        let back = |moved: &HeadMove| Move {
            branch: Some(moved.branch.clone()),
            expect: moved.to.map_or(Expect::Empty, Expect::Head),
            to: match moved.from {
                Some(from) => To::Entry(from),
                None if moved.existed || moved.branch == stays => To::Nothing,
                None => To::Removed,
            },
        };
        let change = Change {
            activate: row.activated.as_ref().map(|(before, _)| before.clone()),
            ..self.change(Reason::Undo(row.number), vec![], row.moves.iter().map(back).collect())
        };
        self.store.commit(change).await
    }

    async fn newest_undoable(&self) -> Result<JournalRow> {
        let nothing = || Error::NotFound { what: "undo", name: self.name.clone() };
        let mut number = Some(self.info().await?.journal);
        while let Some(at) = number {
            let row = self.store.journal(at, 1).await?.pop().ok_or_else(nothing)?;
            number = match row.reason {
                // Only backwards: damage must not send the walk in circles.
                Reason::Undo(of) if of < at => {
                    let undone = self.store.journal(of, 1).await?.pop().ok_or_else(nothing)?;
                    undone.previous_in_session.filter(|before| *before < of)
                }
                Reason::Undo(of) => {
                    return Err(Error::corrupt("journal", format!("row {at} takes back row {of}")));
                }
                Reason::Recover => None,
                _ => return Ok(row),
            };
        }
        Err(nothing())
    }

    /// What a model is given at the active head.
    ///
    /// # Errors
    /// `Corrupt`, `Storage`.
    pub async fn context(&self) -> Result<Context> {
        match self.head().await? {
            Some(head) => Context::at(&*self.store, head).await,
            None => Ok(Context::empty()),
        }
    }

    /// Size of the context at the active head; `None` where the session is empty. O(log n).
    ///
    /// # Errors
    /// `Corrupt`, `Storage`.
    pub async fn measure(&self) -> Result<Option<Measure>> {
        match self.head().await? {
            Some(head) => self.store.measure(head).await.map(Some),
            None => Ok(None),
        }
    }

    /// Walks the active path, root to head, everything included.
    ///
    /// # Errors
    /// `Corrupt`, `Storage`.
    pub async fn replay(&self) -> Result<Replay> {
        Ok(Replay::new(Arc::clone(&self.store), self.head().await?))
    }

    async fn commit(
        &self,
        reason: Reason,
        entries: Vec<Draft>,
        moves: Vec<Move>,
    ) -> Result<Committed> {
        self.store.commit(self.change(reason, entries, moves)).await
    }

    fn change(&self, reason: Reason, entries: Vec<Draft>, moves: Vec<Move>) -> Change {
        Change { entries, moves, ..Change::new(&self.name, reason, self.sources.now_ms()) }
    }
}

/// The path to a head, root first, fetched a page at a time.
#[derive(Debug)]
pub struct Replay {
    store: Arc<dyn Store>,
    head: Option<Id>,
    next_depth: u64,
}

impl Replay {
    /// Entries in one page.
    const PAGE: u64 = 512;

    /// The path to `head`; `None` replays nothing.
    pub fn new(store: Arc<dyn Store>, head: Option<Id>) -> Self {
        Self { store, head, next_depth: 0 }
    }

    /// The next entries, root side first; empty at the end.
    ///
    /// # Errors
    /// `NotFound` for an unknown head, `Corrupt`, `Storage`.
    pub async fn next_page(&mut self) -> Result<Vec<Stored>> {
        let Some(head) = self.head else {
            return Ok(Vec::new());
        };
        let depths = self.next_depth..self.next_depth + Self::PAGE;
        let page = self.store.path(head, depths).await?;
        self.next_depth += page.len() as u64;
        Ok(page)
    }

    /// All of it. O(path) in time and memory.
    ///
    /// # Errors
    /// As [`Replay::next_page`].
    pub async fn collect(mut self) -> Result<Vec<Stored>> {
        let mut all = Vec::new();
        loop {
            let page = self.next_page().await?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }
}

#[cfg(test)]
#[cfg(feature = "redb")]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::message::{Message, Role};
    use crate::{Options, RedbStore};

    async fn session() -> (Session, Id) {
        let store = RedbStore::in_memory(Options::new(Sources::fixed(1))).unwrap();
        let session = Session::new(Arc::new(store), "one", Sources::fixed(2));
        let draft = session.draft(Kind::User, Message::text(Role::User, "hello").body());
        let id = session.append(draft, Expect::Any).await.unwrap().ids[0];
        (session, id)
    }

    #[tokio::test]
    async fn only_an_append_or_a_fork_makes_a_session() {
        let (one, id) = session().await;
        let ghost = Session::new(Arc::clone(one.store()), "ghost", Sources::fixed(3));
        assert_eq!((one.name(), ghost.name()), ("one", "ghost"));
        let refused = [
            ghost.rewind(Some(id), Expect::Any).await.map(drop),
            ghost.rewind(None, Expect::Any).await.map(drop),
            ghost.fork_branch("side", id).await.map(drop),
            ghost.switch("side").await.map(drop),
            ghost.undo().await.map(drop),
        ];
        for refused in refused {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotFound);
        }
        let names = |sessions: Vec<SessionInfo>| sessions.into_iter().map(|info| info.name);
        let known = one.store().sessions(None, 9).await.unwrap();
        assert_eq!(names(known).collect::<Vec<_>>(), ["one"]);
    }

    #[tokio::test]
    async fn a_fork_never_takes_the_name_of_a_session_that_is_there() {
        let (one, id) = session().await;
        let two = one.fork_session("two", id).await.unwrap();
        two.rewind(None, Expect::Any).await.unwrap();
        for name in ["one", "two"] {
            let taken = one.fork_session(name, id).await.unwrap_err();
            assert_eq!(taken.kind(), ErrorKind::Conflict, "{name}: {taken}");
        }
        assert_eq!(two.head().await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_branch_is_there_behind_any_number_of_others_and_without_an_entry() {
        let (one, id) = session().await;
        let bind = |name: String, to| Move { branch: Some(name), expect: Expect::Absent, to };
        let many = (0..limits::PAGE).map(|n| bind(format!("branch-{n:05}"), To::Entry(id)));
        one.commit(Reason::Fork, vec![], many.collect()).await.unwrap();
        let last = vec![bind("last".to_owned(), To::Nothing)];
        one.commit(Reason::Fork, vec![], last).await.unwrap();
        for name in ["branch-00000", "last", crate::MAIN] {
            let taken = one.fork_branch(name, id).await.unwrap_err();
            assert!(matches!(taken, Error::Exists { what: "branch", .. }), "{name}: {taken}");
        }
        one.fork_branch("one more", id).await.unwrap();
    }

    #[tokio::test]
    async fn a_session_that_is_not_there_yet_has_an_empty_context_and_no_size() {
        let (one, id) = session().await;
        let ghost = Session::new(Arc::clone(one.store()), "ghost", one.sources().clone());
        assert_eq!(ghost.context().await.unwrap(), Context::empty());
        assert_eq!(ghost.measure().await.unwrap(), None);
        assert_eq!(ghost.replay().await.unwrap().collect().await.unwrap(), []);
        let nothing = ghost.append_all(Vec::new(), Expect::Any).await.unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::Invalid);
        let context = one.context().await.unwrap();
        assert_eq!((context.head, context.items.len()), (Some(id), 1));
        assert!(!context.items[0].is_masked() && !context.items[0].is_interruption());
        one.rewind(None, Expect::Any).await.unwrap();
        assert_eq!(one.context().await.unwrap(), Context::empty());
    }

    #[tokio::test]
    async fn a_label_names_an_entry_that_is_there_and_other_records_need_none() {
        let (one, id) = session().await;
        let unknown = Id::from_bytes([9; 32]);
        let refused = one.label(unknown, "lost").await.unwrap_err();
        assert_eq!((refused.kind(), one.head().await.unwrap()), (ErrorKind::NotFound, Some(id)));
        let label = one.label(id, "start").await.unwrap().ids[0];
        let named = one.store().entries(&[label]).await.unwrap().remove(0).unwrap();
        assert_eq!(named.entry.envelope().target, Some(id));
        assert_eq!(Label::from_body(named.entry.body().unwrap()).unwrap().name, "start");
        let record = one.draft(Kind::Record, Body::new("text", "of another store"));
        one.append(record.target(unknown), Expect::Any).await.unwrap();
    }

    #[tokio::test]
    async fn a_row_that_takes_back_itself_or_a_later_one_is_damage() {
        for of in [1, 2] {
            let (one, id) = session().await;
            let moved = Move { branch: None, expect: Expect::Any, to: To::Entry(id) };
            one.commit(Reason::Undo(of), vec![], vec![moved]).await.unwrap();
            assert_eq!(one.info().await.unwrap().journal, 1);
            let refused = one.undo().await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Corrupt, "of row {of}: {refused}");
        }
    }

    #[tokio::test]
    async fn nothing_before_a_recovery_is_taken_back() {
        let (one, id) = session().await;
        let moved = Move { branch: None, expect: Expect::Any, to: To::Nothing };
        one.commit(Reason::Recover, vec![], vec![moved]).await.unwrap();
        assert_eq!(one.undo().await.unwrap_err().kind(), ErrorKind::NotFound);
        one.rewind(Some(id), Expect::Any).await.unwrap();
        one.undo().await.unwrap();
        assert_eq!(one.head().await.unwrap(), None);
        assert_eq!(one.undo().await.unwrap_err().kind(), ErrorKind::NotFound);
    }
}
