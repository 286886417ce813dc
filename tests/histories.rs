//! Random histories with real compactions in them: turns, parallel, late and interrupted tool calls,
//! prompts, pins, rewinds, forks, and cuts of every kind. Each is a function of its seed. What must hold
//! at every step stands in `coverage`, `closure` and `prefix`.

use std::sync::{Arc, Mutex};

use crate::{closure, coverage, prefix};
use tests::rng::Rng;
use treering_compactor::{CompactionResult, Compactor, RunOptions};
use treering_policy::{Boundary, Oversized, Policy, Share};
use treering_provider::{ByteClasses, Summarizer, SummaryJob};
use treering_tree::{
    Context, Draft, Expect, Id, Kind, Message, Options, RedbStore, Role, Session, Sources, Store,
    Summary,
};

/// Histories a store holds, each a session of its own.
const PER_STORE: u64 = 500;
const STEPS: usize = 20;

/// What a step did. Contexts are those of the active head.
pub(crate) struct Seen<'a> {
    pub(crate) before: &'a Context,
    pub(crate) after: &'a Context,
    /// What landed, and what the summarizer was given.
    pub(crate) landed: Option<(&'a CompactionResult, &'a SummaryJob)>,
    /// Whether the head moved otherwise than by entries behind it.
    pub(crate) moved: bool,
    /// Whether a compaction was appended without a compactor: the store alone guards it.
    pub(crate) by_hand: bool,
    /// Whether a call is open at the head.
    pub(crate) open: bool,
    /// What is pinned at the head.
    pub(crate) pinned: &'a [Id],
}

/// Keeps the job it was given last.
#[derive(Default)]
struct Recorder(Mutex<Option<SummaryJob>>);

#[async_trait::async_trait]
impl Summarizer for Recorder {
    async fn summarize(&self, job: SummaryJob) -> treering_provider::Result<Summary> {
        *self.0.lock().unwrap() = Some(job);
        Ok(Summary { text: "what was".to_owned(), ..Summary::default() })
    }

    fn name(&self) -> &'static str {
        "recorder"
    }
}

/// Runs the histories of these seeds on two threads; `watcher` makes what looks at one history.
/// Answers how many compactions landed, how many were appended by hand and how many masked items were
/// seen, so that no suite is about nothing.
fn run<W: FnMut(&Seen<'_>)>(
    seeds: std::ops::Range<u64>,
    watcher: impl Fn() -> W + Sync,
) -> [u64; 3] {
    let half = |parity: u64| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut counts = [0; 3];
        let mut store = None;
        for seed in seeds.clone().filter(|seed| seed % 2 == parity) {
            if store.is_none() || (seed / 2).is_multiple_of(PER_STORE) {
                let options = Options::new(Sources::fixed(seed));
                store = Some(Arc::new(RedbStore::in_memory(options).unwrap()) as Arc<dyn Store>);
            }
            let mut history = History::new(store.as_ref().unwrap(), seed);
            let mut watch = watcher();
            let told = std::panic::AssertUnwindSafe(|| {
                runtime.block_on(history.run(&mut watch));
            });
            if let Err(panic) = std::panic::catch_unwind(told) {
                println!("failing seed: {seed}; steps: {}", history.steps.join(" "));
                std::panic::resume_unwind(panic);
            }
            let seen = [history.landed, history.by_hand, history.masked];
            counts = std::array::from_fn(|at| counts[at] + seen[at]);
        }
        counts
    };
    std::thread::scope(|scope| {
        let odd = scope.spawn(|| half(1));
        let (even, odd) = (half(0), odd.join().unwrap());
        std::array::from_fn(|at| even[at] + odd[at])
    })
}

/// One pass for all of them: a history costs more than a look at it.
#[test]
fn invariants_7_and_8_coverage_advance_prefix_stability_and_tool_closure() {
    let [landed, by_hand, masked] = run(0..20_000, || {
        let mut prefix = prefix::Known::default();
        move |seen: &Seen<'_>| {
            coverage::nothing_is_lost(seen);
            coverage::it_advances(seen);
            coverage::pins_stay(seen);
            coverage::masks_are_of_what_is_kept(seen);
            closure::is_closed(seen.after);
            closure::no_result_loses_its_call(seen);
            prefix.is_stable(seen);
        }
    });
    assert!(landed > 10_000, "{landed} compactions are too few to show anything");
    assert!(by_hand > 1_000, "{by_hand} by hand are too few to show anything");
    assert!(masked > 1_000, "{masked} masked items are too few to show anything");
    println!("20,000 histories, {landed} compactions, {by_hand} by hand, {masked} masked items");
}

struct History {
    session: Session,
    compactor: Compactor,
    recorder: Arc<Recorder>,
    rng: Rng,
    open: Vec<String>,
    closed: Vec<String>,
    named: usize,
    landed: u64,
    /// Compactions that the store took without a compactor.
    by_hand: u64,
    /// Masked items seen.
    masked: u64,
    steps: Vec<String>,
}

impl History {
    fn new(store: &Arc<dyn Store>, seed: u64) -> Self {
        let session = Session::new(Arc::clone(store), format!("{seed}"), Sources::fixed(seed));
        let recorder = Arc::new(Recorder::default());
        let counter = Arc::new(ByteClasses::default());
        let compactor = Compactor::new(counter, Arc::clone(&recorder) as _);
        Self {
            session,
            compactor,
            recorder,
            rng: Rng::new(seed),
            open: Vec::new(),
            closed: Vec::new(),
            named: 0,
            landed: 0,
            by_hand: 0,
            masked: 0,
            steps: Vec::new(),
        }
    }

    async fn run(&mut self, watch: &mut impl FnMut(&Seen<'_>)) {
        let mut before = Context::empty();
        let mut path: Vec<Id> = Vec::new();
        for _ in 0..STEPS {
            let (mut moved, mut by_hand) = (false, false);
            let mut landed = None;
            match self.rng.below(30) {
                0 if path.len() > 3 => {
                    path.truncate(1 + self.rng.below(path.len()));
                    self.steps.push(format!("rewind:{}", path.len()));
                    self.session.rewind(path.last().copied(), Expect::Any).await.unwrap();
                    (moved, self.open) = (true, Vec::new());
                }
                1 if path.len() > 3 => {
                    path.truncate(1 + self.rng.below(path.len()));
                    self.steps.push(format!("fork:{}", path.len()));
                    let name = format!("b{}", self.steps.len());
                    self.session.fork_branch(&name, *path.last().unwrap()).await.unwrap();
                    (moved, self.open) = (true, Vec::new());
                }
                2..=5 if path.len() > 5 => {
                    let result = self.compact(&path).await;
                    self.steps.push(format!("compact:{}", result.entry.is_some()));
                    path.extend(result.entry);
                    landed = result.entry.is_some().then_some(result);
                }
                6 if path.len() > 5 => {
                    let done = self.compact_by_hand(&path).await;
                    by_hand = done.is_some();
                    path.extend(done);
                }
                _ => {
                    let drafts: Vec<Draft> =
                        (0..=self.rng.below(3)).map(|_| self.draft(&path)).collect();
                    let done = self.session.append_all(drafts, Expect::Any).await.unwrap();
                    path.extend(done.ids);
                }
            }
            let after = self.session.context().await.unwrap();
            let job = self.recorder.0.lock().unwrap().take();
            self.landed += u64::from(landed.is_some());
            let landed = landed.as_ref().zip(job.as_ref());
            self.masked += after.items.iter().filter(|item| item.is_masked()).count() as u64;
            let (open, pinned) = self.open_and_pinned().await;
            let pinned = &pinned[..];
            watch(&Seen { before: &before, after: &after, landed, moved, by_hand, open, pinned });
            before = after;
        }
    }

    /// Appends a compaction that keeps from anywhere on, legal or not.
    async fn compact_by_hand(&mut self, path: &[Id]) -> Option<Id> {
        let body = Summary { text: "by hand".to_owned(), ..Summary::default() }.body();
        let draft = self.session.draft(Kind::Compaction, body).target(*self.rng.pick(path));
        let done = self.session.append(draft.tokens(9), Expect::Any).await;
        self.steps.push(format!("by-hand:{}", done.is_ok()));
        self.by_hand += u64::from(done.is_ok());
        done.ok().map(|done| done.ids[0])
    }

    /// Whether a call is open at the head, and what is pinned there, from the entries of the path alone.
    async fn open_and_pinned(&self) -> (bool, Vec<Id>) {
        let path = self.session.replay().await.unwrap().collect().await.unwrap();
        let mut pinned = Vec::new();
        for stored in &path {
            let envelope = stored.entry.envelope();
            match (envelope.kind, envelope.target) {
                (Kind::Pin, Some(target)) => pinned.push(target),
                (Kind::Unpin, Some(target)) => pinned.retain(|id| *id != target),
                _ => {}
            }
        }
        (path.last().is_some_and(|stored| !stored.place.open.is_empty()), pinned)
    }

    async fn compact(&mut self, path: &[Id]) -> CompactionResult {
        let rng = &mut self.rng;
        let window = *rng.pick(&[1_000, 3_000]);
        let policy = Policy {
            window,
            reserve: Some(rng.below(900) as u64),
            keep_recent_turns: rng.chance(40).then(|| rng.below(4) as u64),
            keep_recent_messages: rng.chance(20).then(|| rng.below(6) as u64),
            keep_recent_tokens: rng.chance(60).then(|| Share::fixed(rng.below(400) as u64)),
            boundary: *rng.pick(&[
                Boundary::Within,
                Boundary::Reaching,
                Boundary::Before,
                Boundary::TurnBefore,
            ]),
            oversized: *rng.pick(&[Oversized::Keep, Oversized::Cover]),
            prose: Share::fixed(20),
            index: Share::fixed(0),
            ..Policy::default()
        };
        let up_to = rng.chance(25).then(|| *rng.pick(path));
        let options = RunOptions { force: rng.chance(80), up_to, ..RunOptions::default() };
        self.compactor.run(&self.session, &policy, &options).await.unwrap()
    }

    fn draft(&mut self, path: &[Id]) -> Draft {
        let rng = &mut self.rng;
        let mut kind = *rng.pick(&[
            Kind::User,
            Kind::User,
            Kind::Assistant,
            Kind::Assistant,
            Kind::Assistant,
            Kind::ToolResult,
            Kind::ToolResult,
            Kind::ToolResult,
            Kind::ToolResult,
            Kind::Note,
            Kind::Record,
            Kind::SystemPrompt,
            Kind::Pin,
            Kind::Pin,
            Kind::Unpin,
        ]);
        if matches!(kind, Kind::Pin | Kind::Unpin) && path.is_empty() {
            kind = Kind::User;
        }
        let body = Message::text(Role::User, kind.name()).body();
        let draft = self.session.draft(kind, body);
        // Some do not fit as they are.
        let most = if rng.chance(12) { 4_000 } else { 60 };
        let draft = draft.tokens(u32::try_from(1 + rng.below(most)).unwrap());
        self.steps.push(kind.name().to_owned());
        match kind {
            Kind::User => {
                self.closed.append(&mut self.open);
                draft
            }
            Kind::Assistant if rng.chance(60) => {
                let names = (0..=rng.below(3)).map(|nth| format!("c{}-{nth}", self.named));
                let names: Vec<String> = names.collect();
                self.named += 1;
                self.open.extend(names.iter().cloned());
                draft.calls(names)
            }
            Kind::ToolResult if !self.open.is_empty() && rng.chance(90) => {
                let count = 1 + rng.below(self.open.len().min(2));
                let names: Vec<String> =
                    (0..count).map(|_| self.open.remove(rng.below(self.open.len()))).collect();
                self.closed.extend(names.iter().cloned());
                draft.answers(names)
            }
            Kind::ToolResult if !self.closed.is_empty() => {
                let name = rng.pick(&self.closed).clone();
                draft.answers([name])
            }
            Kind::SystemPrompt => draft.slot(*rng.pick(&["persona", "memory"])),
            Kind::Pin | Kind::Unpin => draft.target(*rng.pick(path)),
            _ => draft,
        }
    }
}
