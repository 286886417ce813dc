//! A compaction whose server repeats everything it was sent: of that nothing is in what is told, at any level.

use std::sync::Arc;

use treering_compactor::{Compactor, Happened, RunOptions, counted};
use treering_policy::Policy;
use treering_provider::{ByteClasses, Model, Scripted, Summarizer};
use treering_tree::{Expect, Kind, Message, Options, RedbStore, Role, Session, Sources};

use crate::echo::{self, REASON};
use crate::fake::Fake;
use crate::heard::{CANARY, Heard};
use crate::job::{SECRET, with_key};

/// A message with the canary in every field.
fn said() -> Message {
    let text = || format!("{CANARY} {}", "look at \"the parser\"\n".repeat(9));
    Message::new(Role::User, echo::parts(text))
}

fn compactor(summarizer: impl Summarizer + 'static) -> Compactor {
    Compactor::new(Arc::new(ByteClasses::default()), Arc::new(summarizer))
}

fn policy() -> Policy {
    let hint = Some(CANARY.to_owned());
    Policy { keep_recent_turns: Some(2), summary_hint: hint, ..Policy::default() }
}

async fn talk(session: &Session) {
    for _ in 0..4 {
        let draft = session.draft(Kind::User, said().body());
        session.append(counted(&ByteClasses::default(), draft), Expect::Any).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_repeats_what_it_was_sent_makes_nobody_tell_it() {
    let ear = Heard::default();
    let _guard = tracing::subscriber::set_default(ear.clone());
    let sources = Sources::fixed(1);
    let store = Arc::new(RedbStore::in_memory(Options::new(sources.clone())).unwrap());
    let session = Session::new(store, "work", sources);
    let forced = RunOptions { force: true, ..RunOptions::default() };
    // A summary to go on from.
    talk(&session).await;
    let first = compactor(Scripted::new([Ok(CANARY.to_owned())]));
    assert!(first.run(&session, &policy(), &forced).await.unwrap().entry.is_some());
    talk(&session).await;
    let head = session.head().await.unwrap();
    for dialect in [Model::openai, Model::anthropic] {
        let fake = Fake::start(echo::replies()).await;
        let mut settings = with_key(&fake.url, SECRET);
        settings.retries.tries = 1;
        settings.retries.loading_tries = 1;
        let compactor = compactor(dialect(settings).unwrap());
        let mut events = compactor.events();
        for _ in echo::replies() {
            ear.error(&compactor.run(&session, &policy(), &forced).await.unwrap_err());
            while let Some(event) = events.next().await {
                let event = event.unwrap();
                ear.hear(&event);
                if matches!(event.what, Happened::Failed(_)) {
                    break;
                }
            }
        }
        ear.hear(&(&compactor, compactor.status(&session).await.unwrap()));
        let requests = fake.requests();
        assert_eq!(requests.len(), echo::replies().len());
        // Each of these parts came there: nothing is quiet for want of words.
        let parts =
            ["<previous>\\n", "(reasoning) ", "(calls ", "(failure) ", "(medium: ", "mind this: "];
        for part in parts.map(|part| format!("{part}{CANARY}")) {
            assert!(requests.iter().all(|request| request.contains(&part)), "{part}");
        }
    }
    assert_eq!(session.head().await.unwrap(), head);
    ear.is_quiet(&["compaction", "model failed", "Failed(Provider(Refused))", REASON]);
}
