//! Several processes on one store: on real files under SIGKILL, and on a simulated disk where one of them is killed
//! and power is lost after that. redb alone is tried beside the store, since what it lacks the store makes good.

use std::io::{BufRead, BufReader, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use redb::{
    Builder, ConcurrencyMode, Database, ReadableDatabase, ReadableTable, StorageBackend,
    TableDefinition,
};
use tests::both::Both;
use tests::processes::{LOG_BYTES, Machine, Process};
use tests::rng::Rng;
use tests::sim_disk::{Faults, SimDisk};
use treering_tree::{
    Body, Durability, Error, Expect, Id, Kind, Options, RedbStore, Session, Sharing, Sources,
    Store, conformance,
};

/// Kills of the test on real files.
const KILLS: usize = 60;
/// Seeds of every call.
const SEEDS: u64 = 3;
/// Images of the disk after each power loss.
const IMAGES: usize = 3;
/// Calls behind which a process is killed, and power is lost: more than one append makes.
const CALLS: u64 = 60;
/// Few enough that both handles merge while they run.
const MERGE_AFTER: usize = 8;
const STORE: &str = "TREERING_SHARING_STORE";
const ROLE: &str = "TREERING_SHARING_ROLE";

fn options(sharing: Sharing, seed: u64) -> Options {
    let options = Options::new(Sources::fixed(seed)).sharing(sharing).merge_after(MERGE_AFTER);
    options.idle_checkpoint(None).cache_bytes(1 << 20).log_bytes(LOG_BYTES)
}

fn open(path: &Path, sharing: Sharing, seed: u64) -> Result<Arc<RedbStore>, Error> {
    Ok(Arc::new(RedbStore::open(path, options(sharing, seed))?))
}

fn said(session: &Session, text: &str) -> treering_tree::Draft {
    session.draft(Kind::User, Body::new("text", text))
}

async fn append(store: &Arc<RedbStore>, seed: u64, text: &str) -> Result<Id, Error> {
    let session = Session::new(Arc::clone(store) as _, "one", Sources::fixed(seed));
    Ok(session.append(said(&session, text), Expect::Any).await?.ids[0])
}

/// That all these are there and nothing contradicts itself.
async fn holds(store: &RedbStore, ids: &[Id]) -> Result<(), String> {
    let found = store.entries(ids).await.map_err(|error| error.to_string())?;
    let gone = found.iter().filter(|found| found.is_none()).count();
    let problems = store.verify().await.map_err(|error| error.to_string())?.problems;
    if gone > 0 || !problems.is_empty() {
        return Err(format!("{gone} acknowledged entries are gone, {problems:?}"));
    }
    Ok(())
}

#[test]
fn conformance_of_two_handles_in_turn() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let stores = std::cell::Cell::new(0);
    let empty = || {
        stores.set(stores.get() + 1);
        let path = folder.path().join(stores.get().to_string());
        let handle = |_| open(&path, Sharing::Writers, 1).unwrap() as Arc<dyn Store>;
        let both = Both::new((0..2).map(handle).collect());
        async move { Arc::new(both) as Arc<dyn Store> }
    };
    runtime.block_on(conformance::all(empty));
}

fn shared(process: &Process) -> Result<Arc<RedbStore>, Error> {
    let store = RedbStore::with_backend(process.factory(), options(Sharing::Writers, 1))?;
    Ok(Arc::new(store))
}

/// Two processes append in turn; one is killed at a call of its last append, and power is lost at a call of the
/// other one's next. Answers how many images of the disk there were; `None` where the append ended before the call.
async fn killed_then_power_lost(
    (fail_sync, kill_at, crash_at): (u64, u64, u64),
    seed: u64,
) -> Result<Option<usize>, String> {
    let mut rng = Rng::new(seed << 32 | fail_sync << 24 | kill_at << 16 | crash_at);
    let disk = SimDisk::new(Vec::new(), Faults::default());
    let machine = Machine::new(&disk);
    let processes = [machine.process(), machine.process()];
    let stores = [shared(&processes[0]).unwrap(), shared(&processes[1]).unwrap()];
    let mut ids = Vec::new();
    for nth in 0..12 {
        let text = "x".repeat(rng.below(3_000));
        ids.push(append(&stores[nth % 2], nth as u64, &text).await.unwrap());
    }
    let fail_sync = (fail_sync > 0).then(|| disk.syncs() + fail_sync);
    disk.set_faults(Faults { fail_sync, ..Faults::default() });
    processes[0].kill_at(kill_at);
    ids.extend(append(&stores[0], 100, "last").await.ok());
    let killed = processes[0].is_dead();
    let crash_at = Some(disk.calls() + crash_at);
    disk.set_faults(Faults { crash_at, dying_write_lands: rng.chance(50), ..Faults::default() });
    ids.extend(append(&stores[1], 101, "next").await.ok());
    for _ in 0..IMAGES {
        let image = SimDisk::new(disk.image(&mut rng), Faults::default());
        let found = RedbStore::with_backend(image.factory(), options(Sharing::Exclusive, 3));
        let store = found.map_err(|error| error.to_string())?;
        holds(&store, &ids).await?;
    }
    let whole = !killed || !disk.is_dead();
    Ok((!whole).then_some(IMAGES))
}

/// Every call of the one's append, after a sync of it that failed or none, and of the other's append after it; answers
/// how many images there were.
fn at_every_call(seed: u64, fail_sync: u64) -> Result<usize, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut images = 0;
    for kill_at in 1..CALLS {
        let of_kill = images;
        for crash_at in 1..CALLS {
            let calls = (fail_sync, kill_at, crash_at);
            let done = runtime.block_on(killed_then_power_lost(calls, seed));
            let done = done.map_err(|why| format!("seed {seed}, calls {calls:?}: {why}"))?;
            let Some(done) = done else { break };
            images += done;
        }
        if images == of_kill {
            break;
        }
    }
    Ok(images)
}

#[test]
fn invariant_4_one_is_killed_and_power_is_lost_in_the_next_ones_append() {
    let start = Instant::now();
    for fail_sync in 0..=SYNCS {
        let images = |seed| at_every_call(seed, fail_sync).unwrap_or_else(|why| panic!("{why}"));
        let images: usize = (0..SEEDS).map(images).sum();
        println!("sync {fail_sync} fails: {images} images in {:?}", start.elapsed());
        assert!(images > 0, "nothing was ever killed");
    }
}

/// Syncs of an append.
const SYNCS: u64 = 2;

/// Appends of one entry that the cost is taken of, behind so many that are there already.
const COUNTED: u64 = 200;
const THERE: [usize; 2] = [1_000, 20_000];

/// Syncs and KB for each append of 1,000 bytes to a store of `there` entries by one process, or by two in turn;
/// then microseconds for each read of one of them.
#[allow(clippy::cast_precision_loss, reason = "printed")]
async fn cost(sharing: Sharing, writers: usize, there: usize) -> (f64, f64, f64) {
    let machine = Machine::new(&SimDisk::new(Vec::new(), Faults::default()));
    let processes: Vec<_> = (0..writers).map(|_| machine.process()).collect();
    let open = |process: &Process| {
        let options = Options::new(Sources::fixed(1)).sharing(sharing).idle_checkpoint(None);
        let options = options.durability(Durability::TwoPhase);
        let store = RedbStore::with_backend(process.factory(), options);
        Arc::new(store.unwrap())
    };
    let stores: Vec<_> = processes.iter().map(open).collect();
    let session = Session::new(Arc::clone(&stores[0]) as _, "one", Sources::fixed(7));
    for page in 0..there / 1_000 {
        let text = |nth: usize| format!("{page} {nth} {}", "y".repeat(990));
        let drafts = (0..1_000).map(|nth| said(&session, &text(nth)));
        session.append_all(drafts.collect(), Expect::Any).await.unwrap();
    }
    let written = || {
        processes.iter().fold((0, 0), |(syncs, bytes), process| {
            let more = process.written();
            (syncs + more.syncs, bytes + more.bytes)
        })
    };
    let before = written();
    let mut ids = Vec::new();
    for nth in 0..COUNTED {
        let text =
            String::from_utf8(Rng::new(nth).bytes(1_000).iter().map(|b| b % 95 + 32).collect());
        let which = usize::try_from(nth).unwrap() % stores.len();
        ids.push(append(&stores[which], nth, &text.unwrap()).await.unwrap());
    }
    let after = written();
    let start = Instant::now();
    for id in &ids {
        stores[0].measure(*id).await.unwrap();
    }
    let each = |of: u64| of as f64 / COUNTED as f64;
    let read = start.elapsed().as_secs_f64() * 1e6 / COUNTED as f64;
    (each(after.0 - before.0), each(after.1 - before.1) / 1e3, read)
}

#[test]
#[allow(clippy::cast_precision_loss, reason = "printed")]
fn what_sharing_costs() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for there in THERE {
        let of = |sharing, writers| {
            let (syncs, kb, read) = runtime.block_on(cost(sharing, writers, there));
            println!(
                "{there} entries, {sharing:?}, {writers} writing: {syncs:.2} syncs, {kb:.1} KB each; {read:.1} us a read"
            );
            syncs
        };
        of(Sharing::Exclusive, 1);
        let (alone, in_turn) = (of(Sharing::Writers, 1), of(Sharing::Writers, 2));
        assert!(alone < 2.5, "two phases are two syncs");
        assert!(in_turn < 3.5, "a change of hands is one more");
    }
}

const ROWS: TableDefinition<u64, &[u8]> = TableDefinition::new("rows");

fn database(backend: impl StorageBackend) -> Result<Database, redb::Error> {
    let mut builder = Builder::new();
    builder.set_concurrency_mode(ConcurrencyMode::MultiWriter).set_cache_size(1 << 20);
    Ok(builder.create_with_backend(backend)?)
}

/// Appends rows behind the last one, and takes the oldest away so that pages become free; answers the last.
fn append_rows(database: &Database) -> Result<u64, redb::Error> {
    let txn = database.begin_write()?;
    let mut last = 0;
    {
        let mut rows = txn.open_table(ROWS)?;
        last = rows.last()?.map_or(last, |(key, _)| key.value());
        for _ in 0..4 {
            last += 1;
            rows.insert(last, [u8::try_from(last % 251).unwrap(); 900].as_slice())?;
            rows.remove(last.saturating_sub(64))?;
        }
    }
    txn.commit()?;
    Ok(last)
}

/// The last row, where each that is there holds what it should.
fn last_row(database: &Database) -> Result<u64, redb::Error> {
    let rows = database.begin_read()?.open_table(ROWS)?;
    let mut last = 0;
    for row in rows.iter()? {
        let (key, value) = row?;
        last = key.value();
        assert!(value.value().iter().all(|byte| u64::from(*byte) == last % 251), "row {last}");
    }
    Ok(last)
}

/// The same with redb alone, and a sync that fails where the other one is killed; answers images and those of them
/// that lost something.
fn of_redb_alone(fail_sync: u64, crash_at: u64) -> (usize, usize) {
    let mut rng = Rng::new(fail_sync << 32 | crash_at);
    let disk = SimDisk::new(Vec::new(), Faults::default());
    let machine = Machine::new(&disk);
    let processes = [machine.process(), machine.process()];
    let [one, two] = [0, 1].map(|nth: usize| database(processes[nth].open()).unwrap());
    for _ in 0..6 {
        append_rows(&one).unwrap();
        append_rows(&two).unwrap();
    }
    let mut acknowledged = last_row(&two).unwrap();
    let fail_sync = Some(disk.syncs() + fail_sync);
    disk.set_faults(Faults { fail_sync, ..Faults::default() });
    acknowledged = append_rows(&one).unwrap_or(acknowledged);
    let crash_at = Some(disk.calls() + crash_at);
    disk.set_faults(Faults { crash_at, ..Faults::default() });
    acknowledged = append_rows(&two).unwrap_or(acknowledged);
    let lost = |_: &usize| {
        let image = SimDisk::new(disk.image(&mut rng), Faults::default());
        let read = || last_row(&database(Machine::new(&image).process().open())?);
        // Its own checks panic on some of these files.
        let read = catch_unwind(AssertUnwindSafe(read));
        !matches!(read, Ok(Ok(last)) if last >= acknowledged)
    };
    let lost = (0..IMAGES).filter(lost).count();
    std::mem::forget((one, two));
    (IMAGES, lost)
}

/// Why the store syncs at every change of hands. Once this finds nothing any more it need not.
#[test]
fn redb_alone_loses_a_store_when_a_sync_fails_and_power_is_lost() {
    let (mut images, mut lost) = (0, 0);
    for fail_sync in 1..=SYNCS {
        for crash_at in 1..CALLS / 2 {
            let found = of_redb_alone(fail_sync, crash_at);
            (images, lost) = (images + found.0, lost + found.1);
        }
    }
    println!("redb alone: {lost} of {images} images lost something");
    assert!(lost > 0, "redb keeps everything by itself now: `turn.rs` can go");
}

/// Not a test by itself: what the children do until they are killed.
#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "the parent tells the child its store this way")]
async fn child_shares_until_it_is_killed() {
    let (Some(path), Some(role)) = (std::env::var_os(STORE), std::env::var_os(ROLE)) else {
        return;
    };
    let reads = role == "reader";
    let sharing = if reads { Sharing::Readers } else { Sharing::Writers };
    let pid = u64::from(std::process::id());
    let store = open(Path::new(&path), sharing, pid << 32).unwrap();
    let mut out = std::io::stdout().lock();
    let session = Session::new(Arc::clone(&store) as _, "one", Sources::fixed(pid << 32));
    let mut before = 0;
    loop {
        if reads {
            let Ok(info) = session.info().await else { continue };
            let tail = store.tail(info.head.unwrap()).await.unwrap();
            let place = &tail.entries.last().unwrap().place;
            assert!(place.number >= before && info.entries > place.depth, "{info:?}");
            before = place.number;
            writeln!(out, "saw {}", info.head.unwrap()).unwrap();
        } else {
            let drafts = [10, 700, 5_000].map(|size| said(&session, &"x".repeat(size)));
            let done = session.append_all(drafts.into(), Expect::Any).await.unwrap();
            writeln!(out, "ack {}", done.head.unwrap()).unwrap();
        }
    }
}

struct Running {
    child: Child,
    said: std::thread::JoinHandle<Vec<String>>,
}

fn start(path: &Path, role: &str) -> Running {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sharing::child_shares_until_it_is_killed", "--nocapture"])
        .env(STORE, path)
        .env(ROLE, role)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let said = std::thread::spawn(move || {
        let lines = out.lines().map_while(Result::ok);
        let last = |line: String| Some(line.rsplit_once(' ')?.1.to_owned());
        lines.filter_map(last).filter(|id| id.len() == 64).collect()
    });
    Running { child, said }
}

impl Running {
    /// Kills it; answers the heads it told of.
    fn end(mut self) -> Vec<String> {
        assert!(self.child.try_wait().unwrap().is_none(), "a process ended by itself");
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.said.join().unwrap()
    }
}

const ROLES: [&str; 3] = ["writer", "writer", "reader"];

#[test]
fn invariant_4_of_processes_that_share_a_store_killed_ones_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut rng = Rng::new(u64::from(std::process::id()));
    let (mut acknowledged, mut seen, mut kills, began) = (0, 0, 0, Instant::now());
    while kills < KILLS {
        let path = folder.path().join(kills.to_string());
        let mut running: Vec<_> = ROLES.iter().map(|role| (*role, start(&path, role))).collect();
        let mut told = Vec::new();
        for _ in 0..KILLS / 4 {
            std::thread::sleep(Duration::from_micros(20_000 + rng.draw() % 60_000));
            let (role, process) = running.swap_remove(rng.below(running.len()));
            told.push((role, process.end()));
            running.push((role, start(&path, role)));
        }
        std::thread::sleep(Duration::from_millis(100));
        told.extend(running.into_iter().map(|(role, process)| (role, process.end())));
        kills += told.len();
        let of =
            |wanted| told.iter().filter(move |(role, _)| *role == wanted).flat_map(|(_, ids)| ids);
        acknowledged += of("writer").count();
        seen += of("reader").count();
        let ids: Vec<Id> = of("writer").chain(of("reader")).map(|id| id.parse().unwrap()).collect();
        let store = open(&path, Sharing::Exclusive, 0).unwrap();
        runtime.block_on(holds(&store, &ids)).unwrap();
    }
    println!("{kills} kills, {acknowledged} acknowledged, {seen} seen in {:?}", began.elapsed());
    assert!(acknowledged > 0 && seen > 0, "nothing was ever acknowledged or seen");
}
