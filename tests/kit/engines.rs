//! What crash campaigns are run on: the engine itself, and a tiny store over plain redb that is right
//! until a bug is planted in it.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};
use tokio::runtime::Runtime;
use treering_tree::{
    Change, Committed, Durability, ErrorKind, Id, Options, RedbStore, Result as TreeResult,
    Sources, Store,
};

use super::campaign::Engine;
use super::compare;
use super::model::Model;
use super::sim_disk::SimDisk;

/// Small, so that reads reach the disk.
const CACHE_BYTES: usize = 1 << 20;

/// Small, so that the log is filled again and again.
const LOG_BYTES: u64 = 32 << 10;

/// The engine itself.
#[derive(Debug)]
pub struct Redb {
    runtime: Runtime,
    durability: Durability,
    merge_after: Option<usize>,
    overlaps: bool,
}

impl Redb {
    /// The engine with a durability.
    pub fn new(durability: Durability) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.unwrap();
        Self { runtime, durability, merge_after: None, overlaps: false }
    }

    /// The same, with an index that is merged after so few entries.
    #[must_use]
    pub fn merging_after(self, entries: usize) -> Self {
        Self { merge_after: Some(entries), ..self }
    }

    /// The same, with groups that overlap from two callers on: which changes make a group, and what of it is
    /// on the disk when the power is lost, is then the threads' to say and not the seed's.
    #[must_use]
    pub fn overlapping(self) -> Self {
        Self { overlaps: true, ..self }
    }
}

type Answer = Pin<Box<dyn Future<Output = TreeResult<Committed>> + Send>>;

fn ask(store: &Arc<RedbStore>, change: &Change) -> Answer {
    let (store, change) = (Arc::clone(store), change.clone());
    Box::pin(async move { store.commit(change).await })
}

impl Engine for Redb {
    type Store = Arc<RedbStore>;

    fn open(&self, disk: &SimDisk) -> Result<Arc<RedbStore>, String> {
        let mut options = Options::new(Sources::fixed(1))
            .durability(self.durability)
            .idle_checkpoint(None)
            .log_bytes(LOG_BYTES)
            .cache_bytes(CACHE_BYTES);
        if let Some(entries) = self.merge_after {
            options = options.merge_after(entries);
        }
        if self.overlaps {
            options = options.overlap_from(2);
        }
        let opened = RedbStore::with_backend(disk.factory(), options);
        opened.map(Arc::new).map_err(|error| error.to_string())
    }

    fn commit(
        &self,
        store: &Arc<RedbStore>,
        disk: &SimDisk,
        changes: &[Change],
    ) -> Vec<Result<Vec<Id>, ErrorKind>> {
        let Some((first, rest)) = changes.split_first() else {
            // Nothing is promised of a checkpoint but that it changes nothing.
            let _ = self.runtime.block_on(store.checkpoint());
            return Vec::new();
        };
        // The writer takes the first one and is held at the disk; the others gather meanwhile.
        let mut look = Context::from_waker(Waker::noop());
        disk.hold();
        let mut first = ask(store, first);
        let mut early = None;
        disk.wait_until_held(|| match first.as_mut().poll(&mut look) {
            Poll::Ready(answer) => {
                early = Some(answer);
                true
            }
            Poll::Pending => false,
        });
        let mut rest: Vec<Answer> = rest.iter().map(|change| ask(store, change)).collect();
        let mut answers: Vec<_> = rest
            .iter_mut()
            .map(|answer| match answer.as_mut().poll(&mut look) {
                Poll::Ready(answer) => Some(answer),
                Poll::Pending => None,
            })
            .collect();
        disk.release();
        self.runtime.block_on(async {
            answers.insert(0, early);
            for (answer, asked) in answers.iter_mut().zip(std::iter::once(first).chain(rest)) {
                if answer.is_none() {
                    *answer = Some(asked.await);
                }
            }
        });
        let ids = |answer: TreeResult<Committed>| {
            answer.map(|done| done.ids).map_err(|error| error.kind())
        };
        answers.into_iter().flatten().map(ids).collect()
    }

    fn overlaps(&self) -> bool {
        self.overlaps
    }

    fn difference(&self, store: &Arc<RedbStore>, model: &Model) -> Result<Option<String>, String> {
        let compared = async {
            if let Some(unlike) = compare::stored(&**store, model).await? {
                return Ok(Some(unlike));
            }
            let problems = store.verify().await?.problems;
            Ok((!problems.is_empty()).then(|| format!("verify: {problems:?}")))
        };
        let compared = self.runtime.block_on(compared);
        compared.map_err(|error: treering_tree::Error| error.to_string())
    }
}

/// A bug to be planted in [`Tiny`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A change is answered before it is committed.
    AcknowledgesBeforeCommit,
    /// The head is moved in a transaction before the one that writes the entry.
    HeadBeforeEntry,
}

const ENTRIES: TableDefinition<u64, [u8; 32]> = TableDefinition::new("entries");
const HEADS: TableDefinition<&str, [u8; 32]> = TableDefinition::new("heads");

/// What [`Tiny`] keeps on disk: ids in append order, and heads.
type Rows = (Vec<[u8; 32]>, BTreeMap<String, [u8; 32]>);

/// A tiny store over plain redb, which leaves all thinking to the model.
#[derive(Debug, Default)]
pub struct Tiny {
    /// The bug planted in it.
    pub bug: Option<Bug>,
    /// Every state there ever was, to think on from after a reopening.
    known: Mutex<Vec<(Rows, Model)>>,
}

impl Tiny {
    /// A tiny store with a bug, or right.
    pub fn new(bug: Option<Bug>) -> Self {
        let known = Mutex::new(vec![(Rows::default(), Model::default())]);
        Self { bug, known }
    }
}

/// An opened [`Tiny`].
#[derive(Debug)]
pub struct Opened {
    database: Database,
    model: Mutex<Model>,
    /// Acknowledged, but not committed: only where that is the bug.
    late: Mutex<Option<Rows>>,
}

fn rows_of(model: &Model) -> Rows {
    let ids = model.nodes.iter().map(|node| *node.entry.id().as_bytes());
    let heads = model.lines.iter().flat_map(|(name, line)| {
        line.branches.iter().filter_map(move |(branch, head)| {
            Some((format!("{name}/{branch}"), *(*head)?.as_bytes()))
        })
    });
    (ids.collect(), heads.collect())
}

impl Opened {
    fn read(&self) -> Result<Rows, redb::Error> {
        let txn = self.database.begin_read()?;
        let (Ok(entries), Ok(heads)) = (txn.open_table(ENTRIES), txn.open_table(HEADS)) else {
            return Ok(Rows::default());
        };
        let mut rows = Rows::default();
        for row in entries.iter()? {
            rows.0.push(row?.1.value());
        }
        for row in heads.iter()? {
            let (key, value) = row?;
            rows.1.insert(key.value().to_owned(), value.value());
        }
        Ok(rows)
    }

    fn write(&self, rows: &Rows, parts: &[&[Part]]) -> Result<(), redb::Error> {
        for parts in parts {
            let mut txn = self.database.begin_write()?;
            txn.set_two_phase_commit(true);
            {
                let (mut entries, mut heads) = (txn.open_table(ENTRIES)?, txn.open_table(HEADS)?);
                if parts.contains(&Part::Entries) {
                    for (number, id) in rows.0.iter().enumerate() {
                        entries.insert(number as u64, *id)?;
                    }
                }
                if parts.contains(&Part::Heads) {
                    heads.retain(|_, _| false)?;
                    for (name, id) in &rows.1 {
                        heads.insert(name.as_str(), *id)?;
                    }
                }
            }
            txn.commit()?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Entries,
    Heads,
}

impl Engine for Tiny {
    type Store = Opened;

    fn open(&self, disk: &SimDisk) -> Result<Opened, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let backend: Box<dyn StorageBackend> = (disk.factory())().map_err(|error| text(&error))?;
        let database = Database::builder().create_with_backend(Boxed(backend));
        let mut opened = Opened {
            database: database.map_err(|error| text(&error))?,
            model: Mutex::default(),
            late: Mutex::default(),
        };
        let rows = opened.read().map_err(|error| text(&error))?;
        let known = self.known.lock().unwrap();
        if let Some((_, model)) = known.iter().rev().find(|(known, _)| *known == rows) {
            opened.model = Mutex::new(model.clone());
        }
        Ok(opened)
    }

    fn commit(
        &self,
        store: &Opened,
        _: &SimDisk,
        changes: &[Change],
    ) -> Vec<Result<Vec<Id>, ErrorKind>> {
        let mut answers = Vec::new();
        let mut model = store.model.lock().unwrap();
        let first = changes.len().min(1);
        for group in [&changes[..first], &changes[first..]] {
            let mut next = model.clone();
            let group: Vec<_> = group.iter().map(|change| next.commit(change)).collect();
            let rows = rows_of(&next);
            let late = match self.bug {
                Some(Bug::AcknowledgesBeforeCommit) => {
                    store.late.lock().unwrap().replace(rows.clone())
                }
                _ => Some(rows.clone()),
            };
            let parts: &[&[Part]] = match self.bug {
                Some(Bug::HeadBeforeEntry) => &[&[Part::Heads], &[Part::Entries]],
                _ => &[&[Part::Heads, Part::Entries]],
            };
            let written = late.map_or(Ok(()), |rows| store.write(&rows, parts));
            if written.is_ok() {
                self.known.lock().unwrap().push((rows, next.clone()));
                *model = next;
                answers.extend(group);
            } else {
                answers.extend(group.iter().map(|_| Err(ErrorKind::Storage)));
            }
        }
        answers
    }

    fn difference(&self, store: &Opened, model: &Model) -> Result<Option<String>, String> {
        let rows = store.read().map_err(|error| error.to_string())?;
        let same = rows == rows_of(model);
        if same {
            // What survived may be a state that was never answered.
            self.known.lock().unwrap().push((rows, model.clone()));
        }
        Ok((!same).then(|| "entries and heads are not those of any answer".to_owned()))
    }
}

/// redb wants a type of its own.
#[derive(Debug)]
struct Boxed(Box<dyn StorageBackend>);

impl StorageBackend for Boxed {
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.0.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.0.write(offset, data)
    }
}
