//! How large a context is to its model: what the provider reported for the newest answer, and what was
//! learnt of its counts for the rest. What is learnt stays beside the session, in a memo, so that a
//! restart keeps it.

use serde::{Deserialize, Serialize};
use treering_provider::{Anchor, Calibrations, Calibrator, Step};
use treering_tree::context::Source;
use treering_tree::{Change, Id, Kind, Measure, MemoWrite, Place, Reason, Session, Store, limits};

use crate::error::Result;
use crate::gather::message_of;
use crate::recount::Recounted;

/// The memo's name.
const NAME: &str = "calibrations";
/// Entries back from the head among which an answer is looked for.
const BACK: u64 = 64;
/// Entries that one answer may be.
const ANSWER_ENTRIES: usize = 16;
/// Bytes of a model's name that tell it from others.
const MODEL_BYTES: usize = 128;

/// What is known of the counts of a session's models.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    /// The model that answered last.
    model: String,
    /// The newest answer that taught something.
    learnt: Option<Id>,
    pub(crate) calibrations: Calibrations,
}

/// An answer whose size was reported.
struct Answer {
    place: Place,
    anchor: Anchor,
    model: String,
}

impl Answer {
    fn step(&self) -> Step {
        Step { tokens: self.place.tokens, anchor: Some(self.anchor) }
    }
}

impl Known {
    /// What is known of a session; nothing where no watch has seen an answer with a report.
    pub(crate) async fn read(store: &dyn Store, session: &str) -> treering_tree::Result<Self> {
        let memo = store.memo(session, NAME).await?;
        // What no version wrote teaches nothing.
        Ok(memo.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    /// What is known of the model that answered last.
    fn calibrator(&self, counter: &str) -> Option<Calibrator> {
        self.learnt.map(|_| self.calibrations.get(&self.model, counter))
    }

    /// Tokens that a prompt has beside the entries.
    pub(crate) fn overhead(&self, counter: &str) -> u64 {
        self.calibrator(counter).and_then(|known| known.overhead()).unwrap_or(0)
    }

    /// Size of the context of `measure`, whose own sizes are by the counter alone.
    pub(crate) async fn size(
        &self,
        store: &Recounted,
        measure: &Measure,
    ) -> treering_tree::Result<u64> {
        let Some(calibrator) = self.calibrator(store.counter_id()) else {
            return Ok(measure.tokens);
        };
        let answer = answer_before(store, measure, measure.head.depth + 1).await?;
        Ok(match answer {
            Some(answer) => {
                let behind = measure.head.tokens_through - answer.place.tokens_through;
                calibrator.size(&[answer.step(), plain(behind)]).tokens
            }
            None => calibrator.size_unanchored(&[plain(measure.tokens)]).tokens,
        })
    }
}

/// Learns from the newest answer of a session, once. Writes the memo where there was something to
/// learn.
pub(crate) async fn learn(session: &Session, store: &Recounted) -> Result<()> {
    let Some(head) = session.head().await? else { return Ok(()) };
    let measure = store.counted(head).await?;
    let Some(answer) = answer_before(store, &measure, measure.head.depth + 1).await? else {
        return Ok(());
    };
    let mut known = Known::read(store, session.name()).await?;
    if known.learnt == Some(answer.place.id) {
        return Ok(());
    }
    // One answer may be several entries, each with the same report.
    let mut first = answer.place.clone();
    let mut before = answer_before(store, &measure, first.depth).await?;
    for _ in 0..ANSWER_ENTRIES {
        match before {
            Some(same) if same.anchor.prompt == answer.anchor.prompt => {
                first = same.place;
                before = answer_before(store, &measure, first.depth).await?;
            }
            _ => break,
        }
    }
    let asked = first.tokens_before();
    let steps = if let Some(before) = before {
        vec![before.step(), plain(asked - before.place.tokens_through)]
    } else {
        let behind = measure.head.tokens_through - asked;
        vec![plain(measure.tokens.saturating_sub(behind))]
    };
    known.calibrations.of(&answer.model, store.counter_id()).learn(&steps, answer.anchor.prompt);
    (known.model, known.learnt) = (answer.model, Some(answer.place.id));
    keep(session, known).await
}

async fn keep(session: &Session, mut known: Known) -> Result<()> {
    // Names and numbers only: nothing of it can fail to encode.
    let bytes = |known: &Known| serde_json::to_vec(known).unwrap_or_default();
    let mut value = bytes(&known);
    if value.len() as u64 > limits::MEMO_BYTES {
        known.calibrations = Calibrations::default();
        value = bytes(&known);
    }
    let memo = MemoWrite { name: NAME.to_owned(), expect: None, value: Some(value) };
    let change = Change {
        memos: vec![memo],
        ..Change::new(session.name(), Reason::Land, session.sources().now_ms())
    };
    session.store().commit(change).await?;
    Ok(())
}

/// The newest answer with a report above this depth, after the newest compaction: what stands before
/// that was answered in another context.
async fn answer_before(
    store: &Recounted,
    measure: &Measure,
    depth: u64,
) -> treering_tree::Result<Option<Answer>> {
    let after = measure.compaction.as_ref().map_or(0, |place| place.depth + 1);
    let from = depth.saturating_sub(BACK).max(after);
    if from >= depth {
        return Ok(None);
    }
    let places = store.places(measure.head.id, from..depth).await?;
    for place in places.into_iter().rev().filter(|place| place.kind == Kind::Assistant) {
        let Some(stored) = store.entries(&[place.id]).await?.pop().flatten() else { continue };
        let message = message_of(&stored);
        if let Some(anchor) = Step::new(Source::Later, place.tokens, &message).anchor {
            let mut model = message.model.unwrap_or_default();
            let end = (0..=model.len().min(MODEL_BYTES)).rev();
            model.truncate(end.into_iter().find(|at| model.is_char_boundary(*at)).unwrap_or(0));
            return Ok(Some(Answer { place, anchor, model }));
        }
    }
    Ok(None)
}

fn plain(tokens: u64) -> Step {
    Step { tokens: u32::try_from(tokens).unwrap_or(u32::MAX), anchor: None }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use treering_tree::{Draft, Expect, Message, Role, Usage};

    use super::*;
    use crate::kit::{Desk, Words, keeping, scripted};
    use crate::{Look, Status, counted};

    fn said(desk: &Desk, kind: Kind, words: usize) -> Draft {
        let text = Message::text(Role::User, "word ".repeat(words));
        counted(&Words, desk.session.draft(kind, text.body()))
    }

    /// An answer of ten words to a prompt that the provider found so large.
    fn answer(desk: &Desk, prompt: u64, stop: &str) -> Draft {
        let mut message = Message::text(Role::Assistant, "word ".repeat(10));
        message.usage = Some(Usage { input: prompt, output: 10, ..Usage::default() });
        message.model = Some("big".to_owned());
        message.stop = Some(stop.to_owned());
        counted(&Words, desk.session.draft(Kind::Assistant, message.body()))
    }

    async fn put(desk: &Desk, draft: Draft) {
        desk.session.append(draft, Expect::Any).await.unwrap();
    }

    /// What a look says of a context that fits.
    async fn look(desk: &Desk, window: u64) -> u64 {
        let policy = treering_policy::Policy { window, ..keeping(50) };
        let (compactor, _) = scripted(&[]);
        match compactor.watch(&desk.session, &policy).look().await.unwrap() {
            Look::Fits { tokens } => tokens,
            other => panic!("{other:?}"),
        }
    }

    async fn status(desk: &Desk) -> Status {
        scripted(&[]).0.status(&desk.session).await.unwrap()
    }

    #[tokio::test]
    async fn without_a_report_the_counts_are_the_size() {
        let desk = Desk::with("u100 a50").await;
        assert_eq!(look(&desk, 10_000).await, 150);
        assert_eq!(desk.store().memo("desk", NAME).await.unwrap(), None, "nothing to keep");
    }

    #[tokio::test]
    async fn what_an_answer_taught_survives_every_restart() {
        let desk = Desk::new();
        put(&desk, said(&desk, Kind::User, 100)).await;
        put(&desk, answer(&desk, 2_100, "stop")).await;
        assert_eq!(look(&desk, 100_000).await, 2_110, "reported");
        let mut prompt = 2_110;
        for _ in 0..3 {
            put(&desk, said(&desk, Kind::User, 100)).await;
            // Each word is two tokens to this model.
            prompt += 200;
            put(&desk, answer(&desk, prompt, "stop")).await;
            prompt += 10;
            assert_eq!(look(&desk, 100_000).await, prompt);
        }
        put(&desk, said(&desk, Kind::User, 100)).await;
        assert_eq!(look(&desk, 100_000).await, prompt + 200, "by the factor that was learnt");
        let known = status(&desk).await;
        assert_eq!(known.tokens, prompt + 200);
        let big = known.calibrations.get("big", "words");
        assert_eq!((big.factor(), big.overhead()), (2_000, Some(2_000)));
        assert_eq!(known.calibrations.get("big", "tens"), Calibrator::new());
    }

    #[tokio::test]
    async fn an_answer_is_learnt_from_once() {
        let desk = Desk::new();
        put(&desk, said(&desk, Kind::User, 100)).await;
        for prompt in [2_100, 2_400] {
            put(&desk, answer(&desk, prompt, "stop")).await;
            put(&desk, said(&desk, Kind::User, 100)).await;
            look(&desk, 100_000).await;
        }
        let once = desk.store().memo("desk", NAME).await.unwrap();
        for _ in 0..3 {
            look(&desk, 100_000).await;
        }
        assert_eq!(desk.store().memo("desk", NAME).await.unwrap(), once);
    }

    #[tokio::test]
    async fn a_broken_answer_teaches_nothing() {
        let desk = Desk::new();
        put(&desk, said(&desk, Kind::User, 100)).await;
        put(&desk, answer(&desk, 9_000, "aborted")).await;
        assert_eq!(look(&desk, 100_000).await, 110);
    }

    #[tokio::test]
    async fn a_reported_size_starts_what_the_counts_would_not_and_ends_with_the_compaction() {
        let desk = Desk::new();
        for _ in 0..4 {
            put(&desk, said(&desk, Kind::User, 40)).await;
        }
        put(&desk, answer(&desk, 560, "stop")).await;
        // 170 by the counter; 500 are too many.
        let (compactor, _) = scripted(&["what was"]);
        let watch = compactor.watch(&desk.session, &keeping(50));
        let Look::Started(mut handle) = watch.look().await.unwrap() else { panic!() };
        let done = handle.result().await.unwrap();
        assert!(done.entry.is_some(), "{done:?}");
        assert_eq!(done.tokens_before, 570);
        // 400 beside the entries; the summary's two words and the answer, untrusted as yet.
        assert_eq!(done.tokens_after, 400 + 16);
        let fit = watch.ensure_fits().await.unwrap();
        assert_eq!((fit.tokens, fit.fits), (done.tokens_after, true));
    }

    #[tokio::test]
    async fn a_memo_that_nobody_wrote_is_no_trouble() {
        let desk = Desk::with("u100").await;
        let memo = MemoWrite { name: NAME.to_owned(), expect: None, value: Some(b"?!".to_vec()) };
        let change = Change { memos: vec![memo], ..Change::new("desk", Reason::Land, 0) };
        Arc::clone(desk.session.store()).commit(change).await.unwrap();
        assert_eq!(look(&desk, 10_000).await, 100);
    }

    #[tokio::test]
    async fn an_answer_of_several_entries_is_one_answer() {
        let desk = Desk::new();
        put(&desk, said(&desk, Kind::User, 100)).await;
        for _ in 0..3 {
            put(&desk, answer(&desk, 2_100, "stop")).await;
        }
        look(&desk, 100_000).await;
        let big = status(&desk).await.calibrations.get("big", "words");
        assert_eq!(big.overhead(), Some(2_000), "beside the 100 words that were asked");
    }
}
