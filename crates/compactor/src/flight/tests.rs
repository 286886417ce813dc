//! Who is aboard, who leaves, and what becomes of the flight.

use tokio::sync::mpsc;

use super::*;

fn key(branch: &str) -> Key {
    (1, "desk".to_owned(), branch.to_owned())
}

fn done() -> CompactionResult {
    CompactionResult::skipped(5, crate::SkipReason::Empty)
}

/// Flights whose work waits until the test ends it.
struct Airport {
    flights: Arc<Flights>,
    began: mpsc::UnboundedSender<Arc<Flight>>,
    begun: mpsc::UnboundedReceiver<Arc<Flight>>,
}

impl Airport {
    fn new() -> Self {
        let (began, begun) = mpsc::unbounded_channel();
        Self { flights: Arc::default(), began, begun }
    }

    fn join(&self, branch: &str, on_drop: OnDrop) -> Handle {
        let began = self.began.clone();
        self.flights.join(key(branch), on_drop, |flight| async move {
            began.send(Arc::clone(&flight)).unwrap();
            flight.stopped().await;
        })
    }

    /// The next flight that begins its work.
    async fn next(&mut self) -> Arc<Flight> {
        self.begun.recv().await.unwrap()
    }

    /// Waits until nothing flies under that key.
    async fn over(&self, branch: &str) {
        while self.flights.board(&key(branch)).is_some() {
            tokio::task::yield_now().await;
        }
    }
}

fn is_cancelled(result: &Result<CompactionResult>) -> bool {
    matches!(result, Err(Error::Cancelled))
}

#[tokio::test]
async fn who_comes_second_joins_and_another_branch_has_its_own() {
    let mut airport = Airport::new();
    let [mut one, mut two] = [OnDrop::Cancel; 2].map(|on_drop| airport.join("main", on_drop));
    let flight = airport.next().await;
    let side = airport.join("side", OnDrop::Cancel);
    assert_eq!(airport.next().await.key, key("side"));
    assert!(airport.begun.try_recv().is_err(), "two branches, two flights");
    flight.end(Ok(done()));
    for handle in [&mut one, &mut two] {
        assert_eq!(handle.result().await.unwrap(), done());
    }
    airport.over("main").await;
    assert!(airport.flights.board(&key("side")).is_some());
    drop(side);
}

#[tokio::test]
async fn the_last_one_to_leave_stops_it_and_the_next_begins_anew() {
    let mut airport = Airport::new();
    let [one, mut two] = [OnDrop::Cancel; 2].map(|on_drop| airport.join("main", on_drop));
    let flight = airport.next().await;
    let mut onlooker = two.another();
    assert!(!one.cancel(), "another one waits");
    assert!(airport.flights.board(&key("main")).is_some(), "and others may join");
    assert!(flight.reached(Progress::Summarizing { entries: 1, tokens: 1 }));
    assert!(two.leave());
    assert!(!two.leave(), "one leaves once");
    assert!(is_cancelled(&onlooker.result().await));
    assert!(!flight.reached(Progress::Landing), "what was stopped writes nothing");
    // The task of the one that was stopped ends late, and takes nothing from who came after.
    let next = airport.join("main", OnDrop::Cancel);
    let began = airport.next().await;
    assert!(!Arc::ptr_eq(&began, &flight));
    drop((two, onlooker));
    while Arc::strong_count(&flight) > 1 {
        tokio::task::yield_now().await;
    }
    let mut boarded = airport.flights.board(&key("main")).unwrap();
    began.end(Ok(done()));
    assert_eq!(boarded.result().await.unwrap(), done());
    drop(next);
}

#[tokio::test]
async fn an_onlooker_waits_and_stops_nothing() {
    let mut airport = Airport::new();
    let handle = airport.join("main", OnDrop::Cancel);
    let flight = airport.next().await;
    let mut onlooker = airport.flights.board(&key("main")).unwrap();
    assert!(!handle.another().cancel());
    drop(handle.another());
    assert!(flight.reached(Progress::Planning));
    assert!(handle.cancel(), "the one who came to have it");
    assert!(is_cancelled(&onlooker.result().await));
    assert!(airport.flights.board(&key("main")).is_none());
}

#[tokio::test]
async fn who_detaches_lets_it_fly_on() {
    let mut airport = Airport::new();
    airport.join("main", OnDrop::Cancel).detach();
    drop(airport.join("side", OnDrop::Detach));
    for _ in 0..2 {
        let flight = airport.next().await;
        assert!(flight.reached(Progress::Landing), "{:?}", flight.key);
    }
}

#[tokio::test]
async fn what_is_being_written_is_not_stopped_but_does_not_begin_again() {
    let mut airport = Airport::new();
    for lands in [true, false] {
        let handle = airport.join("main", OnDrop::Cancel);
        let flight = airport.next().await;
        let mut onlooker = handle.another();
        assert!(flight.reached(Progress::Landing));
        assert!(!handle.cancel());
        assert!(flight.reached(Progress::Landing), "it is tried again");
        if lands {
            flight.end(Ok(done()));
            flight.end(Err(Error::Aborted));
            assert_eq!(onlooker.result().await.unwrap(), done(), "the first word counts");
        } else {
            assert!(!flight.reached(Progress::Planning), "nobody wants another plan");
            assert!(is_cancelled(&onlooker.result().await));
        }
        airport.over("main").await;
    }
}

#[tokio::test]
async fn a_task_that_died_is_told_and_the_key_is_free() {
    let airport = Airport::new();
    let mut handle = airport.flights.join(key("main"), OnDrop::Cancel, |_| async {});
    assert!(matches!(handle.result().await, Err(Error::Aborted)));
    assert!(airport.flights.board(&key("main")).is_none());
    assert_eq!(handle.next_progress().await, Progress::Done, "at once");
}

#[tokio::test]
async fn every_step_is_told() {
    let mut airport = Airport::new();
    let mut handle = airport.join("main", OnDrop::Cancel);
    let flight = airport.next().await;
    let steps = [Progress::Summarizing { entries: 2, tokens: 9 }, Progress::Landing];
    for step in steps {
        assert!(flight.reached(step.clone()));
        assert_eq!((handle.next_progress().await, handle.progress()), (step.clone(), step));
    }
    flight.end(Ok(done()));
    assert_eq!(handle.next_progress().await, Progress::Done);
}
