//! A process that appends to a real file is killed at random moments; what it acknowledged over its
//! pipe must be there afterwards. The child is this test binary, run again with one test.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tests::profile::KILLS;
use tests::rng::Rng;
use treering_tree::{Body, Error, Expect, Kind, Options, RedbStore, Session, Sources, Store};

const STORE: &str = "TREERING_KILL_STORE";

fn open(path: &Path, seed: u64) -> Result<Arc<dyn Store>, Error> {
    let options =
        Options::new(Sources::fixed(seed)).idle_checkpoint(Some(Duration::from_millis(5)));
    Ok(Arc::new(RedbStore::open(path, options)?))
}

/// Not a test by itself: what the child does until it is killed.
#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "the parent tells the child its store this way")]
async fn child_appends_until_it_is_killed() {
    let Some(path) = std::env::var_os(STORE) else {
        return;
    };
    let seed = u64::from(std::process::id());
    let store = open(Path::new(&path), seed).unwrap();
    let session = Session::new(store, "one", Sources::fixed(seed << 32));
    let mut out = std::io::stdout().lock();
    loop {
        let sizes = [10, 700, 5_000];
        let drafts = sizes
            .iter()
            .map(|size| session.draft(Kind::User, Body::new("text", vec![b'x'; *size])));
        let done = session.append_all(drafts.collect(), Expect::Any).await.unwrap();
        writeln!(out, "ack {}", done.head.unwrap()).unwrap();
    }
}

#[test]
fn invariant_4_a_killed_process_loses_no_acknowledged_append() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut rng = Rng::new(u64::from(std::process::id()));
    let (mut acknowledged, mut path) = (0, folder.path().join("0"));
    for kill in 0..KILLS {
        // Every tenth store is new, so that its creation is killed too.
        if kill % 10 == 0 {
            path = folder.path().join(kill.to_string());
        }
        let last = run_and_kill(&path, Duration::from_micros(rng.draw() % 60_000));
        acknowledged += last.len();
        runtime.block_on(async {
            let store = open(&path, 0).unwrap();
            let ids: Vec<_> = last.iter().map(|id| id.parse().unwrap()).collect();
            let found = store.entries(&ids).await.unwrap();
            assert!(
                found.iter().all(Option::is_some),
                "kill {kill}: an acknowledged entry is gone"
            );
            let session = Session::new(Arc::clone(&store), "one", Sources::fixed(0));
            let path = session.replay().await.unwrap().collect().await.unwrap();
            let at = ids.last().map(|id| path.iter().position(|stored| stored.entry.id() == *id));
            let behind =
                at.map(|at| path.len() - 1 - at.expect("the acknowledged head is on the path"));
            assert!(
                matches!(behind, None | Some(0 | 3)),
                "kill {kill}: {behind:?} entries in flight"
            );
            assert_eq!(store.verify().await.unwrap().problems, []);
        });
    }
    println!("{KILLS} kills, {acknowledged} acknowledgements");
    assert!(acknowledged > 0, "nothing was ever acknowledged");
}

/// Runs the child for a while and kills it; answers the heads it acknowledged.
fn run_and_kill(store: &Path, after: Duration) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child_appends_until_it_is_killed", "--nocapture"])
        .env(STORE, store)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let heads = std::thread::spawn(move || {
        let lines = out.lines().map_while(Result::ok);
        lines
            .filter_map(|line| Some(line.split_once("ack ")?.1.to_owned()))
            .filter(|id| id.len() == 64)
            .collect()
    });
    std::thread::sleep(Duration::from_millis(10) + after);
    child.kill().unwrap();
    child.wait().unwrap();
    heads.join().unwrap()
}
