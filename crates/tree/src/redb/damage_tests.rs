//! Rows that are not what was written: reads that would need them err, and say so with the right kind; all others
//! go on.

use std::sync::Arc;

use super::place_row;
use super::rows::{FORMAT, Identity};
use super::tables::WriteTables;
use super::test_disk::Disk;
use super::{Options, RedbStore};
use crate::encode;
use crate::entry::{Body, Draft, Kind};
use crate::error::{Error, ErrorKind, Result};
use crate::id::Id;
use crate::place::Place;
use crate::session::Session;
use crate::sources::Sources;
use crate::store::{Committed, Erasure, Expect, JournalRow, Reason, Store};

fn options() -> Options {
    // Ids in the index that is merged: what is not is read back from the places.
    Options::new(Sources::fixed(1)).idle_checkpoint(None).log_bytes(64 << 10).merge_after(1)
}

fn session(store: &Arc<RedbStore>, name: &str) -> Session {
    let seed = name.bytes().map(u64::from).sum();
    Session::new(Arc::clone(store) as _, name, Sources::fixed(seed))
}

fn draft(session: &Session) -> Draft {
    session.draft(Kind::User, Body::new("text", "said")).tokens(3)
}

async fn append(session: &Session) -> Result<Committed> {
    session.append(draft(session), Expect::Any).await
}

/// Entries 0 and 1 are roots of `one`, 2 hangs on the second; 3 to 5 are a path of `two`.
async fn fill(disk: &Disk) -> Vec<Id> {
    let store = disk.open(&options()).unwrap();
    let mut ids = Vec::new();
    let one = session(&store, "one");
    for is_root in [true, true, false] {
        if is_root && !ids.is_empty() {
            one.rewind(None, Expect::Any).await.unwrap();
        }
        ids.extend(append(&one).await.unwrap().ids);
    }
    for _ in 0..3 {
        ids.extend(append(&session(&store, "two")).await.unwrap().ids);
    }
    ids
}

async fn tampered(change: impl FnOnce(&mut WriteTables<'_>)) -> (Arc<RedbStore>, Vec<Id>) {
    let disk = Disk::default();
    let ids = fill(&disk).await;
    disk.tamper(&options(), |tables, _| change(tables));
    (disk.open(&options()).unwrap(), ids)
}

fn place(tables: &mut WriteTables<'_>, number: u64, change: impl FnOnce(&mut Place)) {
    let mut place = tables.place_at(number).unwrap();
    change(&mut place);
    tables.places.replace(number, &place_row::pack(&place).unwrap()).unwrap();
}

fn is_corrupt<T: std::fmt::Debug>(outcome: &Result<T>, of: &str) {
    assert!(matches!(outcome, Err(Error::Corrupt { what, .. }) if *what == of), "{outcome:?}");
}

#[tokio::test]
async fn a_path_under_another_parent_is_never_answered() {
    let (store, ids) =
        tampered(|tables| place(tables, 2, |it| (it.parent, it.jump) = (Some(0), 0))).await;
    is_corrupt(&store.path(ids[2], 0..9).await, "place");
    is_corrupt(&store.tail(ids[2]).await, "place");
    is_corrupt(&store.context(ids[2]).await, "place");
    assert!(store.path(ids[2], 1..9).await.is_ok(), "the entry itself is whole");
    assert!(store.context(ids[5]).await.is_ok());
}

#[tokio::test]
async fn a_walk_that_would_not_end_is_an_error() {
    let (store, ids) = tampered(|tables| place(tables, 4, |it| it.depth = 7)).await;
    is_corrupt(&store.path(ids[5], 0..9).await, "place");
    let (store, ids) = tampered(|tables| place(tables, 4, |it| it.parent = Some(4))).await;
    is_corrupt(&store.path(ids[5], 0..9).await, "place");
    // The row of a place so much further down: what it points to is beyond the first.
    let (store, ids) = tampered(|tables| place(tables, 3, |it| it.number += 1 << 16)).await;
    is_corrupt(&store.measure(ids[3]).await, "place");
    assert!(store.measure(ids[2]).await.is_ok());
}

#[tokio::test]
async fn a_change_that_needs_a_damaged_row_fails_and_leaves_no_trace() {
    let (store, ids) = tampered(|tables| place(tables, 5, |it| it.number = 4)).await;
    let (one, two) = (session(&store, "one"), session(&store, "two"));
    let before = store.stats().await.unwrap();
    is_corrupt(&append(&two).await, "place");
    assert_eq!(store.stats().await.unwrap(), before);
    append(&one).await.unwrap();
    two.rewind(Some(ids[4]), Expect::Any).await.unwrap_err();
    assert_eq!(store.stats().await.unwrap().entries, before.entries + 1);
}

#[tokio::test]
async fn a_damaged_body_cannot_be_erased_and_the_others_of_the_same_change_stay() {
    let (store, ids) = tampered(|tables| {
        let mut frame = tables.frame_at(4).unwrap().bytes().to_vec();
        *frame.last_mut().unwrap() ^= 1;
        tables.entries.replace(4, &frame).unwrap();
    })
    .await;
    let erase = |entries| {
        let (session, by, reason) = ("one".into(), "me".into(), "old".into());
        store.erase(Erasure { session, entries, by, reason, at_ms: 1 })
    };
    let refused = erase(vec![ids[3], ids[4]]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    let body = store.entries(&ids[3..4]).await.unwrap().remove(0).unwrap();
    assert!(body.entry.body().is_some());
    // The same entry twice is one tombstone, and one that is erased already none.
    let erased = erase(vec![ids[3], ids[3], ids[5]]).await.unwrap();
    assert_eq!((erased.erased, erased.tombstones.len()), (vec![ids[3], ids[5]], 2));
    let again = erase(vec![ids[5], ids[2]]).await.unwrap();
    assert_eq!((again.erased, again.tombstones.len()), (vec![ids[2]], 1));
}

#[tokio::test]
async fn an_undo_of_what_comes_later_is_damage() {
    let disk = Disk::default();
    fill(&disk).await;
    disk.tamper(&options(), |tables, _| {
        let number = tables.journal.end().unwrap() - 1;
        let mut row: JournalRow = {
            let chunk = tables.journal.chunk(number).unwrap().unwrap();
            encode::unpack("journal", chunk.get(number).unwrap()).unwrap()
        };
        row.reason = Reason::Undo(number);
        tables.journal.replace(number, &encode::pack(&row).unwrap()).unwrap();
    });
    let store = disk.open(&options()).unwrap();
    is_corrupt(&session(&store, "two").undo().await, "journal");
    session(&store, "one").undo().await.unwrap();
}

#[tokio::test]
async fn a_store_of_another_version_is_refused_by_that_name() {
    let disk = Disk::default();
    fill(&disk).await;
    disk.tamper(&options(), |tables, _| {
        let (format, epoch, secret) = (FORMAT + 1, [1; 16], [2; 32]);
        tables.put_identity(&Identity { format, epoch, secret, created_ms: 3 }).unwrap();
    });
    let refused = disk.open(&options()).unwrap_err();
    assert!(
        matches!(refused, Error::Format { found, supported } if (found, supported) == (FORMAT + 1, FORMAT)),
        "{refused}"
    );
}

#[tokio::test]
async fn what_is_no_store_is_refused_and_left_as_it_is() {
    let disk = Disk::default();
    fill(&disk).await;
    let whole = disk.bytes();
    // Too short for the first page, for the log, for anything behind it; no store; another length of the log.
    let first_page = whole[..4_096].to_vec();
    let mut other_log = whole.clone();
    other_log[12] ^= 1;
    let other_magic = [b"t".repeat(8), whole[8..].to_vec()].concat();
    let cut_before_redb = whole[..4_096 + (64 << 10)].to_vec();
    let all = [vec![7; 100], first_page, other_log, other_magic, cut_before_redb];
    for (nth, bytes) in all.into_iter().enumerate() {
        let disk = Disk::of(bytes.clone());
        assert_eq!(disk.open(&options()).unwrap_err().kind(), ErrorKind::Corrupt, "{nth}");
        assert!(disk.bytes() == bytes, "{nth} was written to");
    }
}
