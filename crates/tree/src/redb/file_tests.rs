//! Files with a name: how one gets it, what becomes of one that is there already, and who is told to hold it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::file::{self, Place};
use super::publish::{self, Taken, rename_to_free};
use super::switch::Switch;
use super::{Durability, Options, RedbStore, Sharing};
use crate::entry::{Body, Kind};
use crate::error::{Error, ErrorKind, Result};
use crate::session::Session;
use crate::sources::Sources;
use crate::store::{Expect, Store};

fn publish(path: &Path, taken: Taken, bytes: &str) -> Result<()> {
    publish::publish(path, &Options::new(Sources::fixed(1)), taken, |temporary| {
        fs::write(temporary, bytes).unwrap();
        Ok(())
    })
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

#[test]
fn a_name_that_is_taken_stays_is_refused_or_gives_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    publish(&path, Taken::Refused, "first").unwrap();
    assert!(matches!(publish(&path, Taken::Refused, "second"), Err(Error::Exists { .. })));
    publish(&path, Taken::Stays, "third").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "first");
    publish(&path, Taken::Replaced, "fourth").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "fourth");
    assert_eq!(names(folder.path()), ["store"], "a temporary file is left");
}

#[test]
fn what_cannot_be_made_or_named_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let failed: Result<()> =
        publish::publish(&path, &Options::new(Sources::fixed(1)), Taken::Stays, |temporary| {
            fs::write(temporary, "half").unwrap();
            Err(Error::invalid("store", "not today"))
        });
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Invalid);
    let unmade: Result<()> =
        publish::publish(&path, &Options::new(Sources::fixed(1)), Taken::Stays, |_| Ok(()));
    assert_eq!(unmade.unwrap_err().kind(), ErrorKind::Storage);
    assert_eq!(names(folder.path()), [""; 0]);
    fs::create_dir(&path).unwrap();
    assert_eq!(publish(&path, Taken::Replaced, "x").unwrap_err().kind(), ErrorKind::Storage);
    assert_eq!(names(folder.path()), ["store"]);
}

fn options() -> Options {
    Options::new(Sources::fixed(1)).log_bytes(64 << 10)
}

#[test]
fn paths_that_are_no_files_and_files_that_are_no_stores_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &Path| RedbStore::open(path, options()).unwrap_err();
    assert_eq!(open(folder.path()).kind(), ErrorKind::Invalid);
    assert_eq!(open(&folder.path().join("none/store")).kind(), ErrorKind::Storage);
    let path = folder.path().join("text");
    fs::write(&path, "no store").unwrap();
    assert_eq!(open(&path).kind(), ErrorKind::Corrupt);
    let below = open(&path.join("below a file"));
    assert!(below.kind() == ErrorKind::Storage && below.to_string().contains("looking at"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "no store");
    let recovered =
        RedbStore::recover(folder.path().join("none"), &path, &options(), &mut |_, _| {});
    assert_eq!(recovered.unwrap_err().kind(), ErrorKind::Conflict);
    let into = folder.path().join("into");
    let recovered =
        RedbStore::recover(folder.path().join("none"), into, &options(), &mut |_, _| {});
    assert_eq!(recovered.unwrap_err().kind(), ErrorKind::Storage);
}

#[cfg(unix)]
#[test]
fn a_store_is_for_its_owner_alone_and_is_never_made_through_a_link() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("store"), folder.path().join("link"));
    drop(RedbStore::open(&path, options()).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert_eq!(RedbStore::open(&link, options()).unwrap_err().kind(), ErrorKind::Invalid);
}

#[cfg(unix)]
#[test]
fn a_store_of_another_user_is_refused_and_the_note_goes_through_no_link() {
    let folder = tempfile::tempdir().unwrap();
    let (path, victim) = (folder.path().join("store"), folder.path().join("victim"));
    let note = folder.path().join(".store.pid");
    fs::write(&victim, "theirs").unwrap();
    std::os::unix::fs::symlink(&victim, &note).unwrap();
    let store = RedbStore::open(&path, options()).unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "theirs");
    assert!(fs::symlink_metadata(&note).unwrap().is_file());
    drop(store);
    assert!(fs::symlink_metadata(&note).is_err(), "the note is still there");
    if std::os::unix::fs::chown(&path, Some(12_345), None).is_err() {
        println!("skipped: this user may give no files away");
        return;
    }
    let refused = RedbStore::open(&path, options()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(refused.to_string().contains("belongs to user 12345"), "{refused}");
}

#[cfg(any(target_os = "linux", target_vendor = "apple"))]
#[test]
fn without_links_a_name_that_is_taken_is_left_alone_too() {
    let folder = tempfile::tempdir().unwrap();
    let [one, other, name] = ["one", "other", "name"].map(|name| folder.path().join(name));
    fs::write(&one, "one").unwrap();
    fs::write(&other, "other").unwrap();
    rename_to_free(&one, &name).unwrap();
    let refused = rename_to_free(&other, &name).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(&name).unwrap(), "one");
    assert!(other.exists() && !one.exists());
}

/// Beyond any process that there is.
#[cfg(target_os = "linux")]
const GONE: u32 = u32::MAX;

#[cfg(target_os = "linux")]
#[test]
fn the_note_of_who_holds_a_store_names_who_is_there_and_goes_with_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let note = folder.path().join(".store.pid");
    let own = std::process::id();
    let parent = std::os::unix::process::parent_id();
    drop(RedbStore::open(&path, options()).unwrap());
    let held = file::open(&Place::File(path.clone()), &options(), &Switch::default()).unwrap();
    let locked = |text: &str| {
        fs::write(&note, text).unwrap();
        match RedbStore::open(&path, options()) {
            Err(Error::Locked { pid, .. }) => pid,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(locked(&format!("{GONE}\nno number\n{own}\n")), Some(own));
    assert_eq!(locked("nobody"), None);
    drop(held);
    fs::write(&note, format!("{GONE}\n{parent}")).unwrap();
    file::note_pid(&path, Sharing::Writers);
    assert_eq!(fs::read_to_string(&note).unwrap(), format!("{parent}\n{own}"));
    file::note_pid(&path, Sharing::Writers);
    file::remove_pid(&path);
    assert_eq!(fs::read_to_string(&note).unwrap(), format!("{parent}\n{own}"));
    file::remove_pid(&path);
    assert_eq!(fs::read_to_string(&note).unwrap(), parent.to_string());
    file::note_pid(&path, Sharing::Exclusive);
    assert_eq!(fs::read_to_string(&note).unwrap(), own.to_string());
    file::remove_pid(&path);
    assert!(!note.exists());
}

#[tokio::test]
async fn stats_tell_how_long_the_file_is_and_a_store_shows_nothing_of_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = RedbStore::open(&path, options()).unwrap();
    let file_bytes = store.stats().await.unwrap().file_bytes;
    assert!(file_bytes > 0 && file_bytes == fs::metadata(&path).unwrap().len());
    assert_eq!(format!("{store:?}"), "RedbStore(..)");
    let memory = RedbStore::in_memory(options()).unwrap();
    assert_eq!(memory.stats().await.unwrap().file_bytes, 0);
}

#[cfg(unix)]
#[tokio::test]
async fn nothing_is_acknowledged_that_went_to_a_file_without_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    for durability in [Durability::Logged, Durability::TwoPhase, Durability::None] {
        let _ = fs::remove_file(&path);
        drop(RedbStore::open(&path, options()).unwrap());
        let (backup, aside) = (folder.path().join("backup"), folder.path().join("aside"));
        fs::copy(&path, &backup).unwrap();
        let store = Arc::new(RedbStore::open(&path, options().durability(durability)).unwrap());
        let session = Session::new(Arc::clone(&store) as _, "one", Sources::fixed(2));
        let append = async |text: &str| {
            let draft = session.draft(Kind::User, Body::new("text", text));
            session.append(draft, Expect::Any).await
        };
        let first = append("first").await.unwrap().ids[0];
        fs::rename(&path, &aside).unwrap();
        for replaced in [false, true] {
            if replaced {
                fs::rename(&backup, &path).unwrap();
            }
            for text in ["second", "third"] {
                let refused = append(text).await.unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::Storage);
                assert!(refused.to_string().contains("was replaced or removed"), "{refused}");
                let read = store.entries(&[first]).await.unwrap();
                assert!(read[0].is_some(), "what was acknowledged cannot be read");
                assert_eq!(session.head().await.unwrap(), Some(first));
            }
            assert_eq!(path.exists(), replaced, "a store was made in its place");
        }
        // Put back, it goes on.
        fs::rename(&aside, &path).unwrap();
        let fourth = append("fourth").await.unwrap().ids[0];
        drop((session, store));
        let store = RedbStore::open(&path, options()).unwrap();
        assert!(store.entries(&[first, fourth]).await.unwrap().iter().all(Option::is_some));
        assert_eq!(store.verify().await.unwrap().problems, []);
    }
}
