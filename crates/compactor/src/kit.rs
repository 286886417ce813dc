//! What the tests share: a session written as a line, a counter that can be reckoned with, a
//! summarizer that waits to be let go.
//!
//! `u10 a10 t10`: entries of kind and tokens. u user, a assistant, t tool result, n note, m record, p system
//! prompt in the slot "main". `a10>2` makes 2 calls; t answers the oldest open one.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::sync::{Semaphore, mpsc};
use treering_policy::{Policy, Share};
use treering_provider::{Scripted, Summarizer, SummaryJob, TokenCounter};
use treering_tree::{
    Draft, Expect, Id, Kind, Message, Options, RedbStore, Role, Session, Sources, Store, Summary,
};

use crate::{CompactionResult, Compactor, Handle, OnDrop, RunOptions};

/// Counts words.
pub(crate) struct Words;

impl TokenCounter for Words {
    fn id(&self) -> &'static str {
        "words"
    }

    fn count(&self, text: &str) -> u32 {
        u32::try_from(text.split_whitespace().count()).unwrap()
    }

    fn per_message(&self) -> u32 {
        0
    }
}

/// A session under test.
pub(crate) struct Desk {
    pub(crate) session: Session,
    pub(crate) ids: Vec<Id>,
    open: Vec<String>,
    calls: usize,
    now_ms: Arc<AtomicI64>,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let now_ms = Arc::new(AtomicI64::new(0));
        let (clock, random) = (Arc::clone(&now_ms), Sources::fixed(11));
        let now = move || clock.fetch_add(1, Ordering::SeqCst);
        let sources = Sources::new(now, move |buffer| random.fill(buffer));
        let store = RedbStore::in_memory(Options::new(sources.clone())).unwrap();
        let session = Session::new(Arc::new(store), "desk", sources);
        Self { session, ids: Vec::new(), open: Vec::new(), calls: 0, now_ms }
    }

    pub(crate) async fn with(line: &str) -> Self {
        let mut desk = Self::new();
        desk.say(line).await;
        desk
    }

    /// Appends the entries of a line; their ids go behind those that are there.
    pub(crate) async fn say(&mut self, line: &str) {
        for word in line.split_whitespace() {
            let draft = self.draft(word);
            self.put(draft).await;
        }
    }

    /// Lets time go by.
    pub(crate) fn pass_ms(&self, ms: i64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) async fn put(&mut self, draft: Draft) {
        let done = self.session.append(draft, Expect::Any).await.unwrap();
        self.ids.push(done.ids[0]);
    }

    fn draft(&mut self, word: &str) -> Draft {
        let (letter, rest) = word.split_at(1);
        let (size, calls) = rest.split_once('>').unwrap_or((rest, "0"));
        let kind = match letter {
            "u" => Kind::User,
            "a" => Kind::Assistant,
            "t" => Kind::ToolResult,
            "n" => Kind::Note,
            "p" => Kind::SystemPrompt,
            _ => Kind::Record,
        };
        let text = format!("{word} number {}", self.ids.len());
        let body = Message::text(Role::User, text).body();
        let mut draft = self.session.draft(kind, body).tokens(size.parse().unwrap_or(0));
        if kind == Kind::User {
            self.open.clear();
        }
        if kind == Kind::SystemPrompt {
            draft = draft.slot("main");
        }
        if kind == Kind::ToolResult && !self.open.is_empty() {
            draft = draft.answers([self.open.remove(0)]);
        }
        let calls: usize = calls.parse().unwrap();
        if calls > 0 {
            let names: Vec<String> =
                (0..calls).map(|nth| format!("call-{}-{nth}", self.calls)).collect();
            self.calls += 1;
            self.open.extend(names.iter().cloned());
            draft = draft.calls(names);
        }
        draft
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &**self.session.store()
    }

    pub(crate) async fn head(&self) -> Id {
        self.session.head().await.unwrap().unwrap()
    }

    /// Ids of the context, in order.
    pub(crate) async fn shown(&self) -> Vec<Id> {
        let context = self.session.context().await.unwrap();
        context.items.iter().map(|item| item.stored.entry.id()).collect()
    }

    pub(crate) async fn entries(&self) -> u64 {
        self.store().stats().await.unwrap().entries
    }
}

/// A policy that keeps so many tokens of a window of 1,000, over 500.
pub(crate) fn keeping(tokens: u64) -> Policy {
    Policy {
        window: 1_000,
        reserve: Some(500),
        keep_recent_turns: None,
        keep_recent_tokens: Some(Share::fixed(tokens)),
        prose: Share::fixed(100),
        index: Share::fixed(0),
        boundary: treering_policy::Boundary::Within,
        ..Policy::default()
    }
}

/// A compactor that is told what to answer.
pub(crate) fn scripted(replies: &[&str]) -> (Compactor, Arc<Scripted>) {
    let replies: Vec<_> = replies.iter().map(|reply| Ok((*reply).to_owned())).collect();
    let script = Arc::new(Scripted::new(replies));
    (Compactor::new(Arc::new(Words), Arc::clone(&script) as _), script)
}

pub(crate) async fn compact(desk: &Desk, policy: &Policy, reply: &str) -> CompactionResult {
    let (compactor, _) = scripted(&[reply]);
    compactor.run(&desk.session, policy, &RunOptions::default()).await.unwrap()
}

/// Says when a job came, and answers when it is let go.
pub(crate) struct Gated {
    came: mpsc::UnboundedSender<SummaryJob>,
    go: Semaphore,
    waiting: AtomicUsize,
}

impl Gated {
    pub(crate) fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<SummaryJob>) {
        let (came, jobs) = mpsc::unbounded_channel();
        (Arc::new(Self { came, go: Semaphore::new(0), waiting: AtomicUsize::new(0) }), jobs)
    }

    /// Whether somebody waits for an answer.
    pub(crate) fn is_asked(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Answers everybody from now on.
    pub(crate) fn let_go(&self) {
        self.go.close();
    }
}

#[async_trait]
impl Summarizer for Gated {
    async fn summarize(&self, job: SummaryJob) -> treering_provider::Result<Summary> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(&self.waiting);
        self.came.send(job).unwrap();
        let opened = self.go.acquire().await;
        assert!(opened.is_err(), "nothing passes a gate but its opening");
        Ok(Summary { text: "what was".to_owned(), ..Summary::default() })
    }

    fn name(&self) -> &'static str {
        "gated"
    }
}

/// Counts the one who waits.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A compaction in the background that has reached the summarizer.
pub(crate) struct Flying {
    pub(crate) gate: Arc<Gated>,
    jobs: mpsc::UnboundedReceiver<SummaryJob>,
    pub(crate) compactor: Compactor,
    handle: Option<Handle>,
    policy: Policy,
}

impl Flying {
    pub(crate) async fn new(desk: &Desk, policy: &Policy) -> Self {
        let (gate, jobs) = Gated::new();
        let compactor = Compactor::new(Arc::new(Words), Arc::clone(&gate) as _);
        let mut flying = Self { gate, jobs, compactor, handle: None, policy: policy.clone() };
        flying.handle = Some(flying.another(desk, OnDrop::Cancel).await);
        flying.next_job().await;
        flying
    }

    /// Starts or joins once more.
    pub(crate) async fn another(&self, desk: &Desk, on_drop: OnDrop) -> Handle {
        let options = RunOptions::default();
        self.compactor.start(&desk.session, &self.policy, &options, on_drop).await.unwrap()
    }

    /// The next job the run asks for.
    pub(crate) async fn next_job(&mut self) -> SummaryJob {
        self.jobs.recv().await.unwrap()
    }

    pub(crate) async fn land(mut self) -> CompactionResult {
        self.gate.let_go();
        self.handle.as_mut().unwrap().result().await.unwrap()
    }

    /// Drops the first handle.
    pub(crate) async fn leave(&mut self) {
        self.handle = None;
        tokio::task::yield_now().await;
    }
}
