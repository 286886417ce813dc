//! Records in order, torn and damaged ones, older fillings, and the blocks ahead of the last.

use redb::backends::InMemoryBackend;

use super::*;

const BYTES: u64 = 16 * PAGE;

/// Bytes before the log, which it must leave alone.
const START: u64 = PAGE;

fn log(backend: &Arc<InMemoryBackend>, generation: u64) -> Log {
    Log::new(Arc::clone(backend) as _, START..START + BYTES, true, generation)
}

fn backend() -> Arc<InMemoryBackend> {
    let backend = InMemoryBackend::new();
    backend.set_len(START + BYTES + PAGE).unwrap();
    Arc::new(backend)
}

fn record(len: usize, byte: u8) -> Vec<u8> {
    [vec![0; HEAD_BYTES], vec![byte; len]].concat()
}

fn all(log: &mut Log) -> io::Result<Vec<(u64, Vec<u8>)>> {
    let mut records = Vec::new();
    while let Some((number, record)) = log.read()? {
        records.push((number, record[HEAD_BYTES..].to_vec()));
    }
    Ok(records)
}

/// Lengths below, at and above what fills a page.
const LENS: [usize; 5] = [1, PAGE_BYTES - HEAD_BYTES, PAGE_BYTES, 0, 9_000];

fn filled(backend: &Arc<InMemoryBackend>, generation: u64) -> Vec<(u64, Vec<u8>)> {
    let mut log = log(backend, generation);
    for (number, len) in LENS.into_iter().enumerate() {
        log.append(record(len, b'a' + u8::try_from(number).unwrap())).write().unwrap();
        log.sync().unwrap();
    }
    let records = LENS.into_iter().zip(b'a'..).map(|(len, byte)| vec![byte; len]);
    (0..).zip(records).collect()
}

#[test]
fn what_was_appended_is_read_in_order_and_what_follows_goes_behind_it() {
    let backend = backend();
    let expected = filled(&backend, 7);
    let mut again = log(&backend, 7);
    assert_eq!(all(&mut again).unwrap(), expected);
    again.append(record(5, b'z')).write().unwrap();
    let last = all(&mut log(&backend, 7)).unwrap().pop();
    assert_eq!(last, Some((LENS.len() as u64, vec![b'z'; 5])));
    let mut untouched = [1; PAGE_BYTES];
    backend.read(0, &mut untouched).unwrap();
    assert_eq!(untouched, [0; PAGE_BYTES]);
    backend.read(START + BYTES, &mut untouched).unwrap();
    assert_eq!(untouched, [0; PAGE_BYTES]);
}

#[test]
fn memory_of_a_record_is_used_again() {
    let mut log = log(&backend(), 1);
    log.append(record(1, 1)).write().unwrap();
    let spare = log.spare();
    assert!(spare.capacity() >= PAGE_BYTES && log.spare().capacity() == 0);
}

#[test]
fn a_late_sync_says_nothing_of_the_next_filling() {
    let mut log = log(&backend(), 1);
    let mut late = log.append(record(1, 1));
    late.write().unwrap();
    log.restart(2);
    log.append(record(1, 2)).write().unwrap();
    late.sync().unwrap();
    assert!(!log.is_synced());
    log.sync().unwrap();
    assert!(log.is_synced());
}

#[test]
fn an_older_filling_is_never_read() {
    let backend = backend();
    filled(&backend, 7);
    assert_eq!(all(&mut log(&backend, 8)).unwrap(), []);
    let mut anew = log(&backend, 7);
    all(&mut anew).unwrap();
    anew.restart(8);
    anew.append(record(1, b'n')).write().unwrap();
    // The record behind it is number 1 too, of the filling before.
    assert_eq!(all(&mut log(&backend, 8)).unwrap(), [(0, vec![b'n'])]);
}

#[test]
fn a_last_record_that_is_torn_is_no_record_and_a_damaged_one_before_others_is_an_error() {
    for (number, _) in LENS.into_iter().enumerate() {
        let backend = backend();
        let expected = filled(&backend, 3);
        let mut reader = log(&backend, 3);
        for _ in 0..number {
            reader.read().unwrap().unwrap();
        }
        // The hash: every record has one.
        backend.write(reader.at + HEAD_BYTES as u64 - 1, &[0xee]).unwrap();
        let read = all(&mut log(&backend, 3));
        if number + 1 == LENS.len() {
            assert_eq!(read.unwrap(), expected[..number]);
        } else {
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }
}

#[test]
fn records_that_were_never_synced_prove_nothing() {
    let backend = backend();
    let mut writer = log(&backend, 1);
    for byte in [1, 2, 3] {
        writer.append(record(10, byte)).write().unwrap();
    }
    assert!(!writer.is_synced());
    // Power was lost: the second never reached the disk, the third did.
    backend.write(START + PAGE, &[0; HEAD_BYTES]).unwrap();
    assert_eq!(all(&mut log(&backend, 1)).unwrap(), [(0, vec![1; 10])]);
}

#[test]
fn room_is_what_one_more_record_may_take() {
    let backend = backend();
    let mut log = log(&backend, 1);
    log.append(record(PAGE_BYTES, 1)).write().unwrap();
    let room = log.room();
    log.append(record(room - HEAD_BYTES, 2)).write().unwrap();
    assert_eq!((log.room(), log.is_used(1)), (0, true));
    assert_eq!(all(&mut self::log(&backend, 1)).unwrap().len(), 2);
}

#[test]
fn a_torn_record_is_an_error_only_where_a_later_one_vouches_for_it() {
    let backend = backend();
    let mut writer = log(&backend, 1);
    writer.append(record(10, 1)).write().unwrap();
    writer.sync().unwrap();
    for byte in [2, 3] {
        writer.append(record(10, byte)).write().unwrap();
    }
    // The third knows the first alone to be durable.
    backend.write(START + PAGE, &[0; HEAD_BYTES]).unwrap();
    assert_eq!(all(&mut log(&backend, 1)).unwrap(), [(0, vec![1; 10])]);
    backend.write(START, &[0; HEAD_BYTES]).unwrap();
    assert!(all(&mut log(&backend, 1)).is_err());
}

#[test]
fn a_record_that_ends_behind_the_log_is_none() {
    let backend = backend();
    let most = usize::try_from(BYTES).unwrap() - HEAD_BYTES;
    for (len, whole) in [(most, true), (most + 1, false), (most + 2 * HEAD_BYTES, false)] {
        let mut head = RecordHead { generation: 1, number: 0, synced: 0, len, hash: [0; 32] };
        head.hash = head.hash_of(&vec![7; len]);
        let bytes = [&head.fields()[..], &head.hash, &vec![7; len]].concat();
        backend.write(START, &bytes).unwrap();
        assert_eq!(all(&mut log(&backend, 1)).unwrap().len(), usize::from(whole), "{len}");
    }
}

#[test]
fn blocks_are_allocated_so_far_ahead_and_only_where_they_are_not() {
    let (size, range) = (4 * AHEAD_BYTES, START..3 * AHEAD_BYTES);
    let filled = |at: u64, backend: &InMemoryBackend| {
        let mut byte = [0];
        backend.read(at, &mut byte).unwrap();
        byte[0] == 0xee
    };
    for writes_ahead in [true, false] {
        let backend = Arc::new(InMemoryBackend::new());
        backend.set_len(size).unwrap();
        backend.write(0, &vec![0xee; usize::try_from(size).unwrap()]).unwrap();
        let mut log = Log::new(Arc::clone(&backend) as _, range.clone(), writes_ahead, 1);
        log.append(record(1, 1)).write().unwrap();
        let ahead = START + PAGE + AHEAD_BYTES;
        let found = [START - 1, START + PAGE, ahead - 1, ahead].map(|at| filled(at, &backend));
        assert_eq!(found, [true, !writes_ahead, !writes_ahead, true]);
        // What is allocated is not written again.
        log.append(record(usize::try_from(AHEAD_BYTES).unwrap() - HEAD_BYTES, 2)).write().unwrap();
        assert!(filled(ahead, &backend));
        log.append(record(1, 3)).write().unwrap();
        assert_eq!(filled(ahead + PAGE, &backend), !writes_ahead);
        // No further than the log.
        log.append(record(log.room() - 2 * PAGE_BYTES, 4)).write().unwrap();
        assert!(filled(range.end, &backend));
    }
}

#[test]
fn a_part_is_used_from_its_last_page_on() {
    let backend = backend();
    let mut log = log(&backend, 1);
    for used in 1..=16 {
        log.append(record(1, 1)).write().unwrap();
        let found = [1, 2, 4].map(|part| log.is_used(part));
        assert_eq!(found, [used == 16, used >= 8, used >= 4], "{used} pages");
    }
    log.restart(2);
    assert!(!log.is_used(16) && log.is_synced());
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_given_back_is_what_lies_behind_the_last_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let bytes = usize::try_from(START + BYTES + PAGE).unwrap();
    for writes_ahead in [true, false] {
        std::fs::write(&path, vec![0xee; bytes]).unwrap();
        let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        let backend = Arc::new(redb::backends::FileBackend::new(file).unwrap());
        let mut log = Log::new(backend, START..START + BYTES, writes_ahead, 1);
        log.append(record(5, 1)).write().unwrap();
        log.give_back(&path);
        let found = std::fs::read(&path).unwrap();
        let (before, behind) = found.split_at(PAGE_BYTES * 2);
        let (given, after) = behind.split_at(behind.len() - PAGE_BYTES);
        assert!(before[..PAGE_BYTES].iter().chain(after).all(|byte| *byte == 0xee));
        assert_eq!(before[PAGE_BYTES + HEAD_BYTES..][..5], [1; 5]);
        assert!(given.iter().all(|byte| *byte == 0), "a file system that takes no blocks back?");
        assert_eq!(found.len(), bytes);
    }
}
