//! What a cut covers, as a job for the summarizer.

use std::collections::{BTreeMap, HashSet};

use treering_interchange::{masked, message, plain_text};
use treering_provider::{JobEntry, SummaryJob, TokenCounter, count_message};
use treering_tree::context::{Form, Item, Source};
use treering_tree::{
    Content, Context, Cut, Id, Kind, Mask, Message, Number, Place, Store, Stored, Summary,
};

use crate::error::Result;

/// Erased summaries, one above the other, whose entries are summarized again; what more of them covered
/// stays untold.
const ERASED_SUMMARIES: usize = 1_000;

/// What a cut covers and what it leaves.
pub(crate) struct Covered {
    pub(crate) job: SummaryJob,
    /// Every entry whose content goes into the summary, the older summary included.
    pub(crate) ids: Vec<Id>,
    /// What is lifted, by number.
    pub(crate) lifted: BTreeMap<Number, Kind>,
    /// What is masked of what is kept, in the order of the context.
    pub(crate) masks: Vec<Mask>,
}

impl Covered {
    /// Gathers what a cut of the context at `head` covers. O(context), and where the summary in it was
    /// erased also what that one covered, which is to be summarized again.
    /// `masked` of it are to be masked where they are kept.
    pub(crate) async fn new(
        store: &dyn Store,
        counter: &dyn TokenCounter,
        (head, cut): (Id, &Cut),
        masked: &HashSet<Id>,
    ) -> Result<Self> {
        let context = Context::at(store, head).await?;
        let mut covered = Self {
            job: SummaryJob::default(),
            ids: Vec::new(),
            lifted: cut.lifted.iter().map(|number| (*number, Kind::Pin)).collect(),
            masks: Vec::new(),
        };
        covered.again(store, &context).await?;
        for item in context.items.iter() {
            covered.add(item, cut);
            if masked.contains(&item.stored.place.id) && !item.is_interruption() {
                covered.mask(item, counter);
            }
        }
        Ok(covered)
    }

    /// Gathers what the summary in a context covered, if it was erased and says nothing any more.
    async fn again(&mut self, store: &dyn Store, context: &Context) -> Result<()> {
        let mut earlier = Vec::new();
        let mut erased = erased_summary(context);
        while let Some((parent, cut)) = erased.filter(|_| earlier.len() < ERASED_SUMMARIES) {
            let context = Context::at(store, parent).await?;
            erased = erased_summary(&context);
            earlier.push((context, cut));
        }
        for (context, cut) in earlier.iter().rev() {
            for Item { source, stored, .. } in context.items.iter().filter(|i| !i.is_interruption())
            {
                let place = &stored.place;
                if *source == Source::Summary {
                    self.previous(stored);
                } else if place.depth < cut.first_kept_depth && !cut.lifted.contains(&place.number)
                {
                    self.job.entries.push(entry(stored));
                }
            }
        }
        Ok(())
    }

    /// An older summary is an input of the new one, unless it says nothing any more.
    fn previous(&mut self, stored: &Stored) {
        if stored.entry.body().is_some() {
            self.job.previous = Some(summary_of(stored));
        }
    }

    /// Tokens that masks save.
    pub(crate) fn saved_tokens(&self) -> u64 {
        self.masks.iter().map(|mask| u64::from(mask.saved_tokens)).sum()
    }

    fn mask(&mut self, item: &Item, counter: &dyn TokenCounter) {
        let Place { id: entry, tokens, .. } = *item.stored.place;
        let saved_tokens = match item.form {
            Form::Masked { saved_tokens } => saved_tokens.min(tokens),
            _ => tokens.saturating_sub(count_message(counter, &masked(item))),
        };
        if saved_tokens > 0 {
            self.masks.push(Mask { entry, saved_tokens });
            if let Some(kept) = self.job.kept.last_mut() {
                (kept.message, kept.tokens) = (masked(item), tokens - saved_tokens);
            }
        }
    }

    fn add(&mut self, item: &Item, cut: &Cut) {
        let place = &item.stored.place;
        if item.is_interruption() {
            // Not an entry of its own: the call says it.
            return;
        }
        if item.source == Source::Summary {
            self.ids.push(place.id);
            self.previous(&item.stored);
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

/// Where the erased summary of a context was put, and what it covered there.
fn erased_summary(context: &Context) -> Option<(Id, Cut)> {
    let item = context.items.iter().find(|item| item.source == Source::Summary)?;
    let Stored { entry, place, .. } = &item.stored;
    let is_erased = matches!(entry.content(), Content::Erased { .. } | Content::Sealed(_));
    Some((entry.envelope().parent?, place.cut.clone()?)).filter(|_| is_erased)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::{Desk, Words};

    /// The item as the compaction of a context that keeps it masks it: the mask, and its size as the
    /// summarizer is told it.
    fn masked_of(item: &Item) -> (Vec<u32>, u32) {
        let mut covered = Covered {
            job: SummaryJob { kept: vec![entry(&item.stored)], ..SummaryJob::default() },
            ids: Vec::new(),
            lifted: BTreeMap::new(),
            masks: Vec::new(),
        };
        covered.mask(item, &Words);
        (covered.masks.iter().map(|mask| mask.saved_tokens).collect(), covered.job.kept[0].tokens)
    }

    async fn last(line: &str) -> Item {
        let context = Desk::with(line).await.session.context().await.unwrap();
        context.items.last().unwrap().clone()
    }

    #[tokio::test]
    async fn a_mask_says_what_it_saves_and_goes_on_saving_that() {
        let item = last("u5 a5>1 t900").await;
        let left = count_message(&Words, &masked(&item));
        assert!(left > 0);
        assert_eq!(masked_of(&item), (vec![900 - left], left));
        let again = |saved_tokens| Item { form: Form::Masked { saved_tokens }, ..item.clone() };
        assert_eq!(masked_of(&again(7)), (vec![7], 893));
        assert_eq!(masked_of(&again(901)), (vec![900], 0), "never more than there is");
    }

    #[tokio::test]
    async fn what_a_mask_would_not_make_smaller_is_not_masked() {
        let left = count_message(&Words, &masked(&last("u5 a5>1 t900").await));
        for tokens in [1, left] {
            let item = last(&format!("u5 a5>1 t{tokens}")).await;
            assert_eq!(masked_of(&item), (vec![], tokens));
        }
    }

    #[tokio::test]
    async fn a_summary_somebody_else_wrote_is_its_plain_text() {
        let item = last("u5").await;
        let summary = summary_of(&item.stored);
        assert_eq!(summary, Summary { text: "u5 number 0".to_owned(), ..Summary::default() });
    }
}
