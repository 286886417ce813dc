//! A process that appends to a real file is killed at random moments; what it acknowledged over its
//! pipe must be there afterwards. The child is this test binary, run again with one test.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tests::profile::KILLS;
use tests::rng::Rng;
use treering_tree::{Body, Error, Expect, Id, Kind, Options, RedbStore, Session, Sources, Store};

const STORE: &str = "TREERING_KILL_STORE";
const WRITERS: &str = "TREERING_KILL_WRITERS";
/// Writers of every fourth child: enough that one group is applied while another is made durable, and the log is full
/// before the end, so that the kill may meet a large commit on its way past the page cache.
const MANY: usize = 48;
const LOG_BYTES: u64 = 5 << 18;

fn open(path: &Path, seed: u64) -> Result<Arc<dyn Store>, Error> {
    let options = Options::new(Sources::fixed(seed)).log_bytes(LOG_BYTES);
    let options = options.idle_checkpoint(Some(Duration::from_millis(5)));
    Ok(Arc::new(RedbStore::open(path, options)?))
}

/// Not a test by itself: what the child does until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::disallowed_methods, reason = "the parent tells the child its store this way")]
async fn child_appends_until_it_is_killed() {
    let Some(path) = std::env::var_os(STORE) else {
        return;
    };
    let writers: u64 = std::env::var(WRITERS).unwrap().parse().unwrap();
    let seed = u64::from(std::process::id());
    let store = open(Path::new(&path), seed).unwrap();
    let writing: Vec<_> = (0..writers)
        .map(|number| {
            let sources = Sources::fixed((seed << 32) + (number << 20));
            let session = Session::new(Arc::clone(&store), number.to_string(), sources);
            tokio::spawn(append_for_ever(session, number))
        })
        .collect();
    for writer in writing {
        writer.await.unwrap();
    }
}

async fn append_for_ever(session: Session, number: u64) {
    let mut rng = Rng::new(number);
    loop {
        // Nothing makes them shorter.
        let drafts = [10, 700, 5_000]
            .map(|size| session.draft(Kind::User, Body::new("bytes", rng.bytes(size))));
        let done = session.append_all(drafts.into(), Expect::Any).await.unwrap();
        writeln!(std::io::stdout().lock(), "ack {number} {}", done.head.unwrap()).unwrap();
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
        let writers = if kill % 4 == 3 { MANY } else { 1 };
        let heads = run_and_kill(&path, writers, Duration::from_micros(rng.draw() % 60_000));
        acknowledged += heads.len();
        runtime.block_on(async {
            let store = open(&path, 0).unwrap();
            let ids: Vec<_> = heads.iter().map(|(_, id)| *id).collect();
            let found = store.entries(&ids).await.unwrap();
            assert!(
                found.iter().all(Option::is_some),
                "kill {kill}: an acknowledged entry is gone"
            );
            let last: BTreeMap<_, _> = heads.into_iter().collect();
            for (writer, id) in last {
                let session = Session::new(Arc::clone(&store), writer, Sources::fixed(0));
                let path = session.replay().await.unwrap().collect().await.unwrap();
                let at = path.iter().position(|stored| stored.entry.id() == id);
                let behind = path.len() - 1 - at.expect("the acknowledged head is on the path");
                assert!(matches!(behind, 0 | 3), "kill {kill}: {behind} entries in flight");
            }
            assert_eq!(store.verify().await.unwrap().problems, []);
        });
    }
    println!("{KILLS} kills, {acknowledged} acknowledgements");
    assert!(acknowledged > 0, "nothing was ever acknowledged");
}

/// Runs the child for a while and kills it; answers the heads it acknowledged, each with its writer, in order.
fn run_and_kill(store: &Path, writers: usize, after: Duration) -> Vec<(String, Id)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child_appends_until_it_is_killed", "--nocapture"])
        .env(STORE, store)
        .env(WRITERS, writers.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let heads = std::thread::spawn(move || {
        let lines = out.lines().map_while(Result::ok);
        lines
            .filter_map(|line| {
                let (writer, id) = line.split_once("ack ")?.1.split_once(' ')?;
                // The last line may be torn.
                Some((writer.to_owned(), id.parse().ok()?))
            })
            .collect()
    });
    std::thread::sleep(Duration::from_millis(10) + after);
    child.kill().unwrap();
    child.wait().unwrap();
    heads.join().unwrap()
}
