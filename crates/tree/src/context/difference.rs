//! What changed for the model between two heads: the items of one context against those of another,
//! in runs. Says nothing of why.

use std::collections::HashSet;

use serde::Serialize;

use super::{Context, Form, Item, Source};
use crate::error::Result;
use crate::id::Id;
use crate::store::{Seek, Store};

/// Two contexts, and how one becomes the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The older context.
    pub before: Context,
    /// The newer context.
    pub after: Context,
    /// Neighbours that share a change and a part, in the order the model sees them.
    pub runs: Vec<Run>,
}

/// Items next to each other with which the same happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// What happened.
    pub change: Change,
    /// The part of the context they belong to: of the older one where they are there no more.
    pub source: Source,
    /// The items.
    pub items: Vec<Item>,
}

/// What happened with an item between two heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It stands in both, in the same form and order.
    Same,
    /// It stands in the older one only, and the newer one's summary covers it.
    Replaced,
    /// It stands in the older one only, or elsewhere in the newer one.
    Removed,
    /// It stands in the newer one only, or elsewhere in the older one.
    Added,
}

impl Difference {
    /// What changes for the model from the head `before` to the head `after`, wherever the two are.
    /// O(kept), of both.
    ///
    /// # Errors
    /// `NotFound` for an unknown head, `Corrupt`, `Storage`.
    pub async fn between(store: &dyn Store, before: Id, after: Id) -> Result<Self> {
        let common = store.seek(after, &[Seek::Common(before)]).await?.pop().flatten();
        let (before, after) = (Context::at(store, before).await?, Context::at(store, after).await?);
        let runs = runs(&before.items, &after.items, common.map(|place| place.depth));
        Ok(Self { before, after, runs })
    }

    /// Number of items and their tokens with which this happened.
    pub fn total(&self, change: Change) -> (u64, u64) {
        let with = self.runs.iter().filter(|run| run.change == change);
        with.fold((0, 0), |(items, tokens), run| {
            (items + run.items.len() as u64, tokens + run.tokens())
        })
    }
}

impl Run {
    /// Tokens of its items, as they are carried along the path.
    pub fn tokens(&self) -> u64 {
        let own = |item: &&Item| !matches!(item.form, Form::Interrupted { .. });
        self.items.iter().filter(own).map(|item| u64::from(item.stored.place.tokens)).sum()
    }
}

/// What must be equal for an item to count as the same. Which part it belongs to is nothing the model
/// sees.
fn key(item: &Item) -> (Id, &Form) {
    (item.stored.place.id, &item.form)
}

fn runs(before: &[Item], after: &[Item], common_depth: Option<u64>) -> Vec<Run> {
    let summary = after.iter().find(|item| item.source == Source::Summary);
    let is_replaced = |item: &Item| {
        let place = &item.stored.place;
        let cut = summary.and_then(|summary| summary.stored.place.cut.as_ref());
        let covered = cut.is_some_and(|cut| place.depth < cut.first_kept_depth);
        let older = item.source == Source::Summary && cut.is_some();
        common_depth.is_some_and(|depth| place.depth <= depth) && (covered || older)
    };
    let old: HashSet<_> = before.iter().map(key).collect();
    let mut both: HashSet<_> = after.iter().map(key).filter(|key| old.contains(key)).collect();
    let mut runs = Vec::new();
    let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
    loop {
        match (before.peek(), after.peek()) {
            (None, None) => return runs,
            (Some(item), _) if !both.contains(&key(item)) => {
                let change = if is_replaced(item) { Change::Replaced } else { Change::Removed };
                put(&mut runs, change, item);
                before.next();
            }
            (_, Some(item)) if !both.contains(&key(item)) => {
                put(&mut runs, Change::Added, item);
                after.next();
            }
            (Some(old), Some(item)) if key(old) == key(item) => {
                put(&mut runs, Change::Same, item);
                before.next();
                after.next();
            }
            // It stands elsewhere: removed here, added there.
            (Some(item), _) | (None, Some(item)) => {
                both.remove(&key(item));
            }
        }
    }
}

fn put(runs: &mut Vec<Run>, change: Change, item: &Item) {
    match runs.last_mut() {
        Some(run) if run.change == change && run.source == item.source => {
            run.items.push(item.clone());
        }
        _ => runs.push(Run { change, source: item.source, items: vec![item.clone()] }),
    }
}

#[cfg(test)]
#[cfg(feature = "redb")]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::entry::{Body, Kind, Mask};
    use crate::session::Session;
    use crate::sources::Sources;
    use crate::store::Expect;
    use crate::{Options, RedbStore};

    async fn said(session: &Session, kind: Kind, target: Option<Id>) -> Id {
        let draft = session.draft(kind, Body::new("text", format!("{kind}"))).tokens(10);
        let draft = if let Some(id) = target { draft.target(id) } else { draft };
        session.append(draft, Expect::Any).await.unwrap().ids[0]
    }

    /// A session in which so much was said.
    async fn talk(turns: usize) -> (Session, Vec<Id>) {
        let store = RedbStore::in_memory(Options::new(Sources::fixed(1))).unwrap();
        let session = Session::new(Arc::new(store), "one", Sources::fixed(2));
        let mut ids = Vec::new();
        for _ in 0..turns {
            ids.push(said(&session, Kind::User, None).await);
        }
        (session, ids)
    }

    async fn between(session: &Session, before: Id, after: Id) -> Difference {
        Difference::between(&**session.store(), before, after).await.unwrap()
    }

    fn told(difference: &Difference) -> Vec<(Change, Source, Vec<Id>)> {
        let ids = |run: &Run| run.items.iter().map(|item| item.stored.place.id).collect();
        difference.runs.iter().map(|run| (run.change, run.source, ids(run))).collect()
    }

    #[tokio::test]
    async fn what_is_appended_is_added_and_what_is_rewound_is_removed() {
        let (session, ids) = talk(5).await;
        let (same, later) = (ids[..3].to_vec(), ids[3..].to_vec());
        let on = between(&session, ids[2], ids[4]).await;
        let runs = [(Change::Same, same.clone()), (Change::Added, later.clone())];
        assert_eq!(told(&on), runs.map(|(change, ids)| (change, Source::Later, ids)));
        assert_eq!((on.total(Change::Same), on.total(Change::Added)), ((3, 30), (2, 20)));
        assert_eq!((on.before.head, on.after.head), (Some(ids[2]), Some(ids[4])));
        let back = between(&session, ids[4], ids[2]).await;
        let runs = [(Change::Same, same), (Change::Removed, later)];
        assert_eq!(told(&back), runs.map(|(change, ids)| (change, Source::Later, ids)));
    }

    #[tokio::test]
    async fn what_a_summary_covers_is_replaced_also_the_summary_before_it() {
        let (session, ids) = talk(5).await;
        let first = said(&session, Kind::Compaction, Some(ids[2])).await;
        let expected = [
            (Change::Replaced, Source::Later, ids[..2].to_vec()),
            (Change::Added, Source::Summary, vec![first]),
            (Change::Same, Source::Kept, ids[2..].to_vec()),
        ];
        assert_eq!(told(&between(&session, ids[4], first).await), expected);
        let last = said(&session, Kind::User, None).await;
        let second = said(&session, Kind::Compaction, Some(ids[4])).await;
        let expected = [
            (Change::Replaced, Source::Summary, vec![first]),
            (Change::Replaced, Source::Kept, ids[2..4].to_vec()),
            (Change::Added, Source::Summary, vec![second]),
            (Change::Same, Source::Kept, vec![ids[4], last]),
        ];
        assert_eq!(told(&between(&session, last, second).await), expected);
        // Back across a compaction nothing is replaced: there is no summary that would cover it.
        let expected = [
            (Change::Removed, Source::Summary, vec![first]),
            (Change::Added, Source::Later, ids[..2].to_vec()),
            (Change::Same, Source::Later, ids[2..].to_vec()),
        ];
        assert_eq!(told(&between(&session, first, ids[4]).await), expected);
    }

    #[tokio::test]
    async fn a_summary_of_another_branch_replaces_what_both_have_and_nothing_else() {
        let (session, ids) = talk(4).await;
        session.rewind(Some(ids[1]), Expect::Any).await.unwrap();
        let mut other = Vec::new();
        for _ in 0..4 {
            other.push(said(&session, Kind::User, None).await);
        }
        let summary = said(&session, Kind::Compaction, Some(other[3])).await;
        // The entries at the end are as deep as some that are covered, on a path of their own.
        let expected = [
            (Change::Replaced, Source::Later, ids[..2].to_vec()),
            (Change::Removed, Source::Later, ids[2..].to_vec()),
            (Change::Added, Source::Summary, vec![summary]),
            (Change::Added, Source::Kept, other[3..].to_vec()),
        ];
        assert_eq!(told(&between(&session, ids[3], summary).await), expected);
        // A summary of the other branch is none that this one had.
        let at_fork = said(&session, Kind::User, None).await;
        session.rewind(Some(ids[3]), Expect::Any).await.unwrap();
        let own = said(&session, Kind::Compaction, Some(ids[3])).await;
        let expected = [
            (Change::Removed, Source::Summary, vec![own]),
            (Change::Removed, Source::Kept, ids[3..].to_vec()),
            (Change::Added, Source::Summary, vec![summary]),
            (Change::Added, Source::Kept, other[3..].to_vec()),
            (Change::Added, Source::Later, vec![at_fork]),
        ];
        assert_eq!(told(&between(&session, own, at_fork).await), expected);
    }

    #[tokio::test]
    async fn nothing_replaces_what_hangs_on_another_root() {
        let (session, ids) = talk(2).await;
        session.rewind(None, Expect::Any).await.unwrap();
        let mut other = Vec::new();
        for _ in 0..4 {
            other.push(said(&session, Kind::User, None).await);
        }
        let summary = said(&session, Kind::Compaction, Some(other[3])).await;
        let expected = [
            (Change::Removed, Source::Later, ids.clone()),
            (Change::Added, Source::Summary, vec![summary]),
            (Change::Added, Source::Kept, other[3..].to_vec()),
        ];
        assert_eq!(told(&between(&session, ids[1], summary).await), expected);
    }

    #[tokio::test]
    async fn what_stands_elsewhere_is_removed_there_and_added_here() {
        let (session, ids) = talk(4).await;
        let items = session.context().await.unwrap().items;
        let turned = [2, 0, 1, 3].map(|at| items[at].clone());
        let put = |runs: Vec<Run>| -> Vec<_> {
            let runs = runs.into_iter().flat_map(|run| {
                let ids = run.items.into_iter().map(|item| item.stored.place.id);
                ids.map(|id| (run.change, id)).collect::<Vec<_>>()
            });
            runs.collect()
        };
        let found = put(runs(&items, &turned, Some(3)));
        for (change, context) in [(Change::Removed, &items[..]), (Change::Added, &turned[..])] {
            let kept = found.iter().filter(|(it, _)| [Change::Same, change].contains(it));
            let kept: Vec<Id> = kept.map(|(_, id)| *id).collect();
            let expected: Vec<Id> = context.iter().map(|item| item.stored.place.id).collect();
            assert_eq!(kept, expected, "{change:?} of {found:?}");
        }
        assert!(found.contains(&(Change::Same, ids[3])), "{found:?}");
    }

    #[tokio::test]
    async fn what_shows_in_another_form_is_removed_in_one_and_added_in_the_other() {
        let (session, ids) = talk(2).await;
        let draft = session.draft(Kind::Assistant, Body::new("text", "call")).tokens(7);
        let caller = session.append(draft.calls(["a"]), Expect::Any).await.unwrap().ids[0];
        let draft = session.draft(Kind::ToolResult, Body::new("text", "result")).tokens(9);
        let result = session.append(draft.answers(["a"]), Expect::Any).await.unwrap().ids[0];
        let draft = session.draft(Kind::Compaction, Body::new("text", "sum")).target(ids[1]);
        let draft = draft.masks(vec![Mask { entry: result, saved_tokens: 1 }]);
        let summary = session.append(draft, Expect::Any).await.unwrap().ids[0];
        let expected = [
            (Change::Replaced, Source::Later, ids[..1].to_vec()),
            (Change::Added, Source::Summary, vec![summary]),
            (Change::Same, Source::Kept, vec![ids[1], caller]),
            (Change::Removed, Source::Later, vec![result]),
            (Change::Added, Source::Kept, vec![result]),
        ];
        assert_eq!(told(&between(&session, result, summary).await), expected);
    }

    #[tokio::test]
    async fn what_closes_a_call_has_no_tokens_of_its_own() {
        let (session, _) = talk(1).await;
        let draft = session.draft(Kind::Assistant, Body::new("text", "call")).tokens(7);
        let caller = session.append(draft.calls(["a"]), Expect::Any).await.unwrap().ids[0];
        let closed = said(&session, Kind::User, None).await;
        let difference = between(&session, caller, closed).await;
        assert_eq!(difference.total(Change::Same), (2, 17));
        assert_eq!(difference.total(Change::Added), (2, 10));
    }
}
