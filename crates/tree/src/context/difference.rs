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
mod tests;
