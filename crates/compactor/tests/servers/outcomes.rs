//! Every fault of a server ends in its typed error with nothing written; what needed several tries
//! says so in the entry.

use std::sync::Arc;
use std::time::Duration;

use treering_compactor::{
    CompactionResult, Compactor, Error, ErrorKind, Happened, OnDrop, Progress, RunOptions, counted,
};
use treering_policy::Policy;
use treering_provider::{ByteClasses, ErrorKind as Provider, Hybrid, Model, Settings, Summarizer};
use treering_tree::{
    Expect, Id, Kind, Message, Options, RedbStore, Role, Session, SessionInfo, Sources, Stats,
    Summary,
};

use crate::job::{SECRET, both, settings, with_key};
use crate::server::Server;

/// What is to be compacted has this many turns.
const TURNS: usize = 10;

async fn session() -> Session {
    let sources = Sources::fixed(1);
    let store = RedbStore::in_memory(Options::new(sources.clone())).unwrap();
    let session = Session::new(Arc::new(store), "work", sources);
    for turn in 0..TURNS {
        let text = format!("Step {turn}: {}", "read src/parser.rs. ".repeat(10));
        let draft = session.draft(Kind::User, Message::text(Role::User, text).body());
        session.append(counted(&ByteClasses::default(), draft), Expect::Any).await.unwrap();
    }
    session
}

/// Everything that a write could change.
async fn state(session: &Session) -> (SessionInfo, Stats) {
    let mut stats = session.store().stats().await.unwrap();
    // A lease that was taken and given back moved nothing; its rows are not of the tree.
    stats.journal_rows = 0;
    stats.file_bytes = 0;
    let mut info = session.info().await.unwrap();
    info.journal = 0;
    info.changed_ms = 0;
    (info, stats)
}

async fn compact(
    session: &Session,
    summarizer: Arc<dyn Summarizer>,
) -> Result<CompactionResult, Error> {
    let compactor = Compactor::new(Arc::new(ByteClasses::default()), summarizer);
    compactor.run(session, &policy(), &forced()).await
}

fn policy() -> Policy {
    Policy { keep_recent_turns: Some(2), ..Policy::default() }
}

fn forced() -> RunOptions {
    RunOptions { force: true, ..RunOptions::default() }
}

fn models(settings: &Settings) -> impl Iterator<Item = Model> {
    both(settings).into_iter()
}

/// Both dialects fail in this way, and leave the session as it was.
async fn fails(settings: impl Fn() -> (Settings, Option<Server>), kind: Provider) {
    for at in 0..2 {
        let (settings, _front) = settings();
        let session = session().await;
        let before = state(&session).await;
        let model = models(&settings).nth(at).unwrap();
        let error = compact(&session, Arc::new(model)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Provider(kind), "{error}");
        assert_eq!(state(&session).await, before, "{error}");
    }
}

#[tokio::test]
async fn no_fault_writes_anything() {
    let Some(server) = Server::shared() else { return };
    let behind = |faults: &'static str, change: fn(&mut Settings)| {
        move || {
            let front = server.behind_faults(faults);
            let mut settings = settings(&front.url);
            settings.retries.tries = 1;
            settings.retries.loading_tries = 1;
            change(&mut settings);
            (settings, Some(front))
        }
    };
    for fault in ["429", "503", "drop", "cut:300"] {
        fails(behind(fault, |_| {}), Provider::Transient).await;
    }
    let hasty = |settings: &mut Settings| settings.limits.whole = Duration::from_millis(200);
    fails(behind("slow:1", hasty), Provider::Transient).await;
    let blunt = |settings: &mut Settings| settings.answer_tokens = Some(1);
    fails(behind("", blunt), Provider::BadReply).await;
}

#[tokio::test]
async fn neither_an_overflow_nor_a_wrong_key_writes_anything() {
    let Some(server) = Server::start(512, 1, Some(SECRET)) else { return };
    fails(|| (with_key(&server.url, SECRET), None), Provider::Overflow).await;
    fails(|| (with_key(&server.url, "no"), None), Provider::Refused).await;
}

#[tokio::test]
async fn a_cancelled_compaction_writes_nothing() {
    let Some(server) = Server::shared() else { return };
    let front = server.behind_faults("slow:3600");
    let session = session().await;
    let before = state(&session).await;
    let model = Model::openai(settings(&front.url)).unwrap();
    let compactor = Compactor::new(Arc::new(ByteClasses::default()), Arc::new(model));
    let mut events = compactor.events();
    let (policy, options) = (policy(), forced());
    let start = compactor.start(&session, &policy, &options, OnDrop::Detach);
    let mut handle = start.await.unwrap();
    loop {
        match handle.next_progress().await {
            Progress::Summarizing { .. } => break,
            Progress::Done => panic!("{:?}", handle.result().await),
            _ => {}
        }
    }
    assert!(handle.cancel());
    let failed = Happened::Failed(ErrorKind::Cancelled);
    while events.next().await.unwrap().unwrap().what != failed {}
    assert_eq!(state(&session).await, before);
}

#[tokio::test]
async fn an_entry_shows_its_three_tries_and_their_usage() {
    let Some(server) = Server::shared() else { return };
    for at in 0..2 {
        let front = server.behind_faults("503,429,ok");
        let model = models(&settings(&front.url)).nth(at).unwrap();
        let session = session().await;
        let done = compact(&session, Arc::new(model)).await.unwrap();
        let made_by = made_by(&session, done.entry.unwrap()).await;
        assert_eq!(made_by["attempts"], 3, "{made_by}");
        assert!(made_by["usage"]["input"].as_u64().unwrap() > 0, "{made_by}");
        assert!(made_by["usage"]["output"].as_u64().unwrap() > 0, "{made_by}");
        assert_eq!(made_by["model"], "tiny");
    }
}

#[tokio::test]
async fn a_hybrid_lands_its_ledger_whatever_the_fault() {
    let Some(server) = Server::shared() else { return };
    let front = server.behind_faults("drop,drop,drop");
    let [model, _] = both(&settings(&front.url));
    let session = session().await;
    let done = compact(&session, Arc::new(Hybrid::new(model))).await.unwrap();
    let Some(entry) = done.entry else {
        panic!("{:?}", done.skipped_reason);
    };
    let made_by = made_by(&session, entry).await;
    let reason = made_by["fallback"].as_str().unwrap();
    assert!(reason.starts_with("provider unavailable"), "{made_by}");
}

async fn made_by(session: &Session, entry: Id) -> serde_json::Value {
    let stored = session.store().entries(&[entry]).await.unwrap().pop().flatten().unwrap();
    let summary = Summary::from_body(stored.entry.body().unwrap()).unwrap();
    summary.made_by.unwrap()
}
