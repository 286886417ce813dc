//! Invariant 9: every interleaving of up to six steps around a slow summarizer. What lands is behind
//! everything that was appended meanwhile, and leaves it identical; what cannot land leaves no trace.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use treering_compactor::{Compactor, Handle, OnDrop, RunOptions, SkipReason};
use treering_policy::{Policy, Share};
use treering_provider::{ByteClasses, Summarizer, SummaryJob};
use treering_tree::{
    Draft, Entry, Expect, Id, Kind, Message, Options, RedbStore, Role, Session, Sources, Store,
    Summary,
};

const STEPS: usize = 6;
/// Sessions a store holds.
const PER_STORE: usize = 2_000;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Append,
    Call,
    Result,
    Rewind,
    Fork,
    /// Lets the compaction in flight go, awaits it, and starts the next.
    Land,
    /// Gives up the compaction in flight; none is started after it.
    Cancel,
}

const ALL: [Step; 7] =
    [Step::Append, Step::Call, Step::Result, Step::Rewind, Step::Fork, Step::Land, Step::Cancel];

/// Every sequence with at most two landings and one end by cancel. What ends with one of these is a
/// shorter sequence, since everything lands at the end.
fn sequences() -> Vec<Vec<Step>> {
    let mut all: Vec<Vec<Step>> = vec![Vec::new()];
    for nth in 1..=STEPS {
        let longer = |sequence: &Vec<Step>| {
            let lands = sequence.iter().filter(|step| **step == Step::Land).count();
            let over = sequence.contains(&Step::Cancel);
            let may = move |step: &Step| match step {
                Step::Land => !over && lands < 2 && nth < STEPS,
                Step::Cancel => !over && nth < STEPS,
                _ => true,
            };
            let sequence = sequence.clone();
            ALL.into_iter().filter(may).map(move |step| [&sequence[..], &[step]].concat())
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

/// Answers one job for each permit.
struct Slow {
    came: mpsc::UnboundedSender<()>,
    go: Semaphore,
}

#[async_trait::async_trait]
impl Summarizer for Slow {
    async fn summarize(&self, _: SummaryJob) -> treering_provider::Result<Summary> {
        self.came.send(()).unwrap();
        self.go.acquire().await.unwrap().forget();
        Ok(Summary { text: "what was".to_owned(), ..Summary::default() })
    }

    fn name(&self) -> &'static str {
        "slow"
    }
}

struct Play {
    session: Session,
    compactor: Compactor,
    slow: Arc<Slow>,
    came: mpsc::UnboundedReceiver<()>,
    /// The path to the head, as the test knows it.
    path: Vec<Id>,
    calls: usize,
    open: Vec<String>,
    flight: Option<Flight>,
    written: Vec<Entry>,
    landed: usize,
    forks: usize,
}

struct Flight {
    handle: Handle,
    high_water: Id,
    branch: String,
    /// Whether its branch still stands on the high-water mark, when it is not the active one.
    left_on: Option<Vec<Id>>,
}

fn policy() -> Policy {
    Policy {
        window: 10_000,
        keep_recent_turns: None,
        keep_recent_tokens: Some(Share::fixed(150)),
        prose: Share::fixed(20),
        index: Share::fixed(0),
        ..Policy::default()
    }
}

impl Play {
    async fn new(store: &Arc<dyn Store>, seed: u64) -> Self {
        let (came, jobs) = mpsc::unbounded_channel();
        let slow = Arc::new(Slow { came, go: Semaphore::new(0) });
        let counter = Arc::new(ByteClasses::default());
        let compactor = Compactor::new(counter, Arc::clone(&slow) as _);
        let session =
            Session::new(Arc::clone(store), format!("{seed}"), Sources::fixed(seed << 32));
        let mut play = Self {
            session,
            compactor,
            slow,
            came: jobs,
            path: Vec::new(),
            calls: 0,
            open: Vec::new(),
            flight: None,
            written: Vec::new(),
            landed: 0,
            forks: 0,
        };
        let kinds = [Kind::User, Kind::Assistant, Kind::User, Kind::Assistant];
        let drafts: Vec<Draft> = kinds.map(|kind| play.said(kind)).into();
        play.put(drafts).await;
        play.start().await;
        play
    }

    fn said(&self, kind: Kind) -> Draft {
        let text = format!("{} {}", kind.name(), self.written.len());
        self.session.draft(kind, Message::text(Role::User, text).body()).tokens(100)
    }

    async fn put(&mut self, drafts: Vec<Draft>) {
        let mut above = self.path.last().copied();
        for draft in &drafts {
            let entry = draft.entry_under(above);
            above = Some(entry.id());
            self.path.push(entry.id());
            self.written.push(entry);
        }
        self.session.append_all(drafts, Expect::Any).await.unwrap();
    }

    /// Starts a compaction, if there is anything to compact.
    async fn start(&mut self) {
        let options = RunOptions { force: true, ..RunOptions::default() };
        let policy = policy();
        let start = self.compactor.start(&self.session, &policy, &options, OnDrop::Cancel);
        let mut handle = start.await.unwrap();
        let branch = self.session.info().await.unwrap().active;
        tokio::select! {
            biased;
            () = async { self.came.recv().await.unwrap() } => {}
            result = handle.result() => {
                assert!(result.unwrap().skipped_reason.is_some());
                return;
            }
        }
        let high_water = *self.path.last().unwrap();
        self.flight = Some(Flight { handle, high_water, branch, left_on: None });
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Append => self.put(vec![self.said(Kind::User)]).await,
            Step::Call => {
                let name = format!("c{}", self.calls);
                self.calls += 1;
                self.open.push(name.clone());
                self.put(vec![self.said(Kind::Assistant).calls([name])]).await;
            }
            Step::Result => {
                let name = self.open.pop().unwrap_or_else(|| "none".to_owned());
                self.put(vec![self.said(Kind::ToolResult).answers([name])]).await;
            }
            Step::Rewind => {
                let keep = self.path.len().saturating_sub(2).max(1);
                self.path.truncate(keep);
                self.session.rewind(self.path.last().copied(), Expect::Any).await.unwrap();
            }
            Step::Fork => {
                if let Some(flight) = &mut self.flight {
                    flight.left_on.get_or_insert_with(|| self.path.clone());
                }
                let keep = self.path.len().saturating_sub(1).max(1);
                self.path.truncate(keep);
                self.forks += 1;
                let name = format!("fork{}", self.forks);
                self.session.fork_branch(&name, *self.path.last().unwrap()).await.unwrap();
            }
            Step::Land => {
                self.land().await;
                self.start().await;
            }
            Step::Cancel => {
                if let Some(flight) = self.flight.take() {
                    assert!(flight.handle.cancel(), "nobody else is aboard, nothing is landing");
                }
            }
        }
    }

    /// Lets the compaction in flight go, and holds it to what the rules say.
    async fn land(&mut self) {
        let Some(mut flight) = self.flight.take() else {
            return;
        };
        let before = self.session.store().stats().await.unwrap().entries;
        self.slow.go.add_permits(1);
        let result = flight.handle.result().await.unwrap();
        let path = flight.left_on.as_ref().unwrap_or(&self.path);
        let at = path.iter().position(|id| *id == flight.high_water);
        let after = self.session.store().stats().await.unwrap().entries;
        let Some(at) = at else {
            let stale = matches!(result.skipped_reason, Some(SkipReason::Stale { .. }));
            assert!(stale, "{result:?} off the high-water mark");
            assert_eq!(after, before, "what could not land left a trace");
            return;
        };
        let entry = result.entry.unwrap_or_else(|| panic!("{result:?} and on the path"));
        assert_eq!(after, before + 1);
        self.landed += 1;
        let store = self.session.store();
        let stored = store.entries(&[entry]).await.unwrap().remove(0).unwrap();
        assert_eq!(stored.entry.envelope().parent, path.last().copied(), "not behind the head");
        let tail = store.tail(entry).await.unwrap().entries;
        let kept: Vec<Id> = tail.iter().map(|stored| stored.entry.id()).collect();
        let later = [&path[at + 1..], &[entry]].concat();
        assert!(kept.ends_with(&later), "what came meanwhile is not what is kept");
        let branches = store.branches(self.session.name(), None, 100).await.unwrap();
        let branch = branches.iter().find(|known| known.name == flight.branch).unwrap();
        assert_eq!(branch.head, Some(entry), "on another branch than it was planned on");
        if flight.left_on.is_none() {
            self.path.push(entry);
        }
    }

    async fn end(&mut self) {
        self.land().await;
        assert_eq!(self.session.head().await.unwrap(), self.path.last().copied());
        let ids: Vec<Id> = self.written.iter().map(Entry::id).collect();
        let stored = self.session.store().entries(&ids).await.unwrap();
        for (expected, found) in self.written.iter().zip(stored) {
            assert_eq!(*expected, *found.expect("acknowledged, and gone").entry);
        }
    }
}

fn play_all(sequences: &[Vec<Step>]) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut landed = 0;
    let mut store: Option<Arc<dyn Store>> = None;
    for (nth, sequence) in sequences.iter().enumerate() {
        if nth.is_multiple_of(PER_STORE) {
            let options = Options::new(Sources::fixed(nth as u64));
            store = Some(Arc::new(RedbStore::in_memory(options).unwrap()));
        }
        let told = std::panic::AssertUnwindSafe(|| {
            runtime.block_on(async {
                let mut play = Play::new(store.as_ref().unwrap(), nth as u64).await;
                for step in sequence {
                    play.step(*step).await;
                }
                play.end().await;
                play.landed
            })
        });
        match std::panic::catch_unwind(told) {
            Ok(more) => landed += more,
            Err(panic) => {
                println!("failing steps: {sequence:?}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    landed
}

#[test]
fn invariant_9_every_interleaving_around_a_slow_summarizer() {
    let all = sequences();
    let (first, second) = all.split_at(all.len() / 2);
    let landed = std::thread::scope(|scope| {
        let other = scope.spawn(|| play_all(second));
        play_all(first) + other.join().unwrap()
    });
    println!("{} interleavings, {landed} compactions landed", all.len());
    assert!(landed > all.len() / 2, "{landed} are too few to show anything");
}
