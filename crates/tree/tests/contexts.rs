//! Contexts that a store keeps: the same as made anew, gone with what was erased, and extended in place.
#![allow(clippy::unwrap_used, reason = "a test speaks by panicking")]

use std::sync::Arc;

use proptest::prelude::*;
use treering_tree::{
    Body, Context, Draft, Erasure, Expect, Id, Kind, Mask, Options, RedbStore, Session, Sources,
    Store,
};

const STEPS: usize = 60;

fn session(options: Options) -> Session {
    let store = Arc::new(RedbStore::in_memory(options).unwrap());
    Session::new(store, "one", Sources::fixed(3))
}

fn options() -> Options {
    Options::new(Sources::fixed(3))
}

/// The same from what the store says of the head, with nothing kept.
async fn made_anew(store: &dyn Store, head: Id) -> Context {
    let measure = store.measure(head).await.unwrap();
    Context::of(&measure, store.tail(head).await.unwrap())
}

/// A history of whatever is asked for, where the store takes it.
struct History {
    session: Session,
    ids: Vec<Id>,
    calls: u64,
}

impl History {
    fn picked(&self, pick: u16) -> Option<Id> {
        let at = usize::from(pick).checked_rem(self.ids.len())?;
        self.ids.get(at).copied()
    }

    /// One of the newest.
    fn recent(&self, pick: u16) -> Option<Id> {
        self.ids.iter().rev().nth(usize::from(pick % 8)).copied()
    }

    fn draft(&mut self, what: u8, pick: u16) -> Option<Draft> {
        let draft = |kind| {
            let text = format!("{what} {pick}");
            self.session.draft(kind, Body::new("text", text)).tokens(u32::from(pick % 50))
        };
        let call = |call: u64| format!("call {call}");
        Some(match what {
            0..=2 => draft(Kind::User),
            3 => draft(Kind::Assistant),
            4..=8 => {
                let calls = u64::from(pick % 3) + 1;
                let draft = draft(Kind::Assistant).calls((0..calls).map(|n| call(self.calls + n)));
                self.calls += calls;
                draft
            }
            9..=14 => {
                let first = self.calls.saturating_sub(u64::from(pick % 5) + 1);
                let answers = u64::from(pick.is_multiple_of(7)) + 1;
                draft(Kind::ToolResult).answers((first..first + answers).map(call))
            }
            15 => draft(Kind::Note),
            16 => draft(Kind::Record),
            17 => draft(Kind::SystemPrompt).slot(format!("slot {}", pick % 2)),
            18 => draft(Kind::Pin).target(self.picked(pick)?),
            19 => draft(Kind::Unpin).target(self.picked(pick)?),
            20 => draft(Kind::Compaction),
            21..=23 => {
                let kept = draft(Kind::Compaction).target(self.recent(pick)?);
                let entry = self.recent(pick / 8)?;
                if pick.is_multiple_of(2) {
                    kept.masks(vec![Mask { entry, saved_tokens: 1 }])
                } else {
                    kept
                }
            }
            _ => return None,
        })
    }

    async fn step(&mut self, what: u8, pick: u16) {
        if let Some(draft) = self.draft(what, pick) {
            // Not all of it is allowed everywhere; what is refused leaves nothing.
            if let Ok(done) = self.session.append(draft, Expect::Any).await {
                self.ids.extend(done.ids);
            }
        } else if let Some(id) = self.picked(pick) {
            if what == 24 {
                self.session.rewind(Some(id), Expect::Any).await.unwrap();
            } else {
                let (session, by) = ("one".to_owned(), "test".to_owned());
                let erasure =
                    Erasure { session, entries: vec![id], by, reason: String::new(), at_ms: 1 };
                // A tombstone stays.
                if let Ok(erased) = self.session.store().erase(erasure).await {
                    self.ids.extend(erased.tombstones);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_kept_is_what_would_be_made_anew(
        steps in prop::collection::vec((0_u8..26, any::<u16>(), 0_u8..4), 1..STEPS),
        context_bytes in prop_oneof![Just(64_u64 << 20), Just(20_000), Just(0)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let session = session(options().context_cache_bytes(context_bytes));
            let mut history = History { session, ids: Vec::new(), calls: 0 };
            // Held by somebody, and so not to be changed.
            let mut held: Option<(Context, Context)> = None;
            for (what, pick, look) in steps {
                history.step(what, pick).await;
                let store = Arc::clone(history.session.store());
                let Some(head) = history.session.head().await.unwrap() else { continue };
                // Else the next one is extended by several entries.
                if look > 0 {
                    let context = store.context(head).await.unwrap();
                    prop_assert_eq!(&context, &made_anew(&*store, head).await);
                    if look == 1 {
                        let copy = Context { items: Arc::new(context.items.to_vec()), ..context };
                        held = Some((context, copy));
                    }
                }
                if let Some((held, copy)) = &held {
                    prop_assert_eq!(held, copy);
                }
            }
            Ok(())
        })?;
    }
}

async fn say(session: &Session, text: &str) -> Id {
    let draft = session.draft(Kind::User, Body::new("text", text));
    session.append(draft, Expect::Any).await.unwrap().ids[0]
}

#[tokio::test]
async fn the_context_of_a_child_is_that_of_its_parent_gone_on() {
    let session = session(options());
    for _ in 0..40 {
        say(&session, "before").await;
        drop(session.context().await.unwrap());
    }
    // There is room for some more: it grew to twice of what it was.
    let at = session.context().await.unwrap().items.as_ptr();
    say(&session, "more").await;
    let context = session.context().await.unwrap();
    assert_eq!((context.items.len(), context.items.as_ptr()), (41, at));
    // The context of a head that is asked for again is the very same.
    assert!(Arc::ptr_eq(&context.items, &session.context().await.unwrap().items));
    say(&session, "while it is held").await;
    assert_eq!(session.context().await.unwrap().items.len(), 42);
    assert_eq!(context.items.len(), 41);
}

#[tokio::test]
async fn no_context_shows_what_was_erased_since() {
    let session = session(options());
    let secret = say(&session, "secret").await;
    say(&session, "other").await;
    let before = session.context().await.unwrap();
    assert!(before.items[0].stored.entry.body().is_some());
    let (entries, by) = (vec![secret], "test".to_owned());
    let erasure =
        Erasure { session: "one".to_owned(), entries, by, reason: String::new(), at_ms: 1 };
    session.store().erase(erasure).await.unwrap();
    let head = before.head.unwrap();
    for context in [session.context().await, session.store().context(head).await] {
        assert!(context.unwrap().items[0].stored.entry.body().is_none());
    }
}

#[tokio::test]
async fn over_its_limit_nothing_is_kept() {
    for (bytes, is_kept) in [(0, false), (1_000, false), (100_000, true)] {
        let session = session(options().context_cache_bytes(bytes));
        for _ in 0..20 {
            say(&session, &"x".repeat(1_000)).await;
        }
        let (one, other) = (session.context().await.unwrap(), session.context().await.unwrap());
        assert_eq!(one, other);
        assert_eq!(Arc::ptr_eq(&one.items, &other.items), is_kept, "{bytes}");
    }
}
