//! Damage to the file of a closed store, and of one whose process was killed: flipped bits, trashed pages, a cut-off
//! end, pages of an older file. Every read errs or tells the truth, what is missing is reported by `verify`, an append
//! over the damage is refused or there from then on, and nothing panics out of the library or ends the process, which
//! it would with redb's own checks on as in every debug build.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};

use tests::image::{Image, PAGE_BYTES};
use tests::profile::{CUTS, FLIPS, STALE, TRASHED};
use tests::rng::Rng;
use tests::sim_disk::{Faults, SimDisk};
use tokio::runtime::Runtime;
use treering_tree::{
    Body, Context, Entry, Error, Expect, Id, Kind, Options, RedbStore, Replay, Result, Session,
    Sources, Store,
};

/// A log that is filled several times.
const LOG_BYTES: u64 = 64 << 10;

/// A store that is whole, and what is in it.
struct Sound {
    image: Image,
    head: Id,
    entries: Vec<Arc<Entry>>,
    context: Vec<Id>,
    /// What the last record of the log may hold: nothing tells one that was never finished from a damaged
    /// one.
    last: Option<Id>,
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

fn open(disk: &SimDisk) -> Result<Arc<dyn Store>> {
    let options = Options::new(Sources::fixed(1)).idle_checkpoint(None).log_bytes(LOG_BYTES);
    Ok(Arc::new(RedbStore::with_backend(disk.factory(), options)?))
}

/// Adds so many entries to what is on the disk, closes the store or kills it, and looks at what is there then.
fn grown(disk: &SimDisk, entries: usize, killed: bool) -> Sound {
    let mut rng = Rng::new(7);
    let (head, entries, context, last) = runtime().block_on(async {
        let store = open(disk).unwrap();
        let session = Session::new(Arc::clone(&store), "one", Sources::fixed(2 + entries as u64));
        for _ in 0..entries {
            let size = *rng.pick(&[20, 300, 3_000]);
            let draft = session.draft(Kind::User, Body::new("text", rng.bytes(size)));
            let alias = draft.id_under(None).to_string();
            session.append(draft.alias(alias), Expect::Any).await.unwrap();
        }
        let head = session.head().await.unwrap().unwrap();
        let path = session.replay().await.unwrap().collect().await.unwrap();
        let context = session.context().await.unwrap();
        let mut last = None;
        if killed {
            let draft = session.draft(Kind::User, Body::new("text", "last"));
            last = Some(session.append(draft, Expect::Any).await.unwrap().ids[0]);
            disk.kill();
        }
        let context = context.items.iter().map(|item| item.stored.entry.id()).collect();
        (head, path.into_iter().map(|stored| stored.entry).collect(), context, last)
    });
    Sound { image: disk.live(), head, entries, context, last }
}

fn sound(killed: bool) -> Sound {
    grown(&SimDisk::new(Vec::new(), Faults::default()), 150, killed)
}

/// What came of one piece of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// All reads right, verify clean.
    Unharmed,
    /// All reads right or errors; verify may know more.
    Noticed,
    /// The store does not open.
    Refused,
}

/// What reading everything came to.
#[derive(Default)]
struct Seen {
    errors: bool,
    missing: bool,
    clean: bool,
}

impl Seen {
    fn outcome(&self) -> Outcome {
        let is_unharmed = self.clean && !self.errors && !self.missing;
        if is_unharmed { Outcome::Unharmed } else { Outcome::Noticed }
    }
}

/// Writes to a damaged image and reads everything of it, in this order or the other, closes it, and looks again.
///
/// # Errors
/// What was wrong without anybody saying so.
async fn look(
    sound: &Sound,
    image: Image,
    writes_first: bool,
) -> std::result::Result<Outcome, String> {
    let disk = SimDisk::new(image, Faults::default());
    let Ok(store) = open(&disk) else {
        return Ok(Outcome::Refused);
    };
    let (seen, added) = if writes_first {
        let added = write(&store).await;
        (read(&store, sound, &added).await?, added)
    } else {
        (read(&store, sound, &[]).await?, write(&store).await)
    };
    drop(store);
    let Ok(store) = open(&disk) else {
        return if seen.outcome() == Outcome::Noticed {
            Ok(Outcome::Noticed)
        } else {
            Err("what was unharmed does not open again".to_owned())
        };
    };
    let again = read(&store, sound, &added).await?;
    Ok(seen.outcome().max(again.outcome()))
}

/// Appends; answers what was acknowledged.
async fn write(store: &Arc<dyn Store>) -> Vec<Id> {
    let session = Session::new(Arc::clone(store), "one", Sources::fixed(5));
    let mut added = Vec::new();
    for size in [20, 3_000, 20] {
        let draft = session.draft(Kind::User, Body::new("text", vec![b'd'; size]));
        if let Ok(committed) = session.append(draft, Expect::Any).await {
            added.extend(committed.ids);
        }
    }
    added
}

/// Reads everything there was, and what was added.
async fn read(
    store: &Arc<dyn Store>,
    sound: &Sound,
    added: &[Id],
) -> std::result::Result<Seen, String> {
    let (mut errors, mut missing) = (false, Vec::new());
    for entry in &sound.entries {
        match store.entries(&[entry.id()]).await.map(|mut found| found.remove(0)) {
            Ok(Some(found)) if found.entry == *entry => {}
            Ok(Some(_)) => return Err(format!("{} reads otherwise", entry.id())),
            Ok(None) => missing.push(format!("{} not found", entry.id())),
            Err(_) => errors = true,
        }
    }
    match store.entries(added).await {
        Ok(found) if found.iter().all(Option::is_some) => {}
        Ok(_) => missing.push("what was acknowledged not found".to_owned()),
        Err(_) => errors = true,
    }
    let session = Session::new(Arc::clone(store), "one", Sources::fixed(3));
    let heads = [added.last().copied(), Some(sound.head), sound.last];
    match session.head().await {
        Ok(Some(head)) if added.last().is_some_and(|added| *added != head) => {
            missing.push(format!("head {head}"));
        }
        Ok(Some(head)) if heads.contains(&Some(head)) => {}
        Ok(head) => missing.push(format!("head {head:?}")),
        Err(_) => errors = true,
    }
    match Replay::new(Arc::clone(store), Some(sound.head)).collect().await {
        Ok(path) => {
            let path: Vec<_> = path.into_iter().map(|stored| stored.entry).collect();
            if path != sound.entries {
                missing.push(format!("a path of {} entries", path.len()));
            }
        }
        Err(_) => errors = true,
    }
    match Context::at(&**store, sound.head).await {
        Ok(context) => {
            let ids: Vec<_> = context.items.iter().map(|item| item.stored.entry.id()).collect();
            if ids != sound.context {
                missing.push(format!("a context of {} items", ids.len()));
            }
        }
        Err(_) => errors = true,
    }
    let clean = store.verify().await.is_ok_and(|report| report.problems.is_empty());
    match missing.first() {
        Some(missing) if clean => Err(format!("{missing}, and verify is clean")),
        first => Ok(Seen { errors, missing: first.is_some(), clean }),
    }
}

/// redb panics on damaged pages; the boundary catches that, and the log need not show it.
fn quiet_redb() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.location().is_some_and(|at| at.file().contains("redb-")) {
                usual(info);
            }
        }));
    });
}

fn survives(what: &str, times: u64, damage: impl Fn(&mut Image, &mut Rng)) {
    survives_of(what, times, &[sound(false), sound(true)], damage);
}

fn survives_of(what: &str, times: u64, sounds: &[Sound], damage: impl Fn(&mut Image, &mut Rng)) {
    quiet_redb();
    let runtime = runtime();
    let mut outcomes = std::collections::BTreeMap::<Outcome, u64>::new();
    for (seed, sound) in (0..times).zip(sounds.iter().cycle()) {
        let mut image = sound.image.clone();
        damage(&mut image, &mut Rng::new(seed));
        let looked =
            catch_unwind(AssertUnwindSafe(|| runtime.block_on(look(sound, image, seed % 4 < 2))));
        match looked {
            Ok(Ok(outcome)) => *outcomes.entry(outcome).or_default() += 1,
            Ok(Err(wrong)) => panic!("{what}, seed {seed}: {wrong}"),
            Err(panic) => {
                println!("{what}, seed {seed}: a panic left the library");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{times} times {what}: {outcomes:?} of {} bytes", sounds[0].image.len());
    assert!(outcomes.keys().any(|outcome| *outcome != Outcome::Unharmed), "nothing was harmed");
}

/// The page that holds a byte: where it begins, and what is in it.
fn page_of(image: &Image, at: usize) -> (usize, Vec<u8>) {
    let page = at / PAGE_BYTES * PAGE_BYTES;
    (page, image.read(page..page + PAGE_BYTES))
}

/// A place in the file where there is something.
fn somewhere(image: &Image, rng: &mut Rng) -> usize {
    loop {
        let at = rng.below(image.len());
        if page_of(image, at).1.iter().any(|byte| *byte != 0) {
            return at;
        }
    }
}

#[test]
fn invariant_11_a_flipped_bit_is_harmless_or_noticed() {
    survives("flipped bit", FLIPS, |image, rng| {
        let at = somewhere(image, rng);
        let byte = image.read(at..at + 1)[0] ^ 1 << rng.below(8);
        image.write(at, &[byte]);
    });
}

#[test]
fn invariant_11_a_trashed_page_is_harmless_or_noticed() {
    survives("trashed page", TRASHED, |image, rng| {
        let (page, bytes) = page_of(image, somewhere(image, rng));
        let len = bytes.len();
        image.write(page, &if rng.chance(50) { rng.bytes(len) } else { vec![0; len] });
    });
}

#[test]
fn invariant_11_a_cut_off_end_is_harmless_or_noticed() {
    survives("cut-off end", CUTS, |image, rng| {
        image.resize(1 + rng.below(image.len()));
    });
}

/// Parts of an older file put back, or writes that never arrived though they were synced. All of it put back is
/// that file: nothing in it tells, and who expects a later head is told where it is.
#[test]
fn invariant_11_pages_of_an_older_file_are_harmless_or_noticed() {
    let disk = SimDisk::new(Vec::new(), Faults::default());
    let older = grown(&disk, 100, false);
    let closed = grown(&SimDisk::new(older.image.clone(), Faults::default()), 50, false);
    let newer = [closed, grown(&disk, 50, true)];
    survives_of("pages of an older file", STALE, &newer, |image, rng| {
        let page = |image: &Image, at: usize| image.read(at..at + PAGE_BYTES);
        let changed: Vec<usize> = (0..older.image.len().min(image.len()))
            .step_by(PAGE_BYTES)
            .filter(|at| page(&older.image, *at) != page(image, *at))
            .collect();
        for _ in 0..*rng.pick(&[1, 1, 2, changed.len() / 2]) {
            let at = *rng.pick(&changed);
            image.write(at, &page(&older.image, at));
        }
    });
    assert_eq!(runtime().block_on(look(&older, older.image.clone(), false)), Ok(Outcome::Unharmed));
    let behind = runtime().block_on(async {
        let store = open(&SimDisk::new(older.image.clone(), Faults::default())).unwrap();
        let session = Session::new(store, "one", Sources::fixed(4));
        let draft = session.draft(Kind::User, Body::new("text", "goes on"));
        session.append(draft, Expect::Head(newer[0].head)).await.unwrap_err()
    });
    assert!(
        matches!(behind, Error::HeadMoved { actual, .. } if actual == Some(older.head)),
        "{behind}"
    );
}
