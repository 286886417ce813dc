//! Invariant 8, prefix stability: between two compactions a later context begins with the earlier one.
//! That is what keeps a provider's prompt cache warm. And invariant 7: the context of a head is always
//! the same.

use std::collections::BTreeMap;

use treering_tree::context::{Form, Source};
use treering_tree::{Context, Id};

use crate::histories::Seen;

type Rendered = Vec<(Id, Form)>;

fn rendered(context: &Context) -> Rendered {
    let items = context.items.iter();
    items.map(|item| (item.stored.entry.id(), item.form.clone())).collect()
}

fn compaction(context: &Context) -> Option<Id> {
    let mut items = context.items.iter();
    items.find(|item| item.source == Source::Summary).map(|item| item.stored.entry.id())
}

/// The contexts of a history so far, by head.
#[derive(Default)]
pub(crate) struct Known(BTreeMap<Id, Rendered>);

impl Known {
    /// Looks at one more step.
    pub(crate) fn is_stable(&mut self, seen: &Seen<'_>) {
        let now = rendered(seen.after);
        if let Some(head) = seen.after.head {
            let first = self.0.entry(head).or_insert_with(|| now.clone());
            assert_eq!(*first, now, "the context of {head} is another than it was");
        }
        if !seen.moved && seen.landed.is_none() && !seen.by_hand {
            assert_eq!(compaction(seen.before), compaction(seen.after));
            let before = rendered(seen.before);
            assert!(now.starts_with(&before), "{before:?}\nis no prefix of\n{now:?}");
        }
    }
}
