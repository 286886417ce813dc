//! Which of two rows that contradict one another counts, and what is no row at all.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::sync::Arc;

use redb::StorageBackend as _;
use redb::backends::InMemoryBackend;

use super::*;
use crate::entry::{Body, Draft, Nonce};
use crate::error::Result;
use crate::redb::log::Log;
use crate::redb::redo::Redo;
use crate::store::{HeadMove, Reason};

pub(super) fn draft(kind: Kind, text: &str) -> Draft {
    Draft::new(kind, 5, Nonce([7; 16]), Body::new("text", text))
}

fn id(text: &str) -> Id {
    draft(Kind::User, text).id_under(None)
}

/// When a branch was where; nowhere where it was taken away.
fn at(salvage: &Salvage, session: u64, branch: &str) -> Option<(u64, Option<Vec<Id>>)> {
    let head = salvage.heads.get(&(session, branch.to_owned()))?;
    let at = head.at.as_ref().map(|at| match at {
        At::Entry(id) => vec![*id],
        At::Nothing | At::Number(_) => vec![],
    });
    Some((head.as_of, at))
}

fn journal(number: u64, entries: u64, to: Option<Id>, exists: bool) -> JournalRow {
    let moved = HeadMove { branch: "main".to_owned(), existed: true, exists, from: None, to };
    JournalRow {
        number,
        session: 3,
        previous_in_session: None,
        reason: Reason::Append,
        at_ms: 0,
        first_entry: 40,
        entries,
        moves: vec![moved],
        activated: None,
        before: [0; 32],
    }
}

#[test]
fn the_newest_row_of_the_journal_says_where_a_branch_is() {
    let (one, two) = (id("one"), id("two"));
    let mut salvage = Salvage::default();
    salvage.journal(journal(5, 1, Some(one), true));
    assert_eq!(at(&salvage, 3, "main"), Some((5, Some(vec![one]))));
    salvage.journal(journal(4, 1, Some(two), true));
    assert_eq!(at(&salvage, 3, "main"), Some((5, Some(vec![one]))), "an older one");
    salvage.journal(journal(6, 1, None, true));
    assert_eq!(at(&salvage, 3, "main"), Some((6, Some(vec![]))), "bound to nothing");
    salvage.journal(journal(7, 1, None, false));
    assert_eq!(at(&salvage, 3, "main"), Some((7, None)), "taken away");
    salvage.head(3, "main".to_owned(), 7, Some(At::Entry(two)));
    assert_eq!(at(&salvage, 3, "main"), Some((7, Some(vec![two]))), "as new, and read later");
}

#[test]
fn a_row_of_the_journal_without_entries_tells_of_no_run() {
    let mut salvage = Salvage::default();
    salvage.journal(journal(5, 0, None, true));
    assert!(salvage.runs.is_empty());
    salvage.journal(journal(6, 1, None, true));
    assert_eq!(salvage.runs.into_iter().collect::<Vec<_>>(), [(40, (1, 3))]);
}

#[test]
fn a_row_counts_under_its_own_number_alone() {
    let mut salvage = Salvage::default();
    let bytes = encode::pack(&journal(5, 1, None, true)).unwrap();
    assert!(!salvage.row(6, &bytes) && !salvage.row(5, &bytes[1..]) && salvage.heads.is_empty());
    assert!(salvage.row(5, &bytes));
    assert_eq!(at(&salvage, 3, "main"), Some((5, Some(vec![]))));
    let rows = [(5, &bytes[..]), (9, b"none")];
    assert!(salvage.rows(rows.into_iter()) && salvage.rows(rows.into_iter().rev()));
    assert!(!salvage.rows(std::iter::once((9, &bytes[..]))));
}

#[test]
fn the_newest_counters_and_sessions_count_and_of_equals_the_later() {
    let mut salvage = Salvage::default();
    let rows = [(5, 1, 1), (4, 2, 1), (5, 3, 3), (6, 4, 4)];
    for (journal_rows, entries, counted) in rows {
        salvage.counters(Counters { entries, journal_rows, ..Counters::default() });
        assert_eq!(salvage.counters.as_ref().map(|found| found.entries), Some(counted));
        let mut row = SessionRow::new(2, "one", 0, "main", 0);
        (row.last_journal, row.entries) = (journal_rows, entries);
        salvage.session(row);
        assert_eq!(salvage.sessions[&2].entries, counted);
    }
    assert_eq!(at(&salvage, 2, "main"), Some((6, None)), "without an active branch");
    let mut row = SessionRow::new(2, "one", 0, "main", 0);
    (row.last_journal, row.has_active) = (7, true);
    salvage.session(row);
    assert_eq!(at(&salvage, 2, "main"), Some((7, Some(vec![]))));
}

#[test]
fn a_session_is_one_under_its_number_and_with_names_that_are_names() {
    let row = SessionRow::new(2, "one", 0, "main", 0);
    let packed = |row: &SessionRow| encode::pack(row).unwrap();
    assert_eq!(session(2, &packed(&row)).as_ref(), Some(&row));
    assert_eq!(session(3, &packed(&row)), None);
    for (name, active) in [("", "main"), ("one", "")] {
        assert_eq!(session(2, &packed(&SessionRow::new(2, name, 0, active, 0))), None);
    }
}

#[test]
fn a_key_that_was_forgotten_stays_so_whatever_is_found_later() {
    let mut salvage = Salvage::default();
    salvage.key(1, b"wrapped");
    salvage.key(1, b"another");
    assert_eq!(salvage.keys[&1], b"wrapped");
    salvage.key(1, b"");
    salvage.key(1, b"wrapped");
    assert_eq!(salvage.keys[&1], b"");
}

#[test]
fn heads_beside_a_state_are_as_new_as_what_the_state_tells() {
    let mut salvage = Salvage::default();
    let mut seen = Seen::default();
    let key = |branch: &str| [&2_u64.to_be_bytes(), branch.as_bytes()].concat();
    salvage.named(&key("side"), &9_u64.to_be_bytes(), &mut seen);
    salvage.named(&key(""), &encode::pack(&SessionRow::new(3, "x", 0, "y", 0)).unwrap(), &mut seen);
    salvage.named(&key("bound to nothing"), b"", &mut seen);
    salvage.named(&key("of no length"), b"123", &mut seen);
    salvage.named(b"short", b"", &mut seen);
    assert!(!seen.recognized, "heads alone are no state, nor is a session under another number");
    let counters = Counters { journal_rows: 8, ..Counters::default() };
    let state = State { counters, ..State::default() };
    salvage.named(COUNTERS_KEY, &encode::pack(&state).unwrap(), &mut seen);
    assert!(seen.recognized && salvage.heads.is_empty());
    salvage.heads(seen);
    let found: Vec<_> = salvage.heads.keys().map(|(_, branch)| branch.as_str()).collect();
    assert_eq!(found, ["bound to nothing", "side"]);
    let head = &salvage.heads[&(2, "side".to_owned())];
    assert!(head.as_of == 7 && matches!(head.at, Some(At::Number(9))));
}

#[test]
fn an_entry_that_was_erased_hides_its_whole_state_and_keeps_the_number() {
    let whole = draft(Kind::User, "said").entry_under(None);
    let erased = whole.without_body();
    let mut salvage = Salvage::default();
    salvage.entry(&whole, 100, 10, Some(4));
    salvage.entry(&erased, 200, 20, None);
    salvage.entry(&whole, 300, 30, None);
    salvage.entry(&erased, 400, 40, Some(5));
    let found = &salvage.entries[&whole.id()];
    assert_eq!((found.offset, found.len, found.number, found.erased), (200, 20, Some(4), true));
    assert_eq!(salvage.numbers.get(&4), Some(&whole.id()));
    salvage.entry(&Entry::lost(id("lost"), None), 500, 50, Some(6));
    assert_eq!((salvage.entries.len(), salvage.numbers[&6]), (1, id("lost")));
}

#[test]
fn a_record_with_the_body_of_a_tombstone_tells_what_was_erased_and_nothing_else_does() {
    let tombstone = |kind, format: &str| {
        Draft::new(kind, 5, Nonce([7; 16]), Body::new(format, "{}")).target(id("said"))
    };
    let mut salvage = Salvage::default();
    for (kind, format) in [(Kind::Record, "text"), (Kind::Note, TOMBSTONE_FORMAT)] {
        salvage.entry(&tombstone(kind, format).entry_under(None), 0, 10, None);
    }
    assert!(salvage.erased.is_empty());
    salvage.entry(&tombstone(Kind::Record, TOMBSTONE_FORMAT).entry_under(None), 0, 10, None);
    assert_eq!(salvage.erased, [id("said")].into());
}

pub(super) fn raw(bytes: &[u8]) -> Raw {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Raw::new(file).unwrap()
}

/// A record of the log, without what fills its page.
fn record(noted: &[(Does, &[u8], &[u8])]) -> Vec<u8> {
    let mut redo = Redo::within(1 << 20, Vec::new());
    for (does, key, value) in noted {
        redo.note(*does, key, value);
    }
    let (record, backend) = (redo.into_record().unwrap(), InMemoryBackend::new());
    backend.set_len(1 << 20).unwrap();
    let len = record.len();
    let mut log = Log::new(Arc::new(backend), 0..1 << 20, false, 1);
    log.append(record).write().unwrap();
    let mut written = log.spare();
    written.truncate(len);
    written
}

#[test]
fn a_record_alone_tells_everything_that_its_group_did() {
    let entry = draft(Kind::User, "said").entry_under(None);
    let frame = encode::frame(&entry, false, None);
    let identity = Identity { format: 1, epoch: [1; 16], secret: [2; 32], created_ms: 3 };
    let head = [&3_u64.to_be_bytes(), &b"side"[..]].concat();
    let number = |number: u64| number.to_le_bytes();
    let counters = Counters { entries: 41, journal_rows: 6, ..Counters::default() };
    let pack = |result: Result<Vec<u8>>| result.unwrap();
    let record = record(&[
        (Does::AppendsEntry, &number(40), &frame),
        // What is no journal row makes nothing as new as itself.
        (Does::AppendsPlace, &number(40), b"damaged"),
        (Does::AppendsJournal, &number(5), &pack(encode::pack(&journal(5, 1, None, true)))),
        (Does::PutsState, &head, &number(40)),
        (Does::PutsName, b"one", &number(3)),
        (Does::PutsMeta, IDENTITY_KEY, &pack(encode::pack(&identity))),
        (Does::PutsMeta, IDENTITY_KEY, b"damaged"),
        (Does::Counts, b"", &pack(encode::pack(&counters))),
    ]);
    for before in [0, 3] {
        let bytes = [&vec![0xee; before], &record[..]].concat();
        let (mut salvage, mut vain, mut raw) = (Salvage::default(), 0, raw(&bytes));
        let reached = salvage.record(&mut raw, before as u64, &mut vain).unwrap();
        assert_eq!((reached, vain), (Some(bytes.len() as u64), 0));
        let found = &salvage.entries[&entry.id()];
        let read = read_frame(&mut raw, found.offset, frame.len(), None).unwrap();
        assert_eq!((read, found.number), (Some(entry.clone()), Some(40)));
        assert_eq!(salvage.names, [(3, "one".to_owned())].into());
        assert_eq!(salvage.identity.as_ref().map(|found| found.secret), Some([2; 32]));
        assert_eq!(salvage.counters, Some(counters.clone()));
        assert_eq!(at(&salvage, 3, "side").map(|found| found.0), Some(5));
    }
}

#[test]
fn a_record_that_would_end_behind_the_file_costs_nothing() {
    let whole = record(&[(Does::PutsName, b"one", &3_u64.to_le_bytes())]);
    for before in [0, 200] {
        let bytes = [&vec![0xee; before], &whole[..whole.len() - 1]].concat();
        let (mut salvage, mut vain) = (Salvage::default(), 0);
        assert_eq!(salvage.record(&mut raw(&bytes), before as u64, &mut vain).unwrap(), None);
        assert!(vain == 0 && salvage.names.is_empty(), "{vain}");
    }
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let (mut salvage, mut vain) = (Salvage::default(), 0);
    assert_eq!(salvage.record(&mut raw(&damaged), 0, &mut vain).unwrap(), None);
    assert_eq!(vain, whole.len() as u64, "it was hashed in vain");
}

/// A chunk of these rows, beginning with so many and where each ends.
pub(super) fn chunk(rows: &[&[u8]]) -> Vec<u8> {
    let ends = rows.iter().scan(0, |end, row| {
        *end += u16::try_from(row.len()).unwrap();
        Some(*end)
    });
    let fields = std::iter::once(u16::try_from(rows.len()).unwrap()).chain(ends);
    fields.flat_map(u16::to_le_bytes).chain(rows.concat()).collect()
}

/// Leaves of redb's with one row: under a number, and under bytes.
pub(super) fn leaves(number: u64, chunk: &[u8], key: &[u8], value: &[u8]) -> [Vec<u8>; 2] {
    let end = |bytes: usize| u32::try_from(bytes).unwrap().to_le_bytes();
    let numbered = [&[1, 0, 1, 0][..], &end(16 + chunk.len()), &number.to_le_bytes(), chunk];
    let ends = [end(12 + key.len()), end(12 + key.len() + value.len())].concat();
    [numbered.concat(), [&[1, 0, 1, 0][..], &ends, key, value].concat()]
}

#[test]
fn a_leaf_tells_numbers_and_names_however_far_back_it_lies() {
    let entries = ["one", "two"].map(|text| draft(Kind::User, text).entry_under(None));
    let frames = entries.each_ref().map(|entry| encode::frame(entry, false, None));
    let rows = frames.each_ref().map(Vec::as_slice);
    let row = encode::pack(&SessionRow::new(3, "one", 3, "main", 0)).unwrap();
    let [numbered, named] = leaves(40, &chunk(&rows), &3_u64.to_be_bytes(), &row);
    let [damaged, _] = leaves(50, &chunk(&[rows[0], b"damaged"]), b"", b"");
    // Beyond the longest rows there are.
    for offset in [0, CHUNK_BYTES] {
        let mut file = tempfile::tempfile().unwrap();
        let mut salvaged = |leaf: &[u8]| {
            file.set_len(offset).unwrap();
            file.seek(SeekFrom::Start(offset)).unwrap();
            file.write_all(leaf).unwrap();
            let mut salvage = Salvage::default();
            let mut raw = Raw::new(file.try_clone().unwrap()).unwrap();
            let known = salvage.page(&mut raw, offset).unwrap();
            let numbers: BTreeMap<_, _> = salvage.numbers.into_iter().collect();
            (known.map(|known| known - offset), numbers, salvage.sessions.len())
        };
        let [one, two] = entries.each_ref().map(Entry::id);
        let end = Some(numbered.len() as u64);
        assert_eq!(salvaged(&numbered), (end, [(40, one), (41, two)].into(), 0));
        assert_eq!(salvaged(&named), (Some(0), [].into(), 1));
        assert_eq!(salvaged(&damaged), (None, [(50, one)].into(), 0), "there may be more");
    }
}

#[test]
fn a_crafted_head_of_a_frame_does_not_make_every_page_be_searched() {
    let found = encode::frame(&draft(Kind::User, "said").entry_under(None), false, None);
    let long =
        encode::frame(&draft(Kind::User, &"x".repeat(300_000)).entry_under(None), false, None);
    for (begin, expected) in [(&[][..], 1), (&long[..4_096], 0)] {
        let mut bytes = begin.to_vec();
        bytes.resize(4_096, 0);
        bytes.extend(&found);
        let salvage = scan(&mut raw(&bytes), &mut |_, _| {}).unwrap();
        assert_eq!(salvage.entries.len(), expected);
    }
}

/// A leaf of redb's whose keys are bytes and whose values are numbers.
fn leaf(rows: &[(&str, u64)]) -> Vec<u8> {
    let mut bytes = vec![1, 0];
    bytes.extend(u16::try_from(rows.len()).unwrap().to_le_bytes());
    let mut end = u32::try_from(4 + 4 * rows.len()).unwrap();
    for (key, _) in rows {
        end += u32::try_from(key.len()).unwrap();
        bytes.extend(end.to_le_bytes());
    }
    bytes.extend(rows.iter().flat_map(|(key, _)| key.bytes()));
    bytes.extend(rows.iter().flat_map(|(_, value)| value.to_le_bytes()));
    bytes
}

#[test]
fn a_leaf_of_names_names_sessions_whose_rows_are_gone() {
    let page = |rows: &[(&str, u64)]| {
        let mut bytes = leaf(rows);
        bytes.resize(4_096, 0);
        let mut salvage = Salvage::default();
        let known = salvage.page(&mut raw(&bytes), 0).unwrap();
        (known, salvage.names.into_iter().collect::<Vec<_>>())
    };
    let names = [(3, "one".to_owned()), (9, "two".to_owned())];
    assert_eq!(page(&[("one", 3), ("two", 9)]), (Some(0), names.into()));
    assert_eq!(page(&[("one", 3), ("no\0name", 9)]), (None, vec![]), "a page of something else");
    assert_eq!(page(&[]), (None, vec![]));
}
