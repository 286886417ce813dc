//! One row at a time is made to contradict the others: `verify` names that, and nothing besides.

use std::sync::Arc;

use super::Options;
use super::place_row;
use super::rows::{Counters, IndexKey, SessionRow, id_hash, index_key};
use super::tables::WriteTables;
use super::test_disk::Disk;
use crate::encode;
use crate::entry::{Body, Draft, Kind};
use crate::id::Id;
use crate::place::{Number, Place};
use crate::session::Session;
use crate::sources::Sources;
use crate::store::{Erasure, Expect, JournalRow, Store};
use crate::verify::Problem;

fn options() -> Options {
    Options::new(Sources::fixed(1)).idle_checkpoint(None).log_bytes(64 << 10).merge_after(2)
}

struct Said {
    session: Session,
    ids: Vec<Id>,
}

impl Said {
    async fn append(&mut self, alias: Option<&str>) {
        let draft = self.session.draft(Kind::User, Body::new("text", "said")).tokens(10);
        let draft = alias.into_iter().fold(draft, Draft::alias);
        self.ids.extend(self.session.append(draft, Expect::Any).await.unwrap().ids);
    }
}

/// Entries 0 to 4 and rows 0 to 7 are of `one`; entries 5 and 6 and rows 8 and 9 of `two`. Answers the ids.
async fn fill(disk: &Disk) -> Vec<Id> {
    let store: Arc<dyn Store> = disk.open(&options()).unwrap();
    let one = Session::new(Arc::clone(&store), "one", Sources::fixed(2));
    let mut said = Said { session: one, ids: Vec::new() };
    said.append(Some("a")).await;
    said.append(None).await;
    said.session.fork_branch("side", said.ids[1]).await.unwrap();
    said.append(None).await;
    said.session.rewind(None, Expect::Any).await.unwrap();
    said.append(None).await;
    said.append(None).await;
    said.session.rewind(Some(said.ids[2]), Expect::Any).await.unwrap();
    said.session = Session::new(store, "two", Sources::fixed(3));
    said.append(Some("b")).await;
    said.append(None).await;
    said.ids
}

type Tables<'t> = WriteTables<'t>;

fn place(tables: &mut Tables<'_>, number: Number, change: impl FnOnce(&mut Place)) {
    let mut place = tables.place_at(number).unwrap();
    change(&mut place);
    tables.places.replace(number, &place_row::pack(&place).unwrap()).unwrap();
}

fn session(tables: &mut Tables<'_>, number: u64, change: impl FnOnce(&mut SessionRow)) {
    let mut row = tables.session_at(number).unwrap();
    change(&mut row);
    tables.put_session(&row).unwrap();
}

/// Changes the newest row of the journal, which is of `two`, and has the session's hash agree with it.
fn newest(tables: &mut Tables<'_>, change: impl FnOnce(&mut JournalRow)) {
    let number = tables.journal.end().unwrap() - 1;
    let mut row: JournalRow = {
        let chunk = tables.journal.chunk(number).unwrap().unwrap();
        encode::unpack("journal", chunk.get(number).unwrap()).unwrap()
    };
    let before = row.before;
    change(&mut row);
    let bytes = encode::pack(&row).unwrap();
    tables.journal.replace(number, &bytes).unwrap();
    session(tables, 1, |row| row.journal_root = encode::chained(&before, &bytes));
}

fn id_key(tables: &Tables<'_>, number: Number) -> IndexKey {
    index_key(id_hash(&tables.place_at(number).unwrap().id), number)
}

type Planted =
    (&'static str, fn(&mut Tables<'_>, &mut Counters), &'static [(&'static str, &'static str)]);

async fn finds(planted: &[Planted]) {
    let sound = Disk::default();
    let ids = fill(&sound).await;
    for (what, plant, expected) in planted {
        let disk = sound.copy();
        disk.tamper(&options(), plant);
        let store = disk.open(&options()).unwrap();
        let name = |name: String| {
            let known = ids.iter().position(|id| id.to_string() == name);
            known.map_or(name, |number| format!("#{number}"))
        };
        let told = |problems: Vec<Problem>| -> Vec<(String, String)> {
            problems.into_iter().map(|problem| (problem.what, name(problem.name))).collect()
        };
        let found = told(store.verify().await.unwrap().problems);
        // The scrub finds the same of single entries.
        let of_entries = |(what, name): &&(String, String)| {
            what == "entry" && name.parse::<u64>().is_ok() || name.starts_with('#')
        };
        let scrubbed = told(store.scrub(100).await.unwrap().problems);
        assert!(scrubbed.iter().eq(found.iter().filter(of_entries)), "{what}: {scrubbed:?}");
        let found: Vec<_> = found.iter().map(|(what, name)| (&**what, &**name)).collect();
        assert_eq!(found, *expected, "{what}");
    }
}

#[tokio::test]
async fn counters_against_the_rows_they_count() {
    finds(&[
        ("nothing", |_, _| {}, &[]),
        (
            "an entry too many",
            |_, counters| counters.entries += 1,
            &[("counter", "entries"), ("counter", "places"), ("entry", "7"), ("journal", "end")],
        ),
        (
            "a row of the journal too many",
            |_, counters| counters.journal_rows += 1,
            &[("counter", "journal"), ("journal", "10")],
        ),
        (
            "a session too many",
            |_, counters| counters.sessions += 1,
            &[("counter", "session-names"), ("session", "2")],
        ),
    ])
    .await;
}

#[tokio::test]
async fn an_entry_against_its_place_and_the_index() {
    finds(&[
        (
            "another sum",
            |tables, _| place(tables, 2, |it| it.tokens_through += 1),
            &[("place", "#2")],
        ),
        (
            "another one before it in its session",
            |tables, _| place(tables, 2, |it| it.previous_in_session = None),
            &[("place", "#2")],
        ),
        (
            "the place it would have under another root",
            |tables, _| place(tables, 4, |it| (it.parent, it.jump, it.run) = (Some(0), 0, 0)),
            &[("place", "#4")],
        ),
        ("another tree", |tables, _| session(tables, 0, |row| row.tree = 1), &[("place", "#0")]),
        (
            "the place of another entry, and its id",
            |tables, _| {
                let id = tables.place_at(6).unwrap().id;
                place(tables, 5, |it| it.id = id);
            },
            // That of 6 leaves out whom it follows.
            &[("entry", "5"), ("entry", "6")],
        ),
        (
            "the place of another entry, and its number",
            |tables, _| place(tables, 6, |it| it.number = 5),
            &[("entry", "6"), ("session", "two"), ("head", "two")],
        ),
        (
            "another key in the index",
            |tables, _| {
                assert!(tables.ids.remove(id_key(tables, 0)));
                tables.ids.merge(&[[0xff; 13]]).unwrap();
            },
            &[("index", "#0")],
        ),
        (
            "no key in the index",
            |tables, _| {
                assert!(tables.ids.remove(id_key(tables, 0)));
            },
            &[("index", "ids"), ("index", "#0")],
        ),
        (
            "all keys in the index, in the middle of a merge",
            |tables, _| {
                for number in 0..7 {
                    let key = id_key(tables, number);
                    tables.ids.merge(&[key]).unwrap();
                }
            },
            &[],
        ),
        (
            "more keys than entries",
            |tables, _| {
                for number in 0..8 {
                    tables.ids.merge(&[index_key(0, number)]).unwrap();
                }
            },
            &[("index", "ids")],
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_session_against_its_name_its_entries_and_its_journal() {
    finds(&[
        (
            "the name of another one",
            |tables, _| tables.names.insert(b"one".as_slice(), 1).unwrap(),
            &[("session", "one")],
        ),
        (
            "no name",
            |tables, _| tables.names.remove(b"two".as_slice()).unwrap(),
            &[("counter", "session-names"), ("session", "two")],
        ),
        (
            "no row: its tree and its journal are unknown",
            |tables, _| tables.remove_state(&1_u64.to_be_bytes()).unwrap(),
            &[("session", "1"), ("place", "#5"), ("journal", "8"), ("journal", "9")],
        ),
        (
            "an entry too many",
            |tables, _| session(tables, 0, |row| row.entries += 1),
            &[("session", "one"), ("session", "one")],
        ),
        (
            "another last entry",
            |tables, _| session(tables, 0, |row| row.last_entry = Some(3)),
            &[("session", "one"), ("session", "one")],
        ),
        (
            "last entries that only the journal has elsewhere",
            |tables, _| {
                for (number, of, previous) in [(4, 1, None), (5, 1, Some(4)), (6, 0, Some(3))] {
                    let moved = |place: &mut Place| {
                        (place.session, place.previous_in_session) = (of, previous);
                    };
                    place(tables, number, moved);
                }
                session(tables, 0, |row| row.last_entry = Some(6));
                session(tables, 1, |row| row.last_entry = Some(5));
            },
            &[("session", "one"), ("session", "two")],
        ),
        (
            "a branch too many",
            |tables, _| session(tables, 0, |row| row.branches += 1),
            &[("session", "one")],
        ),
        (
            "another last row",
            |tables, _| session(tables, 0, |row| row.last_journal -= 1),
            &[("session", "one")],
        ),
        (
            "another hash",
            |tables, _| session(tables, 0, |row| row.journal_root = [1; 32]),
            &[("session", "one")],
        ),
        (
            "a branch elsewhere",
            |tables, _| tables.put_head(0, "main", Some(0)).unwrap(),
            &[("head", "one")],
        ),
        (
            "a branch that is not there",
            |tables, _| tables.remove_head(0, "main").unwrap(),
            &[("head", "one"), ("session", "one")],
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_row_of_the_journal_against_the_ones_before_it() {
    finds(&[
        (
            "another first entry",
            |tables, _| newest(tables, |row| row.first_entry -= 1),
            &[("journal", "9"), ("journal", "end"), ("session", "two")],
        ),
        (
            "an entry too many",
            |tables, _| newest(tables, |row| row.entries += 1),
            &[("journal", "end"), ("session", "two")],
        ),
        (
            "an unknown session",
            |tables, _| newest(tables, |row| row.session = 5),
            &[("journal", "9"), ("head", "two"), ("session", "two")],
        ),
        (
            "another row before it",
            |tables, _| newest(tables, |row| row.previous_in_session = None),
            &[("journal", "9")],
        ),
        (
            "another hash before it",
            |tables, _| newest(tables, |row| row.before = [1; 32]),
            &[("journal", "9")],
        ),
        (
            "a branch that was elsewhere",
            |tables, _| newest(tables, |row| row.moves[0].from = None),
            &[("journal", "9")],
        ),
        (
            "a branch that was not there",
            |tables, _| newest(tables, |row| row.moves[0].existed = false),
            &[("journal", "9")],
        ),
        (
            "a branch that went elsewhere",
            |tables, _| newest(tables, |row| row.moves[0].to = row.moves[0].from),
            &[("head", "two")],
        ),
        (
            "a branch that was taken away",
            |tables, _| newest(tables, |row| row.moves[0].exists = false),
            &[("head", "two")],
        ),
        (
            "another active branch",
            |tables, _| newest(tables, |row| row.activated = Some(("main".into(), "side".into()))),
            &[("session", "two")],
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_broken_frame_is_one_problem_and_none_of_the_next_entry() {
    let disk = Disk::default();
    fill(&disk).await;
    disk.tamper(&options(), |tables, _| {
        let mut frame = tables.frame_at(5).unwrap().bytes().to_vec();
        *frame.last_mut().unwrap() ^= 1;
        tables.entries.replace(5, &frame).unwrap();
    });
    let store = disk.open(&options()).unwrap();
    let names = |problems: Vec<Problem>| -> Vec<_> {
        problems.into_iter().map(|problem| (problem.what, problem.name)).collect()
    };
    let expected = [("entry".to_owned(), "5".to_owned())];
    assert_eq!(names(store.verify().await.unwrap().problems), expected);
    assert_eq!(names(store.scrub(100).await.unwrap().problems), expected);
}

#[tokio::test]
async fn beyond_reading_them_one_by_one_problems_are_not_listed() {
    let disk = Disk::default();
    fill(&disk).await;
    disk.tamper(&options(), |_, counters| counters.journal_rows = 30_000);
    let report = disk.open(&options()).unwrap().verify().await.unwrap();
    assert_eq!((report.problems.len(), report.journal_rows), (10_000, 30_000));
}

#[tokio::test]
async fn what_is_whole_is_counted_and_no_problem() {
    let disk = Disk::default();
    fill(&disk).await;
    let report = disk.open(&options()).unwrap().verify().await.unwrap();
    let counts = (report.entries, report.sessions, report.journal_rows);
    assert_eq!((counts, report.erased, report.lost), ((7, 2, 10), 0, 0));
    assert_eq!(report.problems, []);
}

#[tokio::test]
async fn the_bytes_that_are_counted_are_those_of_the_entries_after_an_erasure_too() {
    let disk = Disk::default();
    let ids = fill(&disk).await;
    let store = disk.open(&options()).unwrap();
    let erasure = Erasure {
        session: "one".to_owned(),
        entries: vec![ids[1]],
        by: "me".to_owned(),
        reason: "asked for".to_owned(),
        at_ms: 7,
    };
    store.erase(erasure).await.unwrap();
    drop(store);
    disk.tamper(&options(), |tables, counters| {
        let bytes = |number| tables.frame_at(number).unwrap().bytes().len() as u64;
        assert_eq!(counters.stored_bytes, (0..counters.entries).map(bytes).sum::<u64>());
    });
}
