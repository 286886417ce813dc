//! Invariant 8, tool closure: no context holds a result without its call, or a call without its result;
//! only the last group may be open, and nothing comes after it.

use std::collections::BTreeSet;

use treering_tree::context::{Form, Source};
use treering_tree::{Context, Kind};

/// Walks a context as a provider would check it.
pub(crate) fn is_closed(context: &Context) {
    let (mut called, mut open) = (BTreeSet::new(), BTreeSet::new());
    let mut part = Source::Pin;
    for item in &context.items {
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
            (Form::Verbatim, Kind::Assistant) => {
                called.extend(envelope.calls.iter().cloned());
                open.extend(envelope.calls.iter().cloned());
            }
            (Form::Verbatim, Kind::ToolResult) => {
                let known = envelope.answers.iter().any(|call| called.contains(call));
                assert!(known, "result {id} stands without its call");
                open.retain(|call| !envelope.answers.contains(call));
            }
            (_, kind) => assert!(open.is_empty(), "{kind} {id} parts a call from its result"),
        }
    }
}
