//! Whatever is gathered, and wherever it goes, redb's bytes are what was written to them last: while they are gathered,
//! behind a sync, on a file that takes writes past the page cache, on one that refuses them
//! or does not show them, and where there is none.

use std::fs::{self, File, OpenOptions};
use std::io::Seek as _;
use std::iter::once;
use std::ops::Range;
use std::sync::Arc;

use proptest::prelude::*;
use redb::StorageBackend;
use redb::backends::FileBackend;

use super::direct::Direct;
use super::layout::{PAGE_BYTES, Region};
use super::switch::{Switch, Switched};
use super::test_disk::{Disk, Fails};

const PAGE: u64 = PAGE_BYTES as u64;
const MIB: u64 = 1 << 20;
/// As behind a log that ends in the middle of what the page cache may keep as one.
const START: u64 = 3 * PAGE;
/// Of redb, where a case begins.
const LEN: u64 = 10 * MIB;

/// A store's bytes, and the way to those of redb behind it.
struct Bytes {
    direct: Direct,
    below: Box<dyn Fn() -> Vec<u8>>,
}

fn on(disk: &Disk, switch: &Switch) -> Bytes {
    let backend = Arc::new(Switched::new(Box::new(disk.clone()), switch.clone()));
    let direct = Direct::new(Region { backend, start: START }, switch.clone(), None);
    direct.set_len(LEN).unwrap();
    let disk = disk.clone();
    Bytes { direct, below: Box::new(move || disk.bytes().split_off(place(0..START).end)) }
}

/// On a file that is opened another time like this.
fn on_file(again: &OpenOptions) -> (Bytes, Option<File>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let past = again.open(file.path()).ok();
    on_files(file, past)
}

fn on_files(file: tempfile::NamedTempFile, past: Option<File>) -> (Bytes, Option<File>) {
    let seen = past.as_ref().map(|past| past.try_clone().unwrap());
    let backend = Arc::new(FileBackend::new(file.reopen().unwrap()).unwrap());
    let direct = Direct::new(Region { backend, start: START }, Switch::default(), past);
    direct.set_len(LEN).unwrap();
    let below = move || fs::read(file.path()).unwrap().split_off(place(0..START).end);
    (Bytes { direct, below: Box::new(below) }, seen)
}

#[cfg(target_os = "linux")]
fn past_the_page_cache() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(rustix::fs::OFlags::DIRECT.bits().cast_signed());
    options
}

fn place(range: Range<u64>) -> Range<usize> {
    usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()
}

/// Pages beside each other differ, and so do two writes of one page.
fn content(range: Range<u64>, with: u8) -> Vec<u8> {
    range.map(|at| with.wrapping_add((at / 512 % 251) as u8)).collect()
}

#[derive(Clone, Debug)]
enum Call {
    Write(Range<u64>, u8),
    Read(Range<u64>),
    Sync,
    SetLen(u64),
}

/// Pages, long runs of them, and what is neither.
fn call() -> impl Strategy<Value = Call> {
    let range = |unit: u64, most: u64| {
        (0..LEN / unit, 1..most).prop_map(move |(at, len)| at * unit..(at + len) * unit)
    };
    prop_oneof![
        4 => (range(PAGE, 4), any::<u8>()).prop_map(|(range, with)| Call::Write(range, with)),
        4 => (range(PAGE, 500), any::<u8>()).prop_map(|(range, with)| Call::Write(range, with)),
        1 => (range(1, 3 * PAGE), any::<u8>()).prop_map(|(range, with)| Call::Write(range, with)),
        4 => range(1, MIB).prop_map(Call::Read),
        1 => Just(Call::Sync),
        1 => (LEN / 2 / PAGE..LEN / PAGE).prop_map(|pages| Call::SetLen(pages * PAGE)),
    ]
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    prop::collection::vec(call(), 1..40)
}

/// Every read finds what the same calls make of bytes in memory; so does who looks below after a sync.
fn is_as_told(bytes: &Bytes, calls: &[Call]) {
    let Bytes { direct, below } = bytes;
    let mut told = vec![0; place(0..LEN).end];
    for call in calls.iter().chain([&Call::Sync]) {
        let inside = |range: &Range<u64>| range.end <= told.len() as u64;
        match call {
            Call::Write(range, with) if inside(range) => {
                let data = content(range.clone(), *with);
                direct.write(range.start, &data).unwrap();
                told[place(range.clone())].copy_from_slice(&data);
            }
            Call::Read(range) if inside(range) => {
                let mut found = vec![1; place(range.clone()).len()];
                direct.read(range.start, &mut found).unwrap();
                assert!(found == told[place(range.clone())], "{range:?} differs");
            }
            Call::Sync => {
                direct.sync_data().unwrap();
                assert!(below() == told, "a sync left something else");
            }
            Call::SetLen(len) => {
                direct.set_len(*len).unwrap();
                told.resize(place(0..*len).end, 0);
            }
            Call::Write(..) | Call::Read(_) => {}
        }
        assert_eq!(direct.len().unwrap(), told.len() as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn bytes_are_as_told_without_a_file(calls in calls()) {
        is_as_told(&on(&Disk::default(), &Switch::default()), &calls);
    }

    #[test]
    fn bytes_are_as_told_where_the_file_refuses(calls in calls()) {
        is_as_told(&on_file(OpenOptions::new().read(true)).0, &calls);
    }

    #[test]
    fn bytes_are_as_told_where_writes_past_the_page_cache_are_not_found(calls in calls()) {
        let elsewhere = tempfile::tempfile().unwrap();
        is_as_told(&on_files(tempfile::NamedTempFile::new().unwrap(), Some(elsewhere)).0, &calls);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn bytes_are_as_told_past_the_page_cache(calls in calls()) {
        is_as_told(&on_file(&past_the_page_cache()).0, &calls);
    }
}

/// What goes past the page cache goes through a handle of its own, whose position tells.
#[test]
fn long_runs_of_a_large_sync_alone_go_past_the_page_cache() {
    // Any other handle does, as no file system is asked for anything here.
    let (Bytes { direct, .. }, seen) = on_file(OpenOptions::new().write(true));
    let mut seen = seen.unwrap();
    let mut wrote_to = |writes: &mut dyn Iterator<Item = Range<u64>>| {
        for range in writes {
            direct.write(range.start, &content(range, 1)).unwrap();
        }
        direct.sync_data().unwrap();
        seen.stream_position().unwrap().checked_sub(START)
    };
    assert_eq!(wrote_to(&mut once(3 * MIB..4 * MIB - PAGE)), None, "less than a mebibyte");
    assert_eq!(wrote_to(&mut once(0..MIB)), None, "next to the log");
    let short = (0..300).map(|nth| 3 * MIB + nth * 4 * PAGE);
    assert_eq!(wrote_to(&mut short.map(|at| at..at + 3 * PAGE)), None, "short runs");
    let ends = 5 * MIB + 4 * PAGE;
    // In any order, by the page.
    let pages = (4 * MIB / PAGE..ends / PAGE).rev().map(|nth| nth * PAGE..(nth + 1) * PAGE);
    assert_eq!(wrote_to(&mut pages.chain(once(9 * MIB..9 * MIB + PAGE))), Some(ends));
}

#[test]
fn what_could_not_be_written_fails_the_sync_and_comes_with_the_next() {
    let disk = Disk::default();
    let Bytes { direct, below } = on(&disk, &Switch::default());
    let (page, header) = (content(5 * PAGE..6 * PAGE, 1), content(10..20, 1));
    direct.write(5 * PAGE, &page).unwrap();
    disk.fails(Fails::Writes);
    assert!(direct.sync_data().is_err() && direct.set_len(LEN).is_err());
    // It would come before what was written earlier.
    assert!(direct.write(10, &header).is_err());
    let mut found = vec![0; PAGE_BYTES];
    direct.read(5 * PAGE, &mut found).unwrap();
    assert_eq!(found, page);
    disk.fails(Fails::Nothing);
    assert_eq!(below()[place(5 * PAGE..6 * PAGE)], [0; PAGE_BYTES]);
    direct.write(10, &header).unwrap();
    assert_eq!(below()[place(5 * PAGE..6 * PAGE)], page);
    disk.fails(Fails::NextSync);
    assert!(direct.sync_data().is_err());
    direct.sync_data().unwrap();
    assert_eq!(below()[10..20], header);
}

#[test]
fn what_was_gathered_is_not_written_once_the_store_is_cut_off() {
    let (disk, switch) = (Disk::default(), Switch::default());
    let Bytes { direct, .. } = on(&disk, &switch);
    direct.write(PAGE, &content(PAGE..3 * PAGE, 1)).unwrap();
    let before = disk.bytes();
    switch.cut();
    assert!(direct.sync_data().is_err() && direct.write(PAGE, &[1; PAGE_BYTES]).is_err());
    direct.close().unwrap();
    assert!(disk.bytes() == before, "something was written");
}
