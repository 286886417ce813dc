//! Heads larger than a summarizer's window: folded chunk by chunk into a running summary, or, where
//! there are many chunks, each on its own, several at once, and then together.

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use treering_tree::{Kind, Message, Part, Role, Summary};

use crate::byte_classes::ByteClasses;
use crate::count::TokenCounter;
use crate::error::{Error, Flaw, Result};
use crate::summarizer::{JobEntry, Summarizer, SummaryJob};
use crate::transcript::{PART_BYTES, clip, transcript};

/// Part of the window a chunk may fill, in percent.
const CHUNK_PERCENT: u64 = 70;
/// Chunks that are folded one into the next; more are summarized on their own first.
const CHUNKS_IN_A_ROW: usize = 8;
/// Chunks that are summarized at once, where there are more. Put a [`Limited`](crate::Limited) inside
/// for servers that want fewer.
const CHUNKS_AT_ONCE: usize = 4;
/// How often summaries of chunks are summarized again.
const LEVELS: usize = 4;
/// How often a chunk is made smaller because the model says it is too large.
const SHRINKS: u32 = 5;
/// The smallest chunk, in tokens.
const MIN_CHUNK_TOKENS: u64 = 256;
/// Bytes of text that surely make no more than a token, where a message is cut to fit.
const BYTES_PER_TOKEN: u64 = 2;

/// Splits jobs for a summarizer with a window, at turns where it can.
///
/// The running summary is an input to every chunk behind it. Where the model says that a chunk
/// overflows its window, the chunk shrinks by the numbers in the error and is tried again, five
/// times at most. A single entry that is too large is cut in its middle, with a mark.
#[derive(Clone, Debug)]
pub struct Folding<S> {
    inner: S,
    window_tokens: u64,
}

impl<S: Summarizer> Folding<S> {
    /// `inner`, whose model has this window. The window is the summarizer's own, not the
    /// session's; `u64::MAX` where it is unknown: then overflow errors tell.
    pub fn new(inner: S, window_tokens: u64) -> Self {
        Self { inner, window_tokens }
    }
}

#[async_trait]
impl<S: Summarizer> Summarizer for Folding<S> {
    async fn summarize(&self, job: SummaryJob) -> Result<Summary> {
        let mut fold = Fold::new(&self.inner, self.window_tokens, &job);
        let mut entries = job.entries.clone();
        for _ in 0..LEVELS {
            if fold.chunks(&entries).len() <= CHUNKS_IN_A_ROW {
                break;
            }
            entries = fold.apart(&entries).await?;
        }
        let summary = fold.in_a_row(&entries).await?;
        let made_by = json!({
            "summarizer": self.inner.name(),
            "chunks": fold.parts.len(),
            "shrinks": fold.shrinks,
            "parts": fold.parts,
        });
        Ok(Summary { made_by: Some(made_by), ..summary })
    }

    fn name(&self) -> &str {
        self.inner.name()
    }
}

/// One job being folded.
struct Fold<'j, S> {
    inner: &'j S,
    job: &'j SummaryJob,
    counter: ByteClasses,
    chunk_tokens: u64,
    shrinks: u32,
    /// What made each part.
    parts: Vec<Value>,
}

impl<'j, S: Summarizer> Fold<'j, S> {
    fn new(inner: &'j S, window_tokens: u64, job: &'j SummaryJob) -> Self {
        // Beside the chunk, the running summary and the answer must fit.
        let room = (window_tokens.saturating_mul(CHUNK_PERCENT) / 100)
            .saturating_sub(u64::from(job.budget_tokens));
        Self {
            inner,
            job,
            counter: ByteClasses::default(),
            chunk_tokens: room.max(MIN_CHUNK_TOKENS),
            shrinks: 0,
            parts: Vec::new(),
        }
    }

    fn chunks<'e>(&self, entries: &'e [JobEntry]) -> Vec<&'e [JobEntry]> {
        let (mut chunks, mut rest) = (Vec::new(), entries);
        while !rest.is_empty() {
            let (chunk, behind) = rest.split_at(self.chunk_length(rest));
            chunks.push(chunk);
            rest = behind;
        }
        chunks
    }

    /// Each chunk into the running summary.
    async fn in_a_row(&mut self, entries: &[JobEntry]) -> Result<Summary> {
        let mut running = self.job.previous.clone();
        let mut rest = entries;
        loop {
            let (chunk, behind) = rest.split_at(self.chunk_length(rest));
            let reply = self.inner.summarize(self.part(chunk, running.clone(), behind)).await;
            let Some(summary) = self.taken(chunk, reply)? else {
                continue;
            };
            if behind.is_empty() {
                return Ok(summary);
            }
            rest = behind;
            running = Some(summary);
        }
    }

    /// Each chunk on its own, several at once, as an entry of what it said.
    async fn apart(&mut self, entries: &[JobEntry]) -> Result<Vec<JobEntry>> {
        let mut partial = Vec::new();
        let mut rest = entries;
        while !rest.is_empty() {
            let chunks = self.chunks(rest);
            let inner = self.inner;
            let ask = |chunk: &&[JobEntry]| inner.summarize(self.part(chunk, None, &[]));
            let calls: Vec<_> = chunks.iter().map(ask).collect();
            let mut replies = stream::iter(calls).buffered(CHUNKS_AT_ONCE);
            for chunk in &chunks {
                let reply = replies.next().await.unwrap_or(Err(Error::Cancelled));
                // A chunk that was too large: what is left is parted anew.
                let Some(summary) = self.taken(chunk, reply)? else {
                    break;
                };
                partial.push(self.entry_of(&chunk[0], summary.text));
                rest = &rest[chunk.len()..];
            }
        }
        Ok(partial)
    }

    /// The job of a chunk, with what lies behind it.
    fn part(
        &self,
        chunk: &[JobEntry],
        previous: Option<Summary>,
        behind: &[JobEntry],
    ) -> SummaryJob {
        SummaryJob {
            entries: chunk.iter().map(|entry| self.cut(entry)).collect(),
            previous,
            hint: self.job.hint.clone(),
            budget_tokens: self.job.budget_tokens,
            kept: if behind.is_empty() { self.job.kept.clone() } else { Vec::new() },
        }
    }

    /// The summary of a chunk; `None` where the chunk was too large and later ones will be smaller.
    fn taken(&mut self, chunk: &[JobEntry], reply: Result<Summary>) -> Result<Option<Summary>> {
        match reply {
            Ok(summary) if summary.text.trim().is_empty() => Err(Error::BadReply(Flaw::Blank)),
            Ok(mut summary) => {
                self.parts.push(summary.made_by.take().unwrap_or(Value::Null));
                Ok(Some(summary))
            }
            Err(Error::Overflow { prompt, limit }) if self.shrinks < SHRINKS => {
                self.shrinks += 1;
                self.shrink(chunk, prompt, limit);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn shrink(&mut self, chunk: &[JobEntry], prompt: Option<u64>, limit: Option<u64>) {
        // Where the window is unknown, the chunk is what was too large, not what it might have been.
        let sent = chunk.iter().map(|entry| self.tokens(entry)).sum();
        let sent = self.chunk_tokens.min(sent);
        let smaller = match (prompt, limit) {
            (Some(prompt), Some(limit)) if prompt > limit => {
                let ratio = u128::from(sent) * u128::from(limit) / u128::from(prompt);
                u64::try_from(ratio * 9 / 10).unwrap_or(u64::MAX)
            }
            _ => sent / 2,
        };
        self.chunk_tokens = smaller.max(MIN_CHUNK_TOKENS);
    }

    fn tokens(&self, entry: &JobEntry) -> u64 {
        self.counter.count(&transcript(std::slice::from_ref(entry), PART_BYTES)).into()
    }

    /// How many leading entries make a chunk: whole turns if any fit, else up to a call pair.
    fn chunk_length(&self, entries: &[JobEntry]) -> usize {
        let (mut tokens, mut at_turn, mut at_pair) = (0_u64, 0, 0);
        for (at, entry) in entries.iter().enumerate() {
            if at > 0 && entry.turn != entries[at - 1].turn {
                at_turn = at;
            }
            if at > 0 && entry.kind != Kind::ToolResult {
                at_pair = at;
            }
            tokens = tokens.saturating_add(self.tokens(entry));
            if tokens > self.chunk_tokens {
                return [at_turn, at_pair, at].into_iter().find(|end| *end > 0).unwrap_or(1);
            }
        }
        entries.len()
    }

    /// The entry, its plain text cut where it alone would fill the chunk.
    fn cut(&self, entry: &JobEntry) -> JobEntry {
        let limit = self.chunk_tokens.saturating_mul(BYTES_PER_TOKEN);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut entry = entry.clone();
        for part in &mut entry.message.parts {
            if let Part::Text { text } = part
                && text.len() > limit
            {
                *text = clip(text, limit).into_owned();
            }
        }
        entry
    }

    /// What a chunk's summary says, as an entry in the chunk's place.
    fn entry_of(&self, first: &JobEntry, summary: String) -> JobEntry {
        let message = Message::text(Role::User, summary);
        let mut entry = JobEntry { kind: Kind::BranchSummary, message, ..first.clone() };
        entry.tokens = u32::try_from(self.tokens(&entry)).unwrap_or(u32::MAX);
        entry
    }
}
