//! Heads larger than a summarizer's window: folded chunk by chunk into a running summary, or, where
//! there are many, chunk by chunk on their own and then together.

use async_trait::async_trait;
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
    /// session's.
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
            if fold.chunks(&entries) <= CHUNKS_IN_A_ROW {
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

    fn chunks(&self, entries: &[JobEntry]) -> usize {
        let (mut chunks, mut rest) = (0, entries);
        while !rest.is_empty() {
            rest = &rest[self.chunk_length(rest)..];
            chunks += 1;
        }
        chunks
    }

    /// Each chunk into the running summary.
    async fn in_a_row(&mut self, entries: &[JobEntry]) -> Result<Summary> {
        let mut running = self.job.previous.clone();
        let mut rest = entries;
        loop {
            let (summary, length) = self.next(rest, running).await?;
            rest = &rest[length..];
            if rest.is_empty() {
                return Ok(summary);
            }
            running = Some(summary);
        }
    }

    /// Each chunk on its own, as an entry of what it said.
    async fn apart(&mut self, entries: &[JobEntry]) -> Result<Vec<JobEntry>> {
        let mut partial = Vec::new();
        let mut rest = entries;
        while let Some(first) = rest.first() {
            let (summary, length) = self.next(rest, None).await?;
            let message = Message::text(Role::User, summary.text);
            let tokens =
                self.counter.count(&transcript(&[entry_of(first, message.clone())], PART_BYTES));
            partial.push(JobEntry { tokens, ..entry_of(first, message) });
            rest = &rest[length..];
        }
        Ok(partial)
    }

    /// The summary of the next chunk, made smaller while the model cannot take it, and how many
    /// entries it covers.
    async fn next(
        &mut self,
        rest: &[JobEntry],
        previous: Option<Summary>,
    ) -> Result<(Summary, usize)> {
        loop {
            let length = self.chunk_length(rest);
            let job = SummaryJob {
                entries: rest[..length].iter().map(|entry| self.cut(entry)).collect(),
                previous: previous.clone(),
                hint: self.job.hint.clone(),
                budget_tokens: self.job.budget_tokens,
                kept: if length == rest.len() { self.job.kept.clone() } else { Vec::new() },
            };
            match self.inner.summarize(job).await {
                Ok(summary) if summary.text.trim().is_empty() => {
                    return Err(Error::BadReply(Flaw::Blank));
                }
                Ok(mut summary) => {
                    self.parts.push(summary.made_by.take().unwrap_or(Value::Null));
                    return Ok((summary, length));
                }
                Err(Error::Overflow { prompt, limit }) if self.shrinks < SHRINKS => {
                    self.shrinks += 1;
                    self.shrink(prompt, limit);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn shrink(&mut self, prompt: Option<u64>, limit: Option<u64>) {
        let smaller = match (prompt, limit) {
            (Some(prompt), Some(limit)) if prompt > limit => {
                let ratio = u128::from(self.chunk_tokens) * u128::from(limit) / u128::from(prompt);
                u64::try_from(ratio * 9 / 10).unwrap_or(u64::MAX)
            }
            _ => self.chunk_tokens / 2,
        };
        self.chunk_tokens = smaller.max(MIN_CHUNK_TOKENS);
    }

    /// How many leading entries make a chunk: whole turns if any fit, else up to a call pair.
    fn chunk_length(&self, entries: &[JobEntry]) -> usize {
        let (mut tokens, mut at_turn, mut at_pair) = (0, 0, 0);
        for (at, entry) in entries.iter().enumerate() {
            if at > 0 && entry.turn != entries[at - 1].turn {
                at_turn = at;
            }
            if at > 0 && entry.kind != Kind::ToolResult {
                at_pair = at;
            }
            tokens +=
                u64::from(self.counter.count(&transcript(std::slice::from_ref(entry), PART_BYTES)));
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
}

fn entry_of(first: &JobEntry, message: Message) -> JobEntry {
    JobEntry { kind: Kind::BranchSummary, message, ..first.clone() }
}
