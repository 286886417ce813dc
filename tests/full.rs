//! A store whose queue is full: as many callers are taken on as there are places, the next one waits and is not
//! refused, who goes away gives the place back, and what was taken on is written whoever goes away.
//!
//! Callers are polled by hand, outside of any runtime: one would hold back a task that asks so often in a row.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use tests::sim_disk::{Faults, SimDisk};
use tokio::runtime::Runtime;
use treering_tree::limits::QUEUED_CHANGES;
use treering_tree::{
    Body, Committed, Expect, Kind, Options, RedbStore, Result, Session, Sources, Store,
};

type Caller = Pin<Box<dyn Future<Output = Result<Committed>>>>;

/// A session in a store on a disk that can be held.
struct Busy {
    runtime: Runtime,
    disk: SimDisk,
    session: Session,
}

impl Busy {
    fn on(disk: &SimDisk) -> Self {
        let options = Options::new(Sources::fixed(1)).idle_checkpoint(None);
        let store = Arc::new(RedbStore::with_backend(disk.factory(), options).unwrap());
        let session = Session::new(store as Arc<dyn Store>, "one", Sources::fixed(2));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self { runtime, disk: disk.clone(), session }
    }

    /// Callers of these numbers that have asked one after the other, and wait: the first one's change is held at
    /// the disk, so that no place is given back.
    fn asked(&self, numbers: std::ops::Range<usize>) -> Vec<Caller> {
        let mut look = Context::from_waker(Waker::noop());
        self.disk.hold();
        let first = numbers.start;
        let asked = |number: usize| {
            let session = self.session.clone();
            let draft = session.draft(Kind::User, Body::new("text", number.to_string()));
            let mut caller: Caller =
                Box::pin(async move { session.append(draft, Expect::Any).await });
            assert!(caller.as_mut().poll(&mut look).is_pending(), "{number} was answered");
            if number == first {
                self.disk.wait_until_held(|| false);
            }
            caller
        };
        numbers.map(asked).collect()
    }

    /// The numbers of the callers whose entries are there, in their order.
    fn written(&self) -> Vec<usize> {
        let replay = async { self.session.replay().await.unwrap().collect().await.unwrap() };
        let number = |bytes: &[u8]| std::str::from_utf8(bytes).unwrap().parse().unwrap();
        let path = self.runtime.block_on(replay);
        path.iter().map(|stored| number(&stored.entry.body().unwrap().bytes)).collect()
    }
}

#[test]
fn a_full_queue_takes_on_so_many_and_lets_the_next_one_wait() {
    let disk = SimDisk::new(Vec::new(), Faults::default());
    let busy = Busy::on(&disk);
    let mut expected = Vec::new();
    // Again and again: whatever became of a caller, its place is there for the next one.
    for round in 0..2 {
        let first = round * 2 * QUEUED_CHANGES;
        let mut callers = busy.asked(first..first + QUEUED_CHANGES + 3);
        let late = callers.split_off(QUEUED_CHANGES);
        let [gives_up, is_given_a_place, waits] = <[Caller; 3]>::try_from(late).ok().unwrap();
        // It has no place yet, and waits no more: never taken on. The last one that has a place is.
        drop(gives_up);
        drop(callers.pop());
        disk.release();
        for caller in callers {
            busy.runtime.block_on(caller).unwrap();
        }
        // A place was given to it, which it does not take.
        drop(is_given_a_place);
        busy.runtime.block_on(waits).unwrap();
        expected.extend(first..first + QUEUED_CHANGES);
        expected.push(first + QUEUED_CHANGES + 2);
    }
    assert!(busy.written() == expected, "not those that were taken on");
}

#[test]
fn what_was_taken_on_is_written_though_all_callers_and_the_handle_go_away() {
    let disk = SimDisk::new(Vec::new(), Faults::default());
    let busy = Busy::on(&disk);
    drop(busy.asked(0..QUEUED_CHANGES + 1));
    std::thread::scope(|scope| {
        let closing = scope.spawn(|| drop(busy));
        disk.release();
        closing.join().unwrap();
    });
    let expected: Vec<usize> = (0..QUEUED_CHANGES).collect();
    assert!(Busy::on(&disk).written() == expected, "not those that were taken on");
}
