//! Puts entries into changes of a bounded size and hands them to the store, which writes one while
//! the next is made. One more may wait, so that the store's writer never does.

use std::collections::{HashSet, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use treering_tree::{Change, Committed, Draft, Id, Move, Parent, Reason, Store, To};

use crate::error::{Error, Result};
use crate::limits;

type Underway<'a> = Pin<Box<dyn Future<Output = treering_tree::Result<Committed>> + Send + 'a>>;

/// The changes of one session.
pub(crate) struct Batch<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) session: &'a str,
    pub(crate) at_ms: i64,
    drafts: Vec<Draft>,
    bytes: usize,
    /// Changes in the store's queue, oldest first.
    underway: VecDeque<Underway<'a>>,
    /// Entries put so far.
    pub(crate) put: u64,
    added: u64,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(store: &'a dyn Store, session: &'a str, at_ms: i64) -> Self {
        let (drafts, underway) = (Vec::new(), VecDeque::new());
        Self { store, session, at_ms, drafts, bytes: 0, underway, put: 0, added: 0 }
    }

    pub(crate) fn put(&mut self, draft: Draft) {
        self.put += 1;
        self.bytes += draft.body().bytes.len();
        self.drafts.push(draft);
    }

    /// Hands what is there to the store once it is enough for a change.
    pub(crate) async fn flush_if_full(&mut self) -> Result<()> {
        if self.drafts.len() >= limits::BATCH_ENTRIES || self.bytes >= limits::BATCH_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    /// Waits until everything is durable; answers how many entries were new.
    pub(crate) async fn finish(&mut self) -> Result<u64> {
        self.finish_with(Vec::new(), None).await
    }

    /// The same, with branches moved in the last change: one wait for the disk instead of two.
    pub(crate) async fn finish_with(
        &mut self,
        mut moves: Vec<Move>,
        mut activate: Option<String>,
    ) -> Result<u64> {
        if moves.len() > limits::BATCH_MOVES {
            self.move_most(&mut moves, &mut activate).await?;
        }
        let drafts = std::mem::take(&mut self.drafts);
        if !drafts.is_empty() || !moves.is_empty() || activate.is_some() {
            let change = Change { activate, ..self.change(drafts, moves) };
            self.submit(change).await?;
        }
        self.settle(0).await?;
        Ok(self.added)
    }

    /// Moves the branches that are too many for the last change: all that go to entries of changes before
    /// it. As new entries come with the last change, whoever loads again after a crash between two finds
    /// something new, and moves the rest.
    async fn move_most(
        &mut self,
        moves: &mut Vec<Move>,
        activate: &mut Option<String>,
    ) -> Result<()> {
        let coming: HashSet<Id> = self.drafts.iter().filter_map(id_of).collect();
        // Whether a session is new shows by its active branch.
        moves.sort_by_key(|moved| moved.branch != *activate);
        let is_there =
            |moved: &mut Move| !matches!(moved.to, To::Entry(id) if coming.contains(&id));
        let most: Vec<Move> = moves.extract_if(.., is_there).collect();
        for moves in most.chunks(limits::BATCH_MOVES) {
            let names = moves.iter().filter_map(|moved| moved.branch.as_ref());
            let activate = activate.take_if(|active| names.clone().any(|name| name == active));
            let change = Change { activate, ..self.change(Vec::new(), moves.to_vec()) };
            self.submit(change).await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        if self.drafts.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        let drafts = std::mem::take(&mut self.drafts);
        self.submit(self.change(drafts, Vec::new())).await
    }

    async fn submit(&mut self, change: Change) -> Result<()> {
        let mut underway = self.store.commit(change);
        // Polled once, the change is in the store's queue.
        let begun = poll_fn(|context| match underway.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => Poll::Ready(None),
        });
        if let Some(done) = begun.await {
            return self.count(done);
        }
        self.underway.push_back(underway);
        self.settle(limits::BATCHES_UNDERWAY).await
    }

    /// Waits until at most `most` changes are under way.
    async fn settle(&mut self, most: usize) -> Result<()> {
        while self.underway.len() > most
            && let Some(underway) = self.underway.pop_front()
        {
            let done = underway.await;
            self.count(done)?;
        }
        Ok(())
    }

    fn count(&mut self, done: treering_tree::Result<Committed>) -> Result<()> {
        self.added += done.map_err(Error::tree(self.session))?.added as u64;
        Ok(())
    }

    fn change(&self, entries: Vec<Draft>, moves: Vec<Move>) -> Change {
        Change { entries, moves, ..Change::new(self.session, Reason::Import, self.at_ms) }
    }
}

/// The id that a draft has wherever it lands.
fn id_of(draft: &Draft) -> Option<Id> {
    match draft.parent {
        Parent::Is(parent) => Some(draft.id_under(parent)),
        Parent::Previous => None,
    }
}
