//! The check that no compaction loses anything.

use std::collections::BTreeSet;

use treering_tree::context::Source;
use treering_tree::{Context, Id, Kind};

/// What became of everything that stood in a context when a compaction landed in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Now in the summary, an older summary included.
    pub covered: Vec<Id>,
    /// Still verbatim, behind the summary.
    pub kept: Vec<Id>,
    /// Behind the summary, masked.
    pub masked: Vec<Id>,
    /// Still verbatim, in front of the summary.
    pub lifted: Vec<Id>,
    /// System prompts whose slot has a newer one in the context.
    pub replaced: Vec<Id>,
    /// None of these: must be empty.
    pub lost: Vec<Id>,
    /// More than one of these: must be empty.
    pub doubled: Vec<Id>,
    /// In the summary, but not in the context before: must be empty.
    pub strange: Vec<Id>,
}

impl Coverage {
    /// Whether nothing is lost, doubled or strange.
    pub fn is_whole(&self) -> bool {
        self.lost.is_empty() && self.doubled.is_empty() && self.strange.is_empty()
    }
}

/// Accounts for everything in the context `before` a compaction landed. `after` is the context at the
/// compaction entry, `summarized` what was given to the summarizer, the older summary included.
pub fn coverage(before: &Context, after: &Context, summarized: &[Id]) -> Coverage {
    let of = |wanted: &[Source], masked: bool| -> BTreeSet<Id> {
        let items = after.items.iter().filter(|item| wanted.contains(&item.source));
        // What closes a call of an entry is not that entry.
        let items = items.filter(|item| !item.is_interruption() && item.is_masked() == masked);
        items.map(|item| item.stored.entry.id()).collect()
    };
    let covered: BTreeSet<Id> = summarized.iter().copied().collect();
    let [kept, masked] = [false, true].map(|masked| of(&[Source::Kept, Source::Later], masked));
    let lifted = of(&[Source::Pin], false);
    let shown_slots: BTreeSet<&str> = after
        .items
        .iter()
        .filter_map(|item| item.stored.entry.envelope().slot.as_deref())
        .collect();
    let mut account = Coverage::default();
    let mut seen = BTreeSet::new();
    for item in before.items.iter() {
        let id = item.stored.entry.id();
        if !seen.insert(id) {
            continue;
        }
        let envelope = item.stored.entry.envelope();
        let places = [
            (covered.contains(&id), &mut account.covered),
            (kept.contains(&id), &mut account.kept),
            (masked.contains(&id), &mut account.masked),
            (lifted.contains(&id), &mut account.lifted),
        ];
        let found =
            places.into_iter().filter(|(is_in, _)| *is_in).map(|(_, to)| to.push(id)).count();
        match found {
            0 if envelope.kind == Kind::SystemPrompt
                && envelope.slot.as_deref().is_some_and(|slot| shown_slots.contains(slot)) =>
            {
                account.replaced.push(id);
            }
            0 => account.lost.push(id),
            1 => {}
            _ => account.doubled.push(id),
        }
    }
    account.strange = covered.difference(&seen).copied().collect();
    account
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::{Desk, compact, keeping};

    #[tokio::test]
    async fn what_is_lost_doubled_or_strange_is_named() {
        let desk = Desk::with("p20 u400 a150 p20 u20 a20").await;
        let before = desk.session.context().await.unwrap();
        compact(&desk, &keeping(50), "sum").await;
        let after = desk.session.context().await.unwrap();
        let ids = &desk.ids;
        let whole = coverage(&before, &after, &ids[..3]);
        assert!(whole.is_whole());
        assert_eq!(whole.covered, ids[..3]);
        assert_eq!((whole.lifted, whole.kept), (vec![ids[3]], ids[4..].to_vec()));
        assert_eq!(coverage(&before, &after, &ids[..2]).lost, [ids[2]]);
        assert_eq!(coverage(&before, &after, &ids[..5]).doubled, ids[3..5]);
        assert_eq!(coverage(&before, &after, &ids[1..3]).replaced, [ids[0]]);
        let landed = desk.head().await;
        assert_eq!(coverage(&before, &after, &[&ids[..3], &[landed]].concat()).strange, [landed]);
    }

    #[tokio::test]
    async fn a_prompt_is_replaced_by_one_in_its_slot_alone() {
        let before = Desk::with("p20 u400 a150").await;
        let other = Desk::with("u5").await.session.context().await.unwrap();
        let account = coverage(&before.session.context().await.unwrap(), &other, &[]);
        assert_eq!((account.lost, account.replaced), (before.ids, vec![]));
    }

    #[test]
    fn one_entry_amiss_is_enough() {
        let ids = || vec![Id::from_bytes([1; 32])];
        let whole = Coverage { covered: ids(), kept: ids(), ..Coverage::default() };
        assert!(whole.is_whole());
        assert!(!Coverage { lost: ids(), ..whole.clone() }.is_whole());
        assert!(!Coverage { doubled: ids(), ..whole.clone() }.is_whole());
        assert!(!Coverage { strange: ids(), ..whole }.is_whole());
    }
}
