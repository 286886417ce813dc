//! Power lost at every step by which a file gets its name, while a store is created, rewritten and recovered.
//! What was written and not synced may be there or not, or a part of it; of changed names that were not synced
//! any may be. Whatever is found is what was there before, or all of the new store; and the new one, once
//! the call has answered.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::publish::{Files, SystemFiles};
use super::{Options, RedbStore};
use crate::entry::{Body, Kind};
use crate::id::Id;
use crate::session::Session;
use crate::sources::Sources;
use crate::store::{Erasure, Expect, Store};

const NAME: &str = "store";
const SECRET: &[u8] = b"a secret that nobody may find again";
const ENTRIES: usize = 40;
const LOG_BYTES: u64 = 64 << 10;

/// A change of names that is not durable yet.
#[derive(Clone, Debug)]
enum Renaming {
    Put(PathBuf, u64),
    Move(PathBuf, PathBuf, u64),
    Remove(PathBuf),
}

/// What is not done though it is said to be: planted bugs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plant {
    Nothing,
    NoSync,
    NoFolderSync,
    /// No bug: a file system without hard links.
    NoLinks,
}

/// A folder whose power is lost at a step. Files are known by their inodes.
#[derive(Debug)]
struct Folder {
    root: tempfile::TempDir,
    plant: Plant,
    lost_at: Option<usize>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    steps: usize,
    is_lost: bool,
    names: BTreeMap<PathBuf, u64>,
    pending: Vec<Renaming>,
    synced: BTreeMap<u64, Vec<u8>>,
    /// What was in the cache when power was lost.
    live: BTreeMap<u64, Vec<u8>>,
}

/// A file that may be found under the name; none where there is no file.
type Image = Option<Vec<u8>>;

fn inode(path: &Path) -> io::Result<u64> {
    Ok(fs::metadata(path)?.ino())
}

impl Folder {
    /// A folder with what is in it durable.
    fn holding(image: Option<&[u8]>, plant: Plant, lost_at: Option<usize>) -> Arc<Self> {
        let root = tempfile::tempdir().unwrap();
        let mut state = State::default();
        if let Some(bytes) = image {
            let path = root.path().join(NAME);
            fs::write(&path, bytes).unwrap();
            state.synced.insert(inode(&path).unwrap(), bytes.to_vec());
            state.names.insert(path.clone(), inode(&path).unwrap());
        }
        Arc::new(Self { root, plant, lost_at, state: Mutex::new(state) })
    }

    fn path(&self) -> PathBuf {
        self.root.path().join(NAME)
    }

    /// Does a step and notes it; the one at which power is lost is begun, and all later ones fail.
    fn step(
        &self,
        act: impl FnOnce() -> io::Result<()>,
        note: impl FnOnce(&mut State),
    ) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.steps += 1;
        let lost = || io::Error::other("power was lost");
        if state.is_lost {
            return Err(lost());
        }
        if self.lost_at == Some(state.steps) {
            note(&mut state);
            self.lose(&mut state);
            return Err(lost());
        }
        act()?;
        note(&mut state);
        Ok(())
    }

    fn lose(&self, state: &mut State) {
        state.is_lost = true;
        for file in fs::read_dir(self.root.path()).unwrap() {
            let path = file.unwrap().path();
            state.live.insert(inode(&path).unwrap(), fs::read(&path).unwrap());
        }
    }

    /// Whether it came to the end before power was lost; it is lost now.
    fn ended(&self) -> bool {
        let mut state = self.state.lock().unwrap();
        let ended = !state.is_lost;
        if ended {
            self.lose(&mut state);
        }
        ended
    }

    /// Everything that may be found under the name.
    fn images(&self) -> BTreeSet<Image> {
        let state = self.state.lock().unwrap();
        let mut images = BTreeSet::new();
        for chosen in 0..1_usize << state.pending.len() {
            let mut names = state.names.clone();
            for (nth, renaming) in state.pending.iter().enumerate() {
                if chosen & (1 << nth) != 0 {
                    renaming.apply(&mut names);
                }
            }
            match names.get(&self.path()) {
                None => drop(images.insert(None)),
                Some(inode) => images.extend(state.versions(*inode).into_iter().map(Some)),
            }
        }
        images
    }
}

impl State {
    /// What a file may hold: what was synced by its name, what was in the cache, and of one that was never synced
    /// a part of that. What the store syncs itself while it is at work is the crash campaign's.
    fn versions(&self, inode: u64) -> Vec<Vec<u8>> {
        // Of a file that lost its name only what is durable is left to be found.
        let live = self.live.get(&inode).or_else(|| self.synced.get(&inode));
        let live = live.cloned().unwrap_or_default();
        match self.synced.get(&inode) {
            Some(synced) => vec![synced.clone(), live],
            None => vec![Vec::new(), live[..live.len() / 2].to_vec(), live],
        }
    }
}

impl Renaming {
    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Put(name, inode) => drop(names.insert(name.clone(), *inode)),
            Self::Move(from, to, inode) => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
            Self::Remove(name) => drop(names.remove(name)),
        }
    }
}

impl Files for Folder {
    fn sync(&self, path: &Path) -> io::Result<()> {
        let (inode, bytes) = (inode(path)?, fs::read(path)?);
        self.step(
            || Ok(()),
            |state| {
                // A sync in which power is lost has done nothing, or a part.
                if self.plant != Plant::NoSync && self.lost_at != Some(state.steps) {
                    state.synced.insert(inode, bytes);
                }
            },
        )
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.plant == Plant::NoLinks {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let renaming = Renaming::Put(to.to_owned(), inode(from)?);
        self.step(|| SystemFiles.link(from, to), |state| state.pending.push(renaming))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let renaming = Renaming::Move(from.to_owned(), to.to_owned(), inode(from)?);
        self.step(|| SystemFiles.rename(from, to), |state| state.pending.push(renaming))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let renaming = Renaming::Remove(path.to_owned());
        self.step(|| SystemFiles.remove(path), |state| state.pending.push(renaming))
    }

    fn sync_folder_of(&self, _: &Path) -> io::Result<()> {
        self.step(
            || Ok(()),
            |state| {
                if self.plant != Plant::NoFolderSync && self.lost_at != Some(state.steps) {
                    for renaming in std::mem::take(&mut state.pending) {
                        renaming.apply(&mut state.names);
                    }
                }
            },
        )
    }
}

fn options() -> Options {
    Options::new(Sources::fixed(1)).idle_checkpoint(None).log_bytes(LOG_BYTES).cache_bytes(1 << 20)
}

/// A store with an erased secret, whose bytes are still in the file, and its ids.
async fn made() -> (Vec<u8>, Vec<Id>) {
    for _ in 0..20 {
        let (bytes, ids) = made_once().await;
        if has_secret(&bytes) {
            return (bytes, ids);
        }
        // On a busy machine what closing it saves may have taken just that page: once more.
    }
    panic!("there is nothing to take away");
}

async fn made_once() -> (Vec<u8>, Vec<Id>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAME);
    let store = Arc::new(RedbStore::open(&path, options()).unwrap());
    let session = Session::new(Arc::clone(&store) as Arc<dyn Store>, "one", Sources::fixed(2));
    let drafts = (0..ENTRIES).map(|nth| {
        let body = if nth == 0 { SECRET.to_vec() } else { format!("entry {nth}").into_bytes() };
        session.draft(Kind::User, Body::new("text", body))
    });
    let mut ids = session.append_all(drafts.collect(), Expect::Any).await.unwrap().ids;
    store.checkpoint().await.unwrap();
    let erasure = Erasure {
        session: "one".into(),
        entries: vec![ids[0]],
        by: "the test".into(),
        reason: "secret".into(),
        at_ms: 5,
    };
    ids.extend(store.erase(erasure).await.unwrap().tombstones);
    drop((session, store));
    (fs::read(&path).unwrap(), ids)
}

fn has_secret(bytes: &[u8]) -> bool {
    bytes.windows(SECRET.len()).any(|window| window == SECRET)
}

/// Whether a file is a whole store that holds exactly this.
async fn check(image: &[u8], ids: &[Id]) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAME);
    fs::write(&path, image).unwrap();
    let text = |error: crate::Error| error.to_string();
    let store = RedbStore::open(&path, options()).map_err(text)?;
    let found = store.scan(None, 0, 2 * ENTRIES).await.map_err(text)?;
    let found: Vec<Id> = found.iter().map(|stored| stored.place.id).collect();
    if found != ids {
        return Err(format!("{} entries instead of {}", found.len(), ids.len()));
    }
    let problems = store.verify().await.map_err(text)?.problems;
    if problems.is_empty() { Ok(()) } else { Err(format!("{problems:?}")) }
}

/// What was found: how often what was there before, and the new store.
#[derive(Debug, Default)]
struct Found {
    before: usize,
    new: usize,
}

/// Does something in a folder again and again, losing power at one step after the other, until it has ended
/// before that.
async fn at_every_step(
    before: Option<&[u8]>,
    ids: &[Id],
    plant: Plant,
    act: impl Fn(&Path, &Options) -> crate::Result<()>,
) -> Result<Found, String> {
    let mut found = Found::default();
    for step in 1.. {
        let folder = Folder::holding(before, plant, Some(step));
        let options = Options { files: Arc::clone(&folder) as _, ..options() };
        let done = act(&folder.path(), &options);
        let ended = folder.ended();
        let told = |why| format!("step {step}, {done:?}: {why}");
        for image in folder.images() {
            let is_new = match &image {
                None => false,
                Some(bytes) => {
                    check(bytes, ids).await.map_err(told)?;
                    before.is_none() || !has_secret(bytes)
                }
            };
            if before.is_some() && image.is_none() {
                return Err(told("the store is gone".to_owned()));
            }
            if done.is_ok() && !is_new {
                return Err(told("said to be done, and is not".to_owned()));
            }
            found.before += usize::from(!is_new);
            found.new += usize::from(is_new);
        }
        if ended {
            return Ok(found);
        }
    }
    Ok(found)
}

fn rewritten(path: &Path, options: &Options) -> crate::Result<()> {
    RedbStore::rewrite(path, options, &mut |_, _| ()).map(drop)
}

#[tokio::test]
async fn power_lost_while_a_store_is_rewritten_leaves_the_old_one_or_the_new_one() {
    let (bytes, ids) = made().await;
    let found = at_every_step(Some(&bytes), &ids, Plant::Nothing, rewritten).await.unwrap();
    println!("{found:?}");
    assert!(found.before > 0 && found.new > 0, "{found:?}");
}

#[tokio::test]
async fn power_lost_while_a_store_is_recovered_leaves_nothing_or_all_of_it() {
    let (bytes, ids) = made().await;
    let damaged = tempfile::NamedTempFile::new().unwrap();
    fs::write(damaged.path(), &bytes).unwrap();
    let recovered = |path: &Path, options: &Options| {
        RedbStore::recover(damaged.path(), path, options, &mut |_, _| ()).map(drop)
    };
    for plant in [Plant::Nothing, Plant::NoLinks] {
        let found = at_every_step(None, &ids, plant, recovered).await.unwrap();
        println!("{plant:?}: {found:?}");
        assert!(found.before > 0 && found.new > 0, "{found:?}");
    }
    assert!(fs::read(damaged.path()).unwrap() == bytes, "the damaged file was written to");
}

#[tokio::test]
async fn power_lost_while_a_store_is_created_leaves_nothing_or_all_of_it() {
    let created = |path: &Path, options: &Options| RedbStore::open(path, options.clone()).map(drop);
    for plant in [Plant::Nothing, Plant::NoLinks] {
        let found = at_every_step(None, &[], plant, created).await.unwrap();
        println!("{plant:?}: {found:?}");
        assert!(found.before > 0 && found.new > 0, "{found:?}");
    }
}

#[tokio::test]
async fn planted_missing_syncs_are_found() {
    let (bytes, ids) = made().await;
    for plant in [Plant::NoSync, Plant::NoFolderSync] {
        let found = at_every_step(Some(&bytes), &ids, plant, rewritten).await;
        println!("{plant:?}: {}", found.expect_err("the planted bug was not found"));
    }
}
