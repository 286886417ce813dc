//! Invariant 8, tool closure: no context holds a result without its call, or a call without its result;
//! only the last group may be open, and nothing comes after it.

use std::collections::BTreeSet;

use treering_tree::context::{Form, Source};
use treering_tree::{Context, Id, Kind};

use crate::histories::Seen;

/// A result that stood next to its call does so for as long as it is visible.
pub(crate) fn no_result_loses_its_call(seen: &Seen<'_>) {
    let stand_alone = |context: &Context| -> BTreeSet<Id> {
        let late = context.items.iter().filter(|item| item.form == Form::LateResult);
        late.map(|item| item.stored.entry.id()).collect()
    };
    let late = stand_alone(seen.before);
    let beside = seen.before.items.iter().map(|item| item.stored.entry.id());
    let beside: BTreeSet<Id> = beside.filter(|id| !late.contains(id)).collect();
    for id in stand_alone(seen.after) {
        assert!(seen.moved || !beside.contains(&id), "result {id} lost its call");
    }
}

/// Walks a context as a provider would check it.
pub(crate) fn is_closed(context: &Context) {
    let (mut called, mut open) = (BTreeSet::new(), BTreeSet::new());
    let mut part = Source::Pin;
    for item in context.items.iter() {
        let envelope = item.stored.entry.envelope();
        let id = item.stored.entry.id();
        if part != item.source && (part == Source::Pin || item.source == Source::Summary) {
            assert!(open.is_empty(), "calls are open at the end of {part:?}");
        }
        part = item.source;
        match (&item.form, envelope.kind) {
            (Form::Interrupted { call }, _) => {
                assert!(open.remove(call), "{call} is interrupted, but not open");
            }
            (Form::Verbatim | Form::Masked { .. }, Kind::Assistant) => {
                called.extend(envelope.calls.iter().cloned());
                open.extend(envelope.calls.iter().cloned());
            }
            (Form::Verbatim | Form::Masked { .. }, Kind::ToolResult) => {
                let known = envelope.answers.iter().any(|call| called.contains(call));
                assert!(known, "result {id} stands without its call");
                open.retain(|call| !envelope.answers.contains(call));
            }
            (_, kind) => assert!(open.is_empty(), "{kind} {id} parts a call from its result"),
        }
    }
}
