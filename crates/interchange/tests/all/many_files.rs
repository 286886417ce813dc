//! A session of more files than one change may move branches for: two for each file.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use treering_interchange::Input;
use treering_tree::{Branch, Expect, Kind, Message, RedbStore, Role, Session, Sources, Store};

use crate::kit::{block_on, store, try_load};

const FILES: usize = 5_001;

/// Files of subagents of one session, each of so many records.
fn files(records: usize) -> Vec<Input> {
    let record = |file: usize, at: usize| {
        let parent = match at {
            0 => "null".to_owned(),
            _ => format!("\"{file}-{}\"", at - 1),
        };
        format!(
            "{{\"type\":\"user\",\"uuid\":\"{file}-{at}\",\"parentUuid\":{parent},\"sessionId\":\"s\",\"message\":{{\"content\":\"x\"}}}}\n"
        )
    };
    let file = |file: usize| Input::Bytes {
        name: format!("agent-{file:04x}.jsonl"),
        bytes: (0..records).map(|at| record(file, at)).collect::<String>().into_bytes(),
    };
    (0..FILES).map(file).collect()
}

async fn branches(store: &dyn Store) -> Vec<Branch> {
    let mut all = store.branches("s", None, 10_000).await.unwrap();
    let last = all.last().unwrap().name.clone();
    all.extend(store.branches("s", Some(&last), 10_000).await.unwrap());
    all
}

/// Imports until it has waited so often; tells whether it came to its end.
async fn interrupted(store: &Arc<RedbStore>, files: Vec<Input>, mut waits: usize) -> bool {
    let mut import = pin!(try_load(&**store, files, None));
    let done = poll_fn(|context| match import.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if waits == 0 => Poll::Ready(None),
        Poll::Pending => {
            waits -= 1;
            Poll::Pending
        }
    });
    let done = done.await.map(|done| done.unwrap()).is_some();
    // What is in the queue is written before what comes behind it.
    let behind = Session::new(Arc::clone(store) as Arc<dyn Store>, "behind", Sources::fixed(1));
    let draft = behind.draft(Kind::User, Message::text(Role::User, "x").body());
    behind.append(draft, Expect::Any).await.unwrap();
    done
}

#[test]
fn each_file_has_its_branches_wherever_an_import_ended() {
    block_on(async {
        let whole = store();
        let report = try_load(&*whole, files(1), None).await.unwrap().remove(0);
        assert_eq!((report.added, report.branches), (FILES as u64, 2 * FILES as u64));
        assert_eq!(branches(&*whole).await.len(), 2 * FILES);
        let report = try_load(&*whole, files(2), None).await.unwrap().remove(0);
        assert_eq!(report.added, FILES as u64);
        let expected = branches(&*whole).await;
        assert_eq!(whole.verify().await.unwrap().problems, []);
        for waits in 0.. {
            let store = store();
            try_load(&*store, files(1), None).await.unwrap();
            let done = interrupted(&store, files(2), waits).await;
            try_load(&*store, files(2), None).await.unwrap();
            let found = branches(&*store).await;
            let unlike = found.iter().zip(&expected).find(|(found, expected)| found != expected);
            assert_eq!(
                (unlike, found.len()),
                (None, expected.len()),
                "it ended after {waits} waits"
            );
            if done {
                assert!(waits > 2, "{waits} waits are no chance to end early");
                break;
            }
        }
    });
}
