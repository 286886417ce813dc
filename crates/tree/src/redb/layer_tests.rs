//! What lies between redb and the bytes passes every call on, and adds what it is there for and nothing else.

use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use redb::backends::InMemoryBackend;
use redb::{BackendError, StorageBackend};

use super::ahead::Ahead;
use super::direct::Direct;
use super::layout::Region;
use super::shelter::Shelter;
use super::switch::{Switch, Switched};

/// Bytes in memory that note what they are told.
#[derive(Clone, Debug, Default)]
struct Told(Arc<(InMemoryBackend, Mutex<Vec<String>>)>);

impl Told {
    fn note(&self, call: String) -> &InMemoryBackend {
        self.0.1.lock().unwrap().push(call);
        &self.0.0
    }

    /// What it was told since it was asked last.
    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.0.1.lock().unwrap())
    }

    /// Where the writes among these calls begin and end.
    fn writes(&self) -> Vec<(u64, u64)> {
        let range = |call: &String| {
            let (at, len) = call.strip_prefix("write ")?.split_once(' ')?;
            let at = at.parse::<u64>().ok()?;
            Some((at, at + len.parse::<u64>().ok()?))
        };
        self.calls().iter().filter_map(range).collect()
    }
}

macro_rules! tells_locks {
    ($($name:ident -> $answer:ty = $value:expr;)*) => {
        $(fn $name(&self, _: Bound<u64>, _: Bound<u64>) -> Result<$answer, BackendError> {
            self.note(stringify!($name).to_owned());
            Ok($value)
        })*
    };
}

impl StorageBackend for Told {
    fn len(&self) -> io::Result<u64> {
        self.note("len".to_owned()).len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.note(format!("read {offset} {}", out.len())).read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.note(format!("set_len {len}")).set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.note("sync_data".to_owned());
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.note(format!("write {offset} {}", data.len())).write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.note("close".to_owned());
        Ok(())
    }

    tells_locks! {
        try_lock_range -> bool = true;
        try_lock_shared_range -> bool = true;
        lock_range -> () = ();
        lock_shared_range -> () = ();
        unlock_range -> () = ();
        query_lock_range -> bool = true;
    }
}

const LOCKS: [&str; 6] = [
    "try_lock_range",
    "try_lock_shared_range",
    "lock_range",
    "lock_shared_range",
    "unlock_range",
    "query_lock_range",
];

fn locks(layer: &dyn StorageBackend) {
    let all = (Bound::Unbounded, Bound::Unbounded);
    assert!(layer.try_lock_range(all.0, all.1).unwrap());
    assert!(layer.try_lock_shared_range(all.0, all.1).unwrap());
    layer.lock_range(all.0, all.1).unwrap();
    layer.lock_shared_range(all.0, all.1).unwrap();
    layer.unlock_range(all.0, all.1).unwrap();
    assert!(layer.query_lock_range(all.0, all.1).unwrap());
}

/// Calls all there is to call; the bytes are as long, and hold what was written.
fn calls(layer: &dyn StorageBackend) {
    layer.set_len(9_000).unwrap();
    layer.write(10, b"said").unwrap();
    let mut out = [0; 4];
    layer.read(10, &mut out).unwrap();
    assert_eq!((&out, layer.len().unwrap()), (b"said", 9_000));
    layer.sync_data().unwrap();
    locks(layer);
    layer.close().unwrap();
}

#[test]
fn layers_pass_all_on_and_a_region_further_back() {
    let told = Told::default();
    let mut layers: Vec<(u64, Box<dyn StorageBackend>)> = vec![
        (0, Box::new(Switched::new(Box::new(told.clone()), Switch::default()))),
        (4_096, Box::new(Region { backend: Arc::new(told.clone()), start: 4_096 })),
    ];
    let region = Region { backend: Arc::new(told.clone()), start: 4_096 };
    layers.push((4_096, Box::new(Direct::new(region, Switch::default(), None))));
    layers.push((0, Box::new(super::turn::Turn::new(Box::new(told.clone())))));
    for (start, layer) in layers {
        calls(&*layer);
        let begin = [
            format!("set_len {}", 9_000 + start),
            format!("write {} 4", 10 + start),
            format!("read {} 4", 10 + start),
            "len".to_owned(),
            "sync_data".to_owned(),
        ];
        let expected = begin.into_iter().chain(LOCKS.map(str::to_owned));
        let expected: Vec<String> = expected.chain(["close".to_owned()]).collect();
        assert_eq!(told.calls(), expected, "from {start}");
    }
}

#[test]
fn a_switch_that_is_cut_passes_on_nothing_but_the_end() {
    let (told, switch) = (Told::default(), Switch::default());
    let layer = Switched::new(Box::new(told.clone()), switch.clone());
    switch.cut();
    assert!(layer.set_len(10).is_err() && layer.len().is_err() && layer.sync_data().is_err());
    assert!(layer.write(0, b"x").is_err() && layer.read(0, &mut [0]).is_err());
    layer.close().unwrap();
    assert_eq!(told.calls(), ["close"]);
}

#[test]
fn a_shelter_changes_nothing_below_it_and_takes_shared_locks_alone() {
    let told = Told::default();
    told.set_len(5_000).unwrap();
    let layer = Shelter::new(Box::new(told.clone())).unwrap();
    told.calls();
    calls(&layer);
    let changes = ["set_len", "write", "sync_data"];
    let below = told.calls();
    assert!(!below.iter().any(|call| changes.iter().any(|change| call.starts_with(change))));
    let tail = [
        "try_lock_shared_range",
        "try_lock_shared_range",
        "lock_shared_range",
        "lock_shared_range",
        "unlock_range",
        "query_lock_range",
        "close",
    ];
    assert_eq!(below[below.len() - tail.len()..], tail);
}

#[test]
fn who_may_write_after_another_process_makes_what_that_one_wrote_durable_first() {
    let told = Told::default();
    let layer = super::turn::Turn::new(Box::new(told.clone()));
    let took_over = ["lock_range", "len", "read 0 320", "write 0 320", "sync_data"];
    let turn = |first: u64| {
        told.calls();
        layer.lock_range(Bound::Included(first), Bound::Included(first)).unwrap();
        told.calls()
    };
    let writer = 1 << 62;
    told.set_len(319).unwrap();
    assert_eq!(turn(writer), took_over[..2], "nothing is there yet");
    told.set_len(320).unwrap();
    assert_eq!(turn(writer), took_over[..3], "nothing was written yet");
    told.set_len(4_096).unwrap();
    told.write(0, &[5; 320]).unwrap();
    assert_eq!(turn(7), took_over[..1], "of another lock");
    assert_eq!(turn(writer), took_over);
    assert_eq!(turn(writer), took_over[..3], "that is durable by now");
    layer.write(0, &[6; 400]).unwrap();
    layer.write(1_000, &[7; 400]).unwrap();
    layer.write(0, &[6; 100]).unwrap();
    assert_eq!(turn(writer), took_over[..3], "nobody else wrote");
    told.write(319, b"x").unwrap();
    assert_eq!(turn(writer), took_over);
}

const MIB: u64 = 1 << 20;

/// Bytes in memory, and what writes ahead of what is used of them.
fn ahead() -> (Told, Ahead) {
    let told = Told::default();
    let layer = Ahead::new(Region { backend: Arc::new(told.clone()), start: 0 });
    layer.set_len(64 * MIB).unwrap();
    (told, layer)
}

fn reached(told: &Told) -> u64 {
    told.writes().into_iter().map(|(_, end)| end).max().unwrap()
}

#[test]
fn zeros_go_a_quarter_ahead_at_least_one_and_at_most_sixteen_mebibytes() {
    let (told, layer) = ahead();
    let ends = [(0, MIB + 1), (8 * MIB, 10 * MIB + 1), (36 * MIB, 45 * MIB + 1)];
    for (offset, end) in ends {
        layer.write(offset, b"x").unwrap();
        assert_eq!(reached(&told), end);
        layer.write(end - 4, b"last").unwrap();
        assert_eq!(told.writes(), [(end - 4, end)], "what was reached is written alone");
    }
    layer.write(63 * MIB, b"x").unwrap();
    assert_eq!(reached(&told), 64 * MIB, "no further than the file");
    let (told, layer) = ahead();
    layer.set_len(128 * MIB).unwrap();
    layer.write(100 * MIB, b"x").unwrap();
    assert_eq!(reached(&told), 116 * MIB + 1);
}

#[test]
fn zeros_go_over_zeros_alone_and_again_over_what_was_cut_off() {
    let (told, layer) = ahead();
    told.write(20 * MIB, b"kept").unwrap();
    told.calls();
    layer.write(20 * MIB - 10, b"x").unwrap();
    let writes = told.writes();
    let covers = |at: u64| writes.iter().any(|(from, end)| (*from..*end).contains(&at));
    assert!(!covers(20 * MIB) && !covers(20 * MIB + 100));
    assert!(covers(20 * MIB + 100_000) && !covers(20 * MIB - 11));
    layer.set_len(MIB).unwrap();
    layer.set_len(64 * MIB).unwrap();
    assert_eq!(told.calls(), [format!("set_len {MIB}"), format!("set_len {}", 64 * MIB)]);
    layer.write(2 * MIB, b"x").unwrap();
    assert_eq!(reached(&told), 3 * MIB + 1);
}

#[test]
fn what_writes_ahead_passes_all_else_on() {
    let (told, layer) = ahead();
    layer.sync_data().unwrap();
    locks(&layer);
    assert_eq!(layer.len().unwrap(), 64 * MIB);
    layer.close().unwrap();
    let calls = told.calls();
    assert_eq!(calls[1], "sync_data");
    assert_eq!(calls[2..8], LOCKS);
    assert_eq!(calls[8..], ["len", "close"]);
}
