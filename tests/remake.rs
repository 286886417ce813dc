//! A process that makes a new file of an old one, rewriting or recovering it, is killed at random moments:
//! what is there afterwards is the old store or the new one, whole, and what was erased is gone from the
//! bytes once a rewriting ended.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tests::rng::Rng;
use treering_tree::{Body, Erasure, Expect, Id, Kind, Options, RedbStore, Session, Sources, Store};

const KILLS: usize = 40;
/// Kills in a row before one is let through.
const DEEP: usize = 4;
const ENTRIES: usize = 1_500;
const STORE: &str = "TREERING_REMAKE_STORE";
const INTO: &str = "TREERING_REMAKE_INTO";
const SECRET: &[u8] = b"a secret that nobody may find again";

fn options() -> Options {
    Options::new(Sources::fixed(u64::from(std::process::id())))
}

/// Not a test by itself: what the child does until it is killed or done.
#[test]
#[allow(clippy::disallowed_methods, reason = "the parent tells the child its store this way")]
fn child_remakes_until_it_is_killed() {
    let Some(path) = std::env::var_os(STORE) else {
        return;
    };
    match std::env::var_os(INTO) {
        Some(into) => drop(RedbStore::recover(path, into, &options(), &mut |_, _| ()).unwrap()),
        None => drop(RedbStore::rewrite(path, &options(), &mut |_, _| ()).unwrap()),
    }
}

/// Runs the child and kills it after `after`, where that is given; answers how long it ran.
fn remake(store: &Path, into: Option<&Path>, after: Option<Duration>) -> Duration {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "remake::child_remakes_until_it_is_killed"]).env(STORE, store);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(into) = into {
        command.env(INTO, into);
    }
    let start = Instant::now();
    let mut child = command.spawn().unwrap();
    if let Some(after) = after {
        std::thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
    } else {
        assert!(child.wait().unwrap().success(), "the child failed");
    }
    start.elapsed()
}

/// Makes the store; answers its ids, and the one whose body is erased.
async fn made(path: &Path) -> (Vec<Id>, Id) {
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(path, options()).unwrap());
    let session = Session::new(Arc::clone(&store), "one", Sources::fixed(3));
    let mut random = Rng::new(4);
    let mut ids = Vec::new();
    for _ in 0..ENTRIES / 100 {
        let drafts = (0..100).map(|_| {
            let size = random.below(3_000);
            session.draft(Kind::User, Body::new("text", random.bytes(size)))
        });
        let drafts = drafts.collect();
        ids.extend(session.append_all(drafts, Expect::Any).await.unwrap().ids);
    }
    let secret = session.draft(Kind::User, Body::new("text", SECRET.repeat(40)));
    let secret = session.append(secret, Expect::Any).await.unwrap().ids[0];
    let erasure = Erasure {
        session: "one".into(),
        entries: vec![secret],
        by: "the test".into(),
        reason: "secret".into(),
        at_ms: 5,
    };
    let erased = store.erase(erasure).await.unwrap();
    ids.push(secret);
    ids.extend(erased.tombstones);
    (ids, secret)
}

/// The store at `path` holds exactly this.
async fn holds(path: &Path, ids: &[Id], secret: Id) {
    let store = RedbStore::open(path, options()).unwrap();
    let found = store.scan(None, 0, 10_000).await.unwrap();
    let found: Vec<Id> = found.iter().map(|stored| stored.place.id).collect();
    assert!(found == ids, "{} entries, expected {}", found.len(), ids.len());
    let entry = store.entries(&[secret]).await.unwrap().remove(0).unwrap();
    assert!(entry.entry.body().is_none(), "what was erased is back");
    assert_eq!(store.session("one").await.unwrap().head, ids.last().copied());
    assert_eq!(store.verify().await.unwrap().problems, []);
}

fn hits(path: &Path) -> usize {
    let bytes = std::fs::read(path).unwrap();
    bytes.windows(SECRET.len()).filter(|window| *window == SECRET).count()
}

#[test]
fn invariant_11_a_rewriting_that_is_killed_leaves_the_old_store_or_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let (path, base) = (folder.path().join("store"), folder.path().join("base"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (ids, secret) = runtime.block_on(made(&path));
    std::fs::copy(&path, &base).unwrap();
    let whole = remake(&path, None, None);
    assert_eq!(hits(&path), 0, "found after a rewriting");
    std::fs::copy(&base, &path).unwrap();

    let mut rng = Rng::new(6);
    let (mut old, mut new) = (0, 0);
    for kill in 0..KILLS {
        if kill % (DEEP + 1) == DEEP {
            remake(&path, None, None);
            assert_eq!(hits(&path), 0, "kill {kill}");
            std::fs::copy(&base, &path).unwrap();
            continue;
        }
        let before = std::fs::metadata(&path).unwrap().len();
        remake(
            &path,
            None,
            Some(whole.mul_f64(f64::from(u32::try_from(rng.below(2_000)).unwrap()) / 1_000.0)),
        );
        let after = std::fs::metadata(&path).unwrap().len();
        if before == after {
            old += 1;
        } else {
            new += 1;
        }
        runtime.block_on(holds(&path, &ids, secret));
    }
    println!("{old} kills left the old store, {new} the new one");
    assert!(old > 0 && new > 0, "{old}, {new}");
}

#[test]
fn invariant_11_a_recovery_that_is_killed_leaves_nothing_or_everything() {
    let folder = tempfile::tempdir().unwrap();
    let (path, into) = (folder.path().join("store"), folder.path().join("new"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (ids, secret) = runtime.block_on(made(&path));
    let bytes = std::fs::read(&path).unwrap();
    let whole = remake(&path, Some(&into), None);
    std::fs::remove_file(&into).unwrap();
    let mut rng = Rng::new(7);
    let (mut nothing, mut everything) = (0, 0);
    for kill in 0..KILLS {
        if kill % (DEEP + 1) == DEEP {
            remake(&path, Some(&into), None);
        } else {
            let after = f64::from(u32::try_from(rng.below(2_000)).unwrap()) / 1_000.0;
            remake(&path, Some(&into), Some(whole.mul_f64(after)));
        }
        if into.exists() {
            everything += 1;
            runtime.block_on(async {
                let store = RedbStore::open(&into, options()).unwrap();
                let found = store.entries(&ids).await.unwrap();
                assert!(found.iter().all(Option::is_some), "kill {kill}");
                let entry = found[ids.iter().position(|id| *id == secret).unwrap()].as_ref();
                assert!(entry.unwrap().entry.body().is_none(), "what was erased is back");
                assert_eq!(store.verify().await.unwrap().problems, []);
            });
            std::fs::remove_file(&into).unwrap();
        } else {
            nothing += 1;
        }
    }
    println!("{nothing} kills left nothing, {everything} ends a whole store");
    assert!(nothing > 0 && everything > 0, "{nothing}, {everything}");
    assert!(std::fs::read(&path).unwrap() == bytes, "the damaged file was written to");
}
