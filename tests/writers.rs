//! Invariant 9 among real threads: a compaction lands under eight writers, and every acknowledged append
//! is there afterwards, bit for bit.

use std::sync::Arc;

use treering_compactor::{Compactor, OnDrop, Progress, RunOptions};
use treering_policy::{Policy, Share};
use treering_provider::{ByteClasses, Summarizer, SummaryJob};
use treering_tree::{
    Expect, Id, Kind, Message, Options, RedbStore, Role, Session, Sources, Store, Summary,
};

const WRITERS: usize = 8;
const APPENDS: usize = 10_000;

/// Answers when it is let go.
struct Gate(tokio::sync::Semaphore);

#[async_trait::async_trait]
impl Summarizer for Gate {
    async fn summarize(&self, _: SummaryJob) -> treering_provider::Result<Summary> {
        self.0.acquire().await.unwrap().forget();
        Ok(Summary { text: "what was".to_owned(), ..Summary::default() })
    }

    fn name(&self) -> &'static str {
        "gate"
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_9_landing_under_eight_writers() {
    let sources = Sources::fixed(5);
    let store = Arc::new(RedbStore::in_memory(Options::new(sources.clone())).unwrap());
    let session = Session::new(store as Arc<dyn Store>, "busy", sources);
    for kind in [Kind::User, Kind::Assistant, Kind::User, Kind::Assistant] {
        let draft = session.draft(kind, Message::text(Role::User, "start").body()).tokens(20_000);
        session.append(draft, Expect::Any).await.unwrap();
    }
    let high_water = session.head().await.unwrap().unwrap();
    let gate = Arc::new(Gate(tokio::sync::Semaphore::new(0)));
    let compactor = Compactor::new(Arc::new(ByteClasses::default()), Arc::clone(&gate) as _);
    let policy = Policy {
        window: 1_000_000,
        keep_recent_turns: None,
        keep_recent_tokens: Some(Share::fixed(20_000)),
        ..Policy::default()
    };
    let options = RunOptions { force: true, ..RunOptions::default() };
    let start = compactor.start(&session, &policy, &options, OnDrop::Cancel);
    let mut handle = start.await.unwrap();
    // What is appended before the plan is made could be covered.
    while !matches!(handle.progress(), Progress::Summarizing { .. }) {
        handle.next_progress().await;
    }
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (session, gate) = (session.clone(), Arc::clone(&gate));
            tokio::spawn(async move {
                let mut written = Vec::new();
                for nth in 0..APPENDS / WRITERS {
                    if (writer, nth) == (0, APPENDS / WRITERS / 2) {
                        gate.0.add_permits(1);
                    }
                    let body = Message::text(Role::User, format!("{writer} {nth}")).body();
                    let draft = session.draft(Kind::Note, body).tokens(1);
                    let id = session.append(draft.clone(), Expect::Any).await.unwrap().ids[0];
                    written.push((id, draft));
                }
                written
            })
        })
        .collect();
    let landed = handle.result().await.unwrap().entry.expect("it lands among them");
    let mut written = Vec::new();
    for writer in writers {
        written.extend(writer.await.unwrap());
    }
    assert_eq!(written.len(), APPENDS);
    let replay = session.replay().await.unwrap().collect().await.unwrap();
    assert_eq!(replay.len(), 4 + APPENDS + 1);
    let at = |id: Id| replay.iter().position(|stored| stored.entry.id() == id);
    // Where among them is the scheduler's choice; never before what it may cover.
    assert!(at(high_water) < at(landed));
    let before = at(landed).unwrap() - 4;
    println!("landed behind {before} of {APPENDS} appends");
    assert!(before < APPENDS, "it waited for the writers to rest");
    for (id, draft) in written {
        let stored = &replay[at(id).expect("acknowledged, and gone")].entry;
        assert_eq!(stored.body(), Some(draft.body()));
        let parent = stored.envelope().parent;
        assert_eq!(**stored, draft.entry_under(parent));
    }
    let shown = session.context().await.unwrap().items.len();
    assert_eq!(shown, 1 + 1 + APPENDS, "the summary, the kept tail, everything later");
    assert_eq!(session.store().verify().await.unwrap().problems, []);
}
