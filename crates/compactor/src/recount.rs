//! A store as one counter sees it, and as the model does where that is known: where another counted what is in view, its entries have this
//! counter's sizes; where nobody else did, nothing is done and nothing costs.
//!
//! ```text
//!   counted by A      counted by A, in view     counted by B      head
//!   ----------------- ------------------------- -----------------
//!   as it is          counted again by B, once  as it is          sums within the view: B's alone
//! ```
//!
//! A context is counted again in O(its size), and each entry only once per compactor; every compaction
//! leaves fewer of them in view, and so on until none is. Nothing of it is written.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use treering_provider::TokenCounter;
use treering_tree::{
    Body, Branch, Change, Committed, Counter, Cut, Erased, Erasure, Id, JournalRow, Measure, Memo,
    Nonce, Number, Place, Prefix, Report, Result, Seek, Session, SessionInfo, Stats, Store, Stored,
    Tail,
};

use crate::count::size;
use crate::gather::message_of;
use crate::gauge::Known;

/// Counts that are remembered; when there are more, all are forgotten.
const COUNTS: usize = 1 << 16;

/// What was counted again, by entry.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<HashMap<Id, u32>>);

impl Counts {
    fn of(&self, counter: &dyn TokenCounter, stored: &Stored) -> u32 {
        let id = stored.place.id;
        let known = |counts: &Self| {
            // The map is whole at every moment, so a panic elsewhere does not spoil it.
            counts.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied()
        };
        known(self).unwrap_or_else(|| {
            let tokens = size(counter, stored.place.kind, &message_of(stored));
            let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if counts.len() >= COUNTS {
                counts.clear();
            }
            counts.insert(id, tokens);
            tokens
        })
    }
}

/// The store, with sizes by one counter.
pub(crate) struct Recounted {
    inner: Arc<dyn Store>,
    /// Whose models' counts are known.
    session: String,
    counter: Arc<dyn TokenCounter>,
    name: Counter,
    counts: Arc<Counts>,
}

impl std::fmt::Debug for Recounted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recounted").field("counter", &self.counter.id()).finish_non_exhaustive()
    }
}

/// What is in view at a head, counted again.
struct View {
    /// Depth of the first entry in view, and what is carried to it.
    from: u64,
    before: u64,
    /// Own size and sum through it of each entry in view.
    sizes: Vec<(u32, u64)>,
    lifted_tokens: u64,
    summary_tokens: u32,
}

impl View {
    fn at(&self, depth: u64) -> Option<(u32, u64)> {
        self.sizes.get(usize::try_from(depth.checked_sub(self.from)?).ok()?).copied()
    }

    /// Tokens carried to an entry of this depth, its own not included.
    fn before(&self, depth: u64) -> u64 {
        let above = depth.checked_sub(1).and_then(|above| self.at(above));
        above.map_or(self.before, |(_, through)| through)
    }

    fn restate(&self, place: &mut Place) {
        if let Some((own, through)) = self.at(place.depth) {
            (place.tokens, place.tokens_through) = (own, through);
        }
    }

    fn restated(&self, mut stored: Stored) -> Stored {
        self.restate(Arc::make_mut(&mut stored.place));
        stored
    }

    /// Depth of the oldest entry from which on there are at most so many tokens.
    fn at_most(&self, tokens: u64) -> Option<u64> {
        let end = self.sizes.last().map_or(0, |(_, through)| *through);
        let depths = self.from..self.from + self.sizes.len() as u64;
        depths.into_iter().find(|depth| end - self.before(*depth) <= tokens)
    }
}

impl Recounted {
    pub(crate) fn new(
        session: &Session,
        counter: Arc<dyn TokenCounter>,
        counts: Arc<Counts>,
    ) -> Self {
        let name = Counter::named(counter.id());
        let (inner, session) = (Arc::clone(session.store()), session.name().to_owned());
        Self { inner, session, counter, name, counts }
    }

    pub(crate) fn counter_id(&self) -> &str {
        self.counter.id()
    }

    /// Size of the context at `head` by the counter alone.
    pub(crate) async fn counted(&self, head: Id) -> Result<Measure> {
        let mut measure = self.inner.measure(head).await?;
        let Some(view) = self.view(head).await? else { return Ok(measure) };
        view.restate(&mut measure.head);
        if let Some(place) = &mut measure.compaction {
            place.tokens = view.summary_tokens;
            if let Some(cut) = &mut place.cut {
                cut.lifted_tokens = view.lifted_tokens;
            }
        }
        Ok(Measure::new(measure.head, measure.compaction))
    }

    /// What is in view at `head`, counted again; `None` where that is not needed.
    async fn view(&self, head: Id) -> Result<Option<View>> {
        let measure = self.inner.measure(head).await?;
        if measure.is_counted_by(self.name) {
            return Ok(None);
        }
        let tail = self.inner.tail(head).await?;
        let cut = tail.compaction.as_ref().and_then(|stored| stored.place.cut.as_ref());
        let before = cut.map_or(0, |cut| cut.covered_tokens);
        let mut through = before;
        let sizes = tail.entries.iter().map(|stored| {
            let own = self.size(stored, &measure.head);
            if stored.place.kind.has_place_in_context() {
                through += u64::from(own);
            }
            (own, through)
        });
        Ok(Some(View {
            from: measure.first_visible_depth(),
            before,
            sizes: sizes.collect(),
            lifted_tokens: tail.lifted.iter().map(|stored| self.lifted(stored)).sum(),
            summary_tokens: tail.compaction.as_ref().map_or(0, |it| self.size(it, &measure.head)),
        }))
    }

    /// Own size of an entry on the path to a head.
    fn size(&self, stored: &Stored, head: &Place) -> u32 {
        let is_mine = head.counter == self.name && stored.place.depth >= head.counted_from;
        if is_mine { stored.place.tokens } else { self.counts.of(&*self.counter, stored) }
    }

    fn lifted(&self, stored: &Stored) -> u64 {
        u64::from(self.counts.of(&*self.counter, stored))
    }

    async fn restate_cut(&self, view: &View, mut cut: Cut) -> Result<Cut> {
        cut.covered_tokens = view.before(cut.first_kept_depth);
        cut.lifted_tokens = 0;
        for number in &cut.lifted {
            let found = self.inner.scan(None, *number, 1).await?;
            cut.lifted_tokens += found.iter().map(|stored| self.lifted(stored)).sum::<u64>();
        }
        Ok(cut)
    }
}

#[async_trait]
impl Store for Recounted {
    async fn measure(&self, head: Id) -> Result<Measure> {
        let measure = self.counted(head).await?;
        let known = Known::read(&*self.inner, &self.session).await?;
        let tokens = known.size(self, &measure).await?;
        Ok(Measure { tokens, ..measure })
    }

    async fn seek(&self, of: Id, questions: &[Seek]) -> Result<Vec<Option<Place>>> {
        let Some(view) = self.view(of).await? else { return self.inner.seek(of, questions).await };
        let asked: Vec<Seek> = questions
            .iter()
            .map(|question| match question {
                // No depth is that large: nothing is found.
                Seek::TokensAtMost(most) => Seek::Depth(view.at_most(*most).unwrap_or(u64::MAX)),
                other => *other,
            })
            .collect();
        let mut found = self.inner.seek(of, &asked).await?;
        for place in found.iter_mut().flatten() {
            view.restate(place);
        }
        Ok(found)
    }

    async fn path(&self, head: Id, depths: Range<u64>) -> Result<Vec<Stored>> {
        let found = self.inner.path(head, depths).await?;
        Ok(match self.view(head).await? {
            Some(view) => found.into_iter().map(|stored| view.restated(stored)).collect(),
            None => found,
        })
    }

    async fn places(&self, head: Id, depths: Range<u64>) -> Result<Vec<Place>> {
        let mut found = self.inner.places(head, depths).await?;
        if let Some(view) = self.view(head).await? {
            for place in &mut found {
                view.restate(place);
            }
        }
        Ok(found)
    }

    async fn preview(&self, head: Id, first_kept: Option<Id>) -> Result<Cut> {
        let mut cut = self.inner.preview(head, first_kept).await?;
        if let Some(view) = self.view(head).await? {
            cut = self.restate_cut(&view, cut).await?;
        }
        // What every prompt of the model has stays in front, as what is lifted does.
        let known = Known::read(&*self.inner, &self.session).await?;
        cut.lifted_tokens = cut.lifted_tokens.saturating_add(known.overhead(self.counter.id()));
        Ok(cut)
    }

    async fn tail(&self, head: Id) -> Result<Tail> {
        let mut tail = self.inner.tail(head).await?;
        if let Some(view) = self.view(head).await? {
            tail.entries = tail.entries.into_iter().map(|stored| view.restated(stored)).collect();
        }
        Ok(tail)
    }

    async fn commit(&self, change: Change) -> Result<Committed> {
        self.inner.commit(change).await
    }

    async fn erase(&self, erasure: Erasure) -> Result<Erased> {
        self.inner.erase(erasure).await
    }

    async fn session(&self, name: &str) -> Result<SessionInfo> {
        self.inner.session(name).await
    }

    async fn sessions(&self, after: Option<&str>, limit: usize) -> Result<Vec<SessionInfo>> {
        self.inner.sessions(after, limit).await
    }

    async fn branches(
        &self,
        session: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Branch>> {
        self.inner.branches(session, after, limit).await
    }

    async fn entries(&self, ids: &[Id]) -> Result<Vec<Option<Stored>>> {
        self.inner.entries(ids).await
    }

    async fn with_prefix(&self, prefix: Prefix, limit: usize) -> Result<Vec<Id>> {
        self.inner.with_prefix(prefix, limit).await
    }

    async fn with_alias(&self, session: &str, alias: &str) -> Result<Option<Id>> {
        self.inner.with_alias(session, alias).await
    }

    async fn memo(&self, session: &str, name: &str) -> Result<Memo> {
        self.inner.memo(session, name).await
    }

    async fn scan(&self, session: Option<&str>, from: Number, limit: usize) -> Result<Vec<Stored>> {
        self.inner.scan(session, from, limit).await
    }

    async fn journal(&self, from: u64, limit: usize) -> Result<Vec<JournalRow>> {
        self.inner.journal(from, limit).await
    }

    async fn verify(&self) -> Result<Report> {
        self.inner.verify().await
    }

    async fn stats(&self) -> Result<Stats> {
        self.inner.stats().await
    }

    fn redacts(&self, body: &Body) -> Option<Body> {
        self.inner.redacts(body)
    }

    fn nonce_for(&self, identity: &[&[u8]]) -> Nonce {
        self.inner.nonce_for(identity)
    }
}

#[cfg(test)]
mod tests;
