//! What a cut covers, as a job for the summarizer.

use std::collections::BTreeMap;

use treering_interchange::{message, plain_text};
use treering_provider::{JobEntry, SummaryJob};
use treering_tree::context::{Form, Item, Source};
use treering_tree::{Context, Cut, Id, Kind, Message, Number, Store, Stored, Summary};

use crate::error::Result;

/// What a cut covers and what it leaves.
pub(crate) struct Covered {
    pub(crate) job: SummaryJob,
    /// Every entry whose content goes into the summary, the older summary included.
    pub(crate) ids: Vec<Id>,
    /// What is lifted, by number.
    pub(crate) lifted: BTreeMap<Number, Kind>,
}

impl Covered {
    /// Gathers what a cut of the context at `head` covers. O(context).
    pub(crate) async fn new(store: &dyn Store, head: Id, cut: &Cut) -> Result<Self> {
        let context = Context::at(store, head).await?;
        let mut covered = Self {
            job: SummaryJob::default(),
            ids: Vec::new(),
            lifted: cut.lifted.iter().map(|number| (*number, Kind::Pin)).collect(),
        };
        for item in context.items {
            covered.add(&item, cut);
        }
        Ok(covered)
    }

    fn add(&mut self, item: &Item, cut: &Cut) {
        let place = &item.stored.place;
        if matches!(item.form, Form::Interrupted { .. }) {
            // Not an entry of its own: the call says it.
            return;
        }
        if item.source == Source::Summary {
            self.ids.push(place.id);
            self.job.previous = Some(summary_of(&item.stored));
        } else if place.depth >= cut.first_kept_depth {
            self.job.kept.push(entry(&item.stored));
        } else if let Some(kind) = self.lifted.get_mut(&place.number) {
            *kind = place.kind;
        } else {
            self.ids.push(place.id);
            self.job.entries.push(entry(&item.stored));
        }
    }
}

/// An entry as a summarizer is given it.
pub(crate) fn entry(stored: &Stored) -> JobEntry {
    JobEntry {
        id: stored.place.id,
        kind: stored.place.kind,
        turn: stored.place.turn,
        tokens: stored.place.tokens,
        message: message_of(stored),
    }
}

pub(crate) fn message_of(stored: &Stored) -> Message {
    let erased = || Message::erased(stored.entry.envelope());
    stored.entry.body().map_or_else(erased, |body| message(stored.place.kind, body))
}

/// The summary of a compaction entry, whoever wrote it.
pub(crate) fn summary_of(stored: &Stored) -> Summary {
    let own = stored.entry.body().and_then(|body| Summary::from_body(body).ok());
    own.unwrap_or_else(|| Summary { text: plain_text(&message_of(stored)), ..Summary::default() })
}
