//! What was said is in no event, no span, no error and no `Debug` of reading foreign files, summarizing, compacting
//! and the command line, at any level. The tree has a test of its own, beside its code.

use std::io::Cursor;
use std::path::Path;
use std::sync::{Arc, Mutex};

use treering_cli::{Environment, Surroundings, Terminal, UserFolders};
use treering_compactor::{Compactor, OnDrop, RunOptions, counted};
use treering_interchange::Input;
use treering_policy::Policy;
use treering_provider::{ByteClasses, Error as ModelError, Flaw, Ledger, Scripted, Summarizer};
use treering_tree::{
    Expect, Kind, Message, Options, Part, RedbStore, Role, Session, Sources, Store,
};

#[path = "../crates/tree/tests/heard/mod.rs"]
mod heard;

use self::heard::{CANARY, Heard};

/// Runs all of it on this thread, where it is heard.
fn heard<T>(heard: &Heard, work: impl Future<Output = T>) -> T {
    let _guard = tracing::subscriber::set_default(heard.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(work)
}

fn in_memory() -> Arc<dyn Store> {
    Arc::new(RedbStore::in_memory(Options::new(Sources::fixed(1))).unwrap())
}

#[test]
fn reading_foreign_files_tells_nothing_of_what_they_hold() {
    const SAID: &str = r#"{"type":"message","id":"a","parentId":null,"message":{"role":"user","content":"CANARY"}}"#;
    const HEADER: &str =
        r#"{"type":"session","version":3,"id":"s","timestamp":"2026-01-01T00:00:00Z","cwd":"/"}"#;
    const CLAUDE: &str = r#"{"type":"user","uuid":"u","parentUuid":null,"sessionId":"s","timestamp":"2026-01-01T00:00:00Z","message":{"role":"user","content":"CANARY"}}"#;
    let ear = Heard::default();
    heard(&ear, async {
        let broken = [
            format!("{HEADER}\n{SAID}\n"),
            format!("{HEADER}\n{SAID}\n{SAID}\n{}", &SAID[..SAID.len() - 9]),
            format!("{HEADER}\n{{\"CANARY\": CANARY}}\n\"CANARY\"\nCANARY\n{SAID}{SAID}\n"),
            format!("{HEADER}\n{}\n", SAID.replace("null", "\"gone\"")),
            format!("{HEADER}\n{}\n", SAID.replace("\"user\"", "\"CANARY\"")),
            format!("{CLAUDE}\n{}\n", CLAUDE.replace("\"u\"", "7").replace("null", "\"u\"")),
            "CANARY".to_owned(),
            "{\"CANARY\":\"CANARY\"}\n".to_owned(),
        ];
        for (at, text) in broken.iter().enumerate() {
            let store = in_memory();
            let bytes = text.replace("CANARY", CANARY).into_bytes();
            let input = || vec![Input::Bytes { name: format!("{at}.jsonl"), bytes: bytes.clone() }];
            ear.hear(&input());
            let options = treering_interchange::Options {
                count: &|_| 1_u32.into(),
                format: None,
                at_ms: 0,
                progress: &mut |_| {},
            };
            match treering_interchange::load(&*store, input(), options).await {
                Ok(reports) => ear.hear(&reports),
                Err(error) => ear.error(&error),
            }
            for stored in store.scan(None, 0, 100).await.unwrap() {
                let body = stored.entry.body().unwrap();
                ear.hear(&treering_interchange::message(stored.entry.envelope().kind, body));
            }
        }
    });
    ear.is_quiet(&["SessionReport", "not"]);
}

fn said(at: usize) -> Message {
    let text = || format!("{CANARY} {at}: {}", "look at the parser ".repeat(21));
    let parts = vec![Part::Text { text: text() }, Part::Reasoning { text: text() }];
    let role = if at.is_multiple_of(2) { Role::User } else { Role::Assistant };
    Message::new(role, parts)
}

async fn talk() -> Session {
    let session = Session::new(in_memory(), "work", Sources::fixed(1));
    for at in 0..20 {
        let kind = if at % 2 == 0 { Kind::User } else { Kind::Assistant };
        let draft = session.draft(kind, said(at).body());
        session.append(counted(&ByteClasses::default(), draft), Expect::Any).await.unwrap();
    }
    session
}

#[test]
fn summarizing_and_compacting_tell_nothing_of_what_was_said() {
    let ear = Heard::default();
    heard(&ear, async {
        let replies = [
            vec![],
            vec![Ok(format!("{CANARY} was looked at."))],
            vec![Ok(CANARY.repeat(10_000)), Ok(CANARY.to_owned())],
            vec![Err(ModelError::BadReply(Flaw::Truncated))],
            vec![Err(ModelError::Overflow { prompt: Some(9), limit: None })],
            vec![Err(ModelError::Cancelled)],
        ];
        for (at, replies) in replies.into_iter().enumerate() {
            let session = talk().await;
            let scripted = Arc::new(Scripted::new(replies));
            let summarizer: Arc<dyn Summarizer> =
                if at == 0 { Arc::new(Ledger) } else { scripted.clone() };
            let compactor = Compactor::new(Arc::new(ByteClasses::default()), summarizer);
            let policy = Policy { window: 1_000, reserve: Some(200), ..Policy::default() };
            let mut events = compactor.events();
            let options = RunOptions::default();
            let started = compactor.start(&session, &policy, &options, OnDrop::Cancel).await;
            let mut handle = started.unwrap();
            match handle.result().await {
                Ok(result) => ear.hear(&result),
                Err(error) => ear.error(&error),
            }
            match compactor.run(&session, &policy, &options).await {
                Ok(result) => ear.hear(&result),
                Err(error) => ear.error(&error),
            }
            drop(handle);
            ear.hear(&(&compactor, &policy, &options, &scripted, scripted.jobs()));
            ear.hear(&compactor.status(&session).await.unwrap());
            let wait = std::time::Duration::from_millis(100);
            while let Ok(Some(event)) = tokio::time::timeout(wait, events.next()).await {
                ear.hear(&event);
            }
        }
    });
    ear.is_quiet(&["compaction", "CompactionResult", "Started"]);
}

/// Runs a command in a folder; answers its exit code and standard error. What it prints may tell everything.
async fn command(folder: &Path, args: &[&str], input: &str) -> (u8, String) {
    let (out, err) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let user = UserFolders { config: folder.join("config"), data: folder.join("data") };
    let surroundings = Surroundings {
        args: ["treering", "--store", "store.redb"].iter().chain(args).map(Into::into).collect(),
        environment: Environment {
            variable: Arc::new(|_| None),
            folder: folder.to_owned(),
            user: Ok(user),
        },
        sources: Sources::fixed(5),
        input: Box::new(Cursor::new(input.to_owned())),
        out,
        err: err.clone(),
        terminal: Terminal::NONE,
    };
    let code = treering_cli::run(surroundings).await;
    let told = String::from_utf8(err.lock().unwrap().clone()).unwrap();
    (code, told)
}

#[test]
fn the_command_line_tells_errors_and_steps_without_what_was_said() {
    let ear = Heard::default();
    let folder = tempfile::tempdir().unwrap();
    heard(&ear, async {
        let text = format!("{CANARY} {}", "word ".repeat(300));
        for at in 0..8 {
            let (alias, kind) = (format!("a{at}"), if at % 2 == 0 { "user" } else { "assistant" });
            let args = ["append", "work", "--kind", kind, "--text", &text, "--alias", &alias];
            assert_eq!(command(folder.path(), &args, "").await, (0, String::new()));
        }
        let other = format!("{CANARY} other");
        let commands: [(&[&str], &str); 12] = [
            (&["append", "work", "--kind", "user", "--text", &other, "--alias", "a1"], ""),
            (&["append", "work", "--kind", "nonsense", "--text", &text], ""),
            (&["append", "work", "--kind", "tool-result", "--text", &text], ""),
            (&["append", "work", "--kind", "user", "--expect", "ffff"], &text),
            (&["import", "-"], &text),
            (&["import", "nowhere.jsonl"], ""),
            (&["export", "work", "-o", "no/such/folder/file"], ""),
            (&["recall", "work", CANARY], ""),
            (&["context", "work"], ""),
            (&["scan"], ""),
            (&["verify"], ""),
            (&["compact", "work", "--force", "--keep-turns", "1", "--background"], ""),
        ];
        for (args, input) in commands {
            for json in [&[][..], &["--json"]] {
                let (code, told) = command(folder.path(), &[json, args].concat(), input).await;
                ear.hear(&(args[0], code, told));
            }
        }
    });
    ear.is_quiet(&["\"append\", 4", "\"import\", 7", "\"compact\", 0, \"planning"]);
}
