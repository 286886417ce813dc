//! What a handle keeps beside its database: the index, the caches, and whether it may write at its end.

use std::sync::Arc;

use super::fault::{Fault, STORE_FILE};
use super::file::Place;
use super::index::Which;
use super::open::State;
use super::rows::{Counters, Scrubbed, id_hash};
use super::tables::WriteTables;
use super::test_disk::Disk;
use super::{Open, Options};
use crate::derive;
use crate::entry::{Body, Kind};
use crate::error::Error;
use crate::id::Id;
use crate::place;
use crate::session::Session;
use crate::sources::Sources;
use crate::store::{Change, Erasure, Expect, Presence, Reason, Store};

fn options() -> Options {
    Options::new(Sources::fixed(1)).idle_checkpoint(None).log_bytes(64 << 10).write_ahead(false)
}

/// A disk with a store of one session with three entries, and the ids of these. The third of four changes erases.
async fn filled() -> (Disk, Vec<Id>) {
    let disk = Disk::default();
    let store = disk.open(&options()).unwrap();
    let one = Session::new(Arc::clone(&store) as _, "one", Sources::fixed(7));
    let mut ids = Vec::new();
    for text in ["first", "second"] {
        let draft = one.draft(Kind::User, Body::new("text", text));
        ids.extend(one.append(draft, Expect::Any).await.unwrap().ids);
    }
    let (session, by, reason) = ("one".into(), "me".into(), "old".into());
    let erasure = Erasure { session, entries: vec![ids[0]], by, reason, at_ms: 1 };
    ids.extend(store.erase(erasure).await.unwrap().tombstones);
    one.rewind(None, Expect::Any).await.unwrap();
    (disk, ids)
}

fn opened(disk: &Disk, options: &Options) -> (Open, super::open::Resumed) {
    Open::new(&Place::Custom(disk.factory()), options).unwrap()
}

#[tokio::test]
async fn what_is_about_to_be_committed_is_not_there_for_who_reads() {
    let (disk, ids) = filled().await;
    let (open, mut resumed) = opened(&disk, &options());
    let snapshot = open.snapshot().unwrap();
    let last = snapshot.place_at(2).unwrap();
    let id = Id::from_bytes([9; 32]);
    let alias = Some(derive::alias_hash(0, "coming"));
    let coming = place::Place { number: 3, id, alias, ..(*last).clone() };
    open.index.insert(&mut resumed.merging, &coming);
    assert_eq!(snapshot.find(&id).unwrap(), None);
    assert_eq!(snapshot.with_alias("one", "coming").unwrap(), None);
    let begin_so = |id: Id| snapshot.with_prefix(&id.to_string()[..8].parse().unwrap(), 9).unwrap();
    assert_eq!([id, ids[1]].map(begin_so), [vec![], vec![ids[1]]]);
}

#[tokio::test]
async fn a_merge_under_way_goes_on_unless_another_process_was_faster() {
    let (disk, ids) = filled().await;
    let (open, mut resumed) = opened(&disk, &options().merge_after(2));
    let txn = open.database().unwrap().begin_write().unwrap();
    let mut tables = WriteTables::open(&txn).unwrap();
    let (index, merging) = (&open.index, &mut resumed.merging);
    let hash = id_hash(&ids[0]);
    let counters = tables.counters().unwrap();
    assert_eq!(index.merge_slice(merging, &mut tables, 3).unwrap(), None);
    index.take_up(merging, &tables, &Counters { indexed: 2, ..counters.clone() }).unwrap();
    assert!(merging.is_due() && !index.view().holds(Which::Ids, hash, 0));
    let slices = (0..9).find_map(|_| index.merge_slice(merging, &mut tables, 3).unwrap());
    assert_eq!((slices, tables.ids.len().unwrap()), (Some(3), 3));
    drop(tables);
    drop(txn);
    // Another one has merged all of it.
    let (open, mut resumed) = opened(&disk, &options().merge_after(2));
    let txn = open.database().unwrap().begin_write().unwrap();
    let mut tables = WriteTables::open(&txn).unwrap();
    let (index, merging) = (&open.index, &mut resumed.merging);
    assert_eq!(index.merge_slice(merging, &mut tables, 3).unwrap(), None);
    assert!(index.view().holds(Which::Ids, hash, 0));
    index.take_up(merging, &tables, &Counters { indexed: 3, ..counters }).unwrap();
    assert!(!merging.is_due() && !index.view().holds(Which::Ids, hash, 0));
}

#[tokio::test]
async fn caches_are_emptied_where_others_erased_or_too_much_happened_to_look_at() {
    let (disk, _) = filled().await;
    let (open, _) = opened(&disk, &options());
    let snapshot = open.snapshot().unwrap();
    assert_eq!(snapshot.counters.journal_rows, 4);
    let take_up = |looked: u64, journal_rows: u64| {
        *open.looked_through() = looked;
        let before = open.caches();
        let counters = Counters { journal_rows, ..snapshot.counters.clone() };
        let is_newest = open.take_up_erasures(&snapshot.tables, &counters).unwrap();
        (is_newest, !Arc::ptr_eq(&before, &open.caches()), *open.looked_through())
    };
    assert_eq!(take_up(4, 4), (true, false, 4));
    assert_eq!(take_up(4, 3), (false, false, 4), "a state of before");
    assert_eq!(take_up(3, 4), (true, false, 4));
    for looked in 0..3 {
        assert_eq!(take_up(looked, 4), (true, true, 4), "an erasure, row 2, from {looked} on");
    }
    assert_eq!(take_up(3, 1_027), (true, false, 1_027));
    assert_eq!(take_up(3, 1_028), (true, true, 1_028));
}

/// What redb says of a damaged page.
fn met() -> Fault {
    Error::corrupt(STORE_FILE, "a page").into()
}

#[tokio::test]
async fn who_met_damage_writes_nothing_when_it_closes() {
    for is_damaged in [true, false] {
        let (disk, _) = filled().await;
        let (open, _) = opened(&disk, &options());
        let mut txn = open.database().unwrap().begin_write().unwrap();
        txn.set_durability(redb::Durability::None).unwrap();
        let mut tables = WriteTables::open(&txn).unwrap();
        tables.put_scrubbed(&Scrubbed { next: 1, ..Scrubbed::default() }).unwrap();
        drop(tables);
        txn.commit().unwrap();
        if is_damaged {
            open.guarded(|| Err::<(), _>(met())).unwrap_err();
            open.check_writable().unwrap_err();
        }
        let before = disk.bytes();
        drop(open);
        assert_eq!(disk.bytes() == before, is_damaged);
    }
}

#[tokio::test]
async fn what_is_left_free_in_a_file_is_given_back() {
    let (disk, _) = filled().await;
    disk.tamper(&options(), |tables, _| {
        for number in 10..60 {
            tables.entries.push(number, &vec![7; 100_000]).unwrap();
        }
        tables.entries.settle().unwrap();
    });
    disk.tamper(&options(), |tables, _| {
        tables.entries.table.changed().unwrap().retain(|number, _| number < 10).unwrap();
    });
    let (mut open, _) = opened(&disk, &options());
    let before = disk.bytes().len();
    open.compact().unwrap();
    assert!(disk.bytes().len() < before, "{} of {before}", disk.bytes().len());
    let entries = open.snapshot().unwrap().tables.entries.table.rows().unwrap().count();
    assert!(entries > 0);
}

#[tokio::test]
async fn a_state_gives_up_the_handle_that_must_be_closed_before_another_is_opened() {
    let (disk, _) = filled().await;
    let open = Arc::new(opened(&disk, &options()).0);
    let degraded = |reads| State::Degraded { why: String::new(), cause: None, reads };
    let states = [State::Open(Arc::clone(&open)), degraded(Some(Arc::clone(&open)))];
    assert!(states.into_iter().all(|state| state.into_handle().is_some()));
    assert!([degraded(None), State::Closed].into_iter().all(|state| state.into_handle().is_none()));
}

#[tokio::test]
async fn a_session_of_entries_alone_has_no_branch_and_one_that_has_tells_the_active_one() {
    let store = Disk::default().open(&options()).unwrap();
    let one = Session::new(Arc::clone(&store) as _, "one", Sources::fixed(7));
    let entries = vec![one.draft(Kind::User, Body::new("text", "first"))];
    let presence = Presence::New;
    let change = Change { presence, entries, ..Change::new("one", Reason::Append, 1) };
    let first = store.commit(change).await.unwrap().ids[0];
    assert_eq!(store.branches("one", None, 9).await.unwrap(), []);
    one.fork_branch("side", first).await.unwrap();
    one.fork_branch("other", first).await.unwrap();
    let branches = store.branches("one", None, 9).await.unwrap();
    let found: Vec<_> = branches.iter().map(|it| (it.name.as_str(), it.active)).collect();
    assert_eq!(found, [("other", true), ("side", false)]);
}

#[tokio::test]
async fn a_scrub_that_is_further_than_the_store_begins_anew() {
    let (disk, _) = filled().await;
    disk.tamper(&options(), |tables, _| {
        tables.put_scrubbed(&Scrubbed { next: 99, ..Scrubbed::default() }).unwrap();
    });
    let store = disk.open(&options()).unwrap();
    let report = store.scrub(9).await.unwrap();
    assert_eq!((report.checked, report.next), (3, 0));
    // What was found is told also where damage keeps from noting how far it came.
    let open = store.shared.readable().unwrap();
    open.guarded(|| Err::<(), _>(met())).unwrap_err();
    drop(open);
    assert_eq!(store.scrub(9).await.unwrap().checked, 3);
}
