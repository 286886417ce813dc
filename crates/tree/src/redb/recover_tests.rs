//! What `recover` makes of rows that are gone, contradict one another, or break a rule: one such thing at a time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use super::place_row;
use super::rows::SessionRow;
use super::tables::WriteTables;
use super::test_disk::Disk;
use super::{Options, RecoverReport, RecoveredSession, RedbStore};
use crate::encode;
use crate::encrypt::MasterKey;
use crate::entry::{Body, Content, Draft, Entry, Kind};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::message::Tombstone;
use crate::place::Place;
use crate::session::Session;
use crate::sources::Sources;
use crate::store::{Change, Expect, Move, Presence, Reason, Store, To};

fn options() -> Options {
    Options::new(Sources::fixed(1)).idle_checkpoint(None).log_bytes(4 << 10).write_ahead(false)
}

fn session(store: &Arc<RedbStore>, name: &str) -> Session {
    let seed = name.bytes().map(u64::from).sum();
    Session::new(Arc::clone(store) as _, name, Sources::fixed(seed))
}

fn draft(session: &Session, text: &str) -> Draft {
    session.draft(Kind::User, Body::new("text", text)).tokens(3)
}

async fn append(session: &Session, text: &str) -> Id {
    session.append(draft(session, text), Expect::Any).await.unwrap().ids[0]
}

/// A damaged file and what is made of it.
struct Case {
    folder: TempDir,
    disk: Disk,
}

impl Case {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), disk: Disk::default() }
    }

    fn new_path(&self) -> PathBuf {
        self.folder.path().join("into")
    }

    fn try_recover(&self, options: &Options) -> Result<RecoverReport> {
        let damaged = self.folder.path().join("damaged");
        std::fs::write(&damaged, self.disk.bytes()).unwrap();
        RedbStore::recover(&damaged, self.new_path(), options, &mut |_, _| {})
    }

    async fn recover(&self, options: &Options) -> (Arc<RedbStore>, RecoverReport) {
        let report = self.try_recover(options).unwrap();
        let store = Arc::new(RedbStore::open(self.new_path(), options.clone()).unwrap());
        let verified = store.verify().await.unwrap();
        assert_eq!((verified.problems, verified.lost), (vec![], report.lost));
        (store, report)
    }
}

async fn heads(store: &RedbStore, session: &str) -> Vec<(String, Option<Id>)> {
    let branches = store.branches(session, None, 100).await.unwrap();
    branches.into_iter().map(|branch| (branch.name, branch.head)).collect()
}

fn owned(heads: &[(&str, Option<Id>)]) -> Vec<(String, Option<Id>)> {
    heads.iter().map(|(name, head)| ((*name).to_owned(), *head)).collect()
}

#[tokio::test]
async fn branches_come_back_bound_unbound_or_not_at_all_as_they_were_left() {
    let case = Case::new();
    let store = case.disk.open(&options()).unwrap();
    let one = session(&store, "one");
    let first = append(&one, "first").await;
    one.fork_branch("taken away", first).await.unwrap();
    one.undo().await.unwrap();
    one.fork_branch("before the first", first).await.unwrap();
    one.rewind(None, Expect::Any).await.unwrap();
    one.switch("main").await.unwrap();
    let empty = session(&store, "empty");
    append(&empty, "rewound").await;
    empty.rewind(None, Expect::Any).await.unwrap();
    drop((store, one, empty));
    let (store, report) = case.recover(&options()).await;
    assert_eq!((report.entries, report.lost), (2, 0));
    let counts =
        |found: &RecoveredSession| (found.entries, found.branches, found.recovered_branches);
    let told: BTreeMap<&str, _> =
        report.sessions.iter().map(|found| (found.name.as_str(), counts(found))).collect();
    assert_eq!(told, [("one", (1, 2, 0)), ("empty", (1, 1, 1))].into());
    let expected = [("before the first", None), ("main", Some(first))];
    assert_eq!(heads(&store, "one").await, owned(&expected));
    let path = store.path(first, 0..9).await.unwrap();
    assert_eq!((path.len(), path[0].place.tokens, report.guessed_tokens), (1, 3, 0));
    // What was rewound hangs on a branch of its own.
    let found = heads(&store, "empty").await;
    assert_eq!(found[0], ("main".to_owned(), None));
    assert!(found.len() == 2 && found[1].0 == "recovered-1" && found[1].1.is_some(), "{found:?}");
    assert_eq!(store.session("one").await.unwrap().active, "main");
}

#[tokio::test]
async fn names_that_recovery_itself_would_give_are_left_to_those_that_have_them() {
    let case = Case::new();
    let store = case.disk.open(&options()).unwrap();
    let one = session(&store, "recovered");
    let first = append(&one, "first").await;
    let rewound = append(&one, "rewound").await;
    one.rewind(Some(first), Expect::Any).await.unwrap();
    one.fork_branch("recovered-1", first).await.unwrap();
    drop((store, one));
    let (store, _) = case.recover(&options()).await;
    let sessions = store.sessions(None, 9).await.unwrap();
    assert_eq!(sessions.len(), 1);
    let name = &sessions[0].name;
    assert!(name.starts_with("recovered-session-0"), "{name}");
    let expected =
        [("main", Some(first)), ("recovered-1", Some(first)), ("recovered-2", Some(rewound))];
    assert_eq!(heads(&store, name).await, owned(&expected));
}

#[tokio::test]
async fn a_key_is_needed_for_an_encrypted_store_whose_wrapped_secret_is_lost() {
    let sealed = |options: Options| options.encrypt(Arc::new(MasterKey::new([5; 32])));
    let case = Case::new();
    let store = case.disk.open(&sealed(options())).unwrap();
    let id = append(&session(&store, "one"), "a secret").await;
    drop(store);
    case.disk.change(|bytes| {
        for at in 0..bytes.len() - 6 {
            if bytes[at..].starts_with(b"master") {
                bytes[at..at + 6].copy_from_slice(b"masker");
            }
        }
    });
    let refused = case.try_recover(&options()).unwrap_err();
    assert!(matches!(refused, Error::Key { .. }), "{refused}");
    assert!(!case.new_path().exists());
    let (store, report) = case.recover(&sealed(options())).await;
    assert_eq!(report.lost, 0);
    let entry = store.entries(&[id]).await.unwrap().remove(0).unwrap().entry;
    assert_eq!(entry.body(), Some(&Body::new("text", "a secret")));
}

/// Puts an entry behind the last one as an append does, but for what an append would refuse.
fn smuggle(tables: &mut WriteTables<'_>, number: u64, entry: &Entry) {
    let row: SessionRow = tables.session_named("one").unwrap().unwrap();
    let place: Place = Place {
        number,
        id: entry.id(),
        parent: Some(number - 1),
        session: row.number,
        kind: entry.envelope().kind,
        ..tables.place_at(number - 1).unwrap()
    };
    tables.append_entry(number, &encode::frame(entry, false, None)).unwrap();
    tables.append_place(number, &place_row::pack(&place).unwrap()).unwrap();
    tables.entries.settle().unwrap();
}

#[tokio::test]
async fn a_body_that_a_tombstone_names_stays_away_wherever_it_turns_up() {
    let case = Case::new();
    let store = case.disk.open(&options()).unwrap();
    let one = session(&store, "one");
    let (secret, kept) = (append(&one, "a secret").await, append(&one, "no secret").await);
    let (by, reason) = ("me".to_owned(), "asked for".to_owned());
    let body = Tombstone { by, at_ms: 1, reason }.body();
    // The tombstone is there and the body too, as where only an older page shows the entry.
    let tombstone = one.draft(Kind::Record, body).target(secret).entry_under(Some(kept));
    drop((store, one));
    case.disk.tamper(&options(), |tables, _| smuggle(tables, 2, &tombstone));
    let (store, report) = case.recover(&options()).await;
    assert_eq!((report.entries, report.erased), (3, 1));
    let found = store.entries(&[secret, kept, tombstone.id()]).await.unwrap();
    let bodies: Vec<bool> =
        found.into_iter().map(|stored| stored.unwrap().entry.body().is_some()).collect();
    assert_eq!(bodies, [false, true, true]);
}

#[tokio::test]
async fn what_is_whole_and_breaks_a_rule_is_named_and_a_stand_in_takes_its_place() {
    let case = Case::new();
    let store = case.disk.open(&options()).unwrap();
    let one = session(&store, "one");
    let elsewhere = append(&one, "on another path").await;
    one.rewind(None, Expect::Any).await.unwrap();
    let parent = append(&one, "parent").await;
    let pin = one.draft(Kind::Pin, Body::new("text", "")).target(elsewhere);
    let child = draft(&one, "child");
    drop((store, one));
    let pin = pin.entry_under(Some(parent));
    let child = child.entry_under(Some(pin.id()));
    case.disk.tamper(&options(), |tables, _| {
        smuggle(tables, 2, &pin);
        smuggle(tables, 3, &child);
    });
    let (store, report) = case.recover(&options()).await;
    assert_eq!((report.entries, report.lost, report.lost_ids), (3, 1, vec![pin.id()]));
    let named = report.gone.iter().filter(|gone| gone.contains(&pin.id().to_string())).count();
    assert_eq!(named, 1, "{:?}", report.gone);
    let path = store.path(child.id(), 0..9).await.unwrap();
    let contents = path.iter().map(|stored| matches!(stored.entry.content(), Content::Lost));
    assert_eq!(contents.collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(path[1].entry.id(), pin.id());
    drop(store);
    // Recovered once more it is what it was: stand-ins stay stand-ins.
    let again = Case::new();
    again.disk.change(|bytes| *bytes = std::fs::read(case.new_path()).unwrap());
    let (store, report) = again.recover(&options()).await;
    assert_eq!((report.entries, report.lost, report.lost_ids), (3, 1, vec![pin.id()]));
    assert_eq!(store.path(child.id(), 0..9).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_session_in_a_tree_of_another_keeps_its_aliases() {
    let case = Case::new();
    let store = case.disk.open(&options()).unwrap();
    let one = session(&store, "one");
    let aliased = draft(&one, "first").alias("a");
    let first = one.append(aliased.clone(), Expect::Any).await.unwrap().ids[0];
    let two = one.fork_session("two", first).await.unwrap();
    let second = append(&two, "second").await;
    drop((store, one, two));
    let (store, report) = case.recover(&options().merge_after(2)).await;
    assert_eq!((report.entries, report.sessions.len()), (2, 2));
    assert_eq!(store.with_alias("two", "a").await.unwrap(), Some(first));
    assert_eq!(heads(&store, "two").await, owned(&[("main", Some(second))]));
    let retried = session(&store, "two").append(aliased, Expect::Any).await.unwrap_err();
    assert_eq!(
        retried.kind(),
        crate::ErrorKind::Conflict,
        "under another parent it is another entry"
    );
}

#[tokio::test]
async fn a_session_without_a_branch_of_its_own_name_comes_back_with_one_that_it_has() {
    let case = Case::new();
    let store = case.disk.open(&options()).unwrap();
    let moved = Move { branch: Some("work".to_owned()), expect: Expect::Empty, to: To::Last };
    let one = session(&store, "one");
    let change = Change {
        presence: Presence::New,
        entries: vec![draft(&one, "first")],
        moves: vec![moved],
        ..Change::new("one", Reason::Append, 1)
    };
    let id = store.commit(change).await.unwrap().ids[0];
    drop((store, one));
    let (store, _) = case.recover(&options()).await;
    let info = store.session("one").await.unwrap();
    assert_eq!((info.active.as_str(), info.head, info.branches), ("work", Some(id), 1));
}

#[tokio::test]
async fn what_lies_before_the_cut_of_a_file_comes_back() {
    let case = Case::new();
    let store = case.disk.open(&options()).unwrap();
    let mut ids = Vec::new();
    for nth in 0..60 {
        ids.push(append(&session(&store, "one"), &format!("<entry {nth:03}>")).await);
    }
    drop(store);
    let whole = case.disk.bytes();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
    // In the middle of a page, and within what a record's head or a leaf's needs.
    for cut in [used / 2, used * 3 / 4, used / 8_192 * 4_096 + 30, used / 8_192 * 4_096 + 3] {
        let cut =
            Case { folder: tempfile::tempdir().unwrap(), disk: Disk::of(whole[..cut].to_vec()) };
        let (store, report) = cut.recover(&options()).await;
        let bytes = cut.disk.bytes();
        assert_eq!(report.bytes, bytes.len() as u64);
        for (nth, id) in ids.iter().enumerate() {
            let needle = format!("<entry {nth:03}>");
            // Before the body a frame has its head, of less than so many bytes.
            let is_there = bytes
                .windows(needle.len())
                .enumerate()
                .any(|(at, window)| window == needle.as_bytes() && at % 4_096 > 300);
            let found = store.entries(&[*id]).await.unwrap().remove(0);
            let has_body = found.is_some_and(|stored| stored.entry.body().is_some());
            assert!(has_body || !is_there, "{nth} of {report:?}");
        }
    }
}

#[tokio::test]
async fn what_a_lost_head_stands_on_needs_no_branch_of_its_own() {
    let case = Case::new();
    let store = case.disk.open(&options()).unwrap();
    let one = session(&store, "one");
    append(&one, "first").await;
    let lost = append(&one, "<lost>").await;
    drop((store, one));
    case.disk.change(|bytes| {
        for at in 0..bytes.len() - 6 {
            if bytes[at..].starts_with(b"<lost>") {
                bytes[at + 1] ^= 1;
            }
        }
    });
    let (store, report) = case.recover(&options()).await;
    assert_eq!((report.entries, report.lost_ids), (1, vec![lost]));
    assert_eq!(heads(&store, "one").await, owned(&[("main", Some(lost))]));
}
