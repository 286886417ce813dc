//! The core of group commit, compiled over the locks of two checkers that choose the schedule: `shuttle` draws
//! schedules at random, `loom` runs every one of a small case.
//!
//! Who is answered reads what it was answered for; who hears of a failure reads what became of it; nothing is
//! done twice, lost or left waiting, also where callers go away and the queue closes among them.

/// A schedule in which a bounded wait ends is one in which it ends at once: the lock is let go, others may run,
/// and time is up.
macro_rules! locks_of {
    ($library:ident) => {
        use std::sync::LockResult;
        pub(super) use std::sync::PoisonError;
        use std::time::Duration;
        pub(super) use $library::sync::atomic::{AtomicU64, Ordering};

        pub(super) struct Mutex<T>($library::sync::Mutex<T>);

        pub(super) struct MutexGuard<'m, T> {
            of: &'m Mutex<T>,
            held: $library::sync::MutexGuard<'m, T>,
        }

        impl<T> Mutex<T> {
            pub(super) fn new(value: T) -> Self {
                Self($library::sync::Mutex::new(value))
            }

            pub(super) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
                Ok(MutexGuard { of: self, held: self.0.lock().unwrap() })
            }
        }

        impl<T> std::ops::Deref for MutexGuard<'_, T> {
            type Target = T;

            fn deref(&self) -> &T {
                &self.held
            }
        }

        impl<T> std::ops::DerefMut for MutexGuard<'_, T> {
            fn deref_mut(&mut self) -> &mut T {
                &mut self.held
            }
        }

        pub(super) struct Condvar($library::sync::Condvar);

        pub(super) struct TimeIsUp;

        impl TimeIsUp {
            pub(super) fn timed_out(&self) -> bool {
                true
            }
        }

        impl Condvar {
            pub(super) fn new() -> Self {
                Self($library::sync::Condvar::new())
            }

            pub(super) fn notify_one(&self) {
                self.0.notify_one();
            }

            pub(super) fn notify_all(&self) {
                self.0.notify_all();
            }

            pub(super) fn wait<'m, T>(
                &self,
                guard: MutexGuard<'m, T>,
            ) -> LockResult<MutexGuard<'m, T>> {
                let MutexGuard { of, held } = guard;
                Ok(MutexGuard { of, held: self.0.wait(held).unwrap() })
            }

            pub(super) fn wait_timeout<'m, T>(
                &self,
                guard: MutexGuard<'m, T>,
                _: Duration,
            ) -> LockResult<(MutexGuard<'m, T>, TimeIsUp)> {
                let MutexGuard { of, held } = guard;
                drop(held);
                $library::thread::yield_now();
                Ok((of.lock().unwrap(), TimeIsUp))
            }
        }
    };
}

/// Writers, a committer and what they do to one another, over `sync`, `queue`, `group` and `sight` beside it.
macro_rules! writers_and_a_committer {
    ($library:ident) => {
        use std::time::Duration;

        use $library::sync::Arc;
        use $library::thread;

        use self::group::{Caller, Committer, serve};
        use self::queue::{Caps, Queue, Taken, Weight};
        use self::sight::Sight;
        use self::sync::{Condvar, Mutex};
        use super::{Case, Plant};

        type Answer = Result<u32, ()>;
        const ONE: Weight = Weight { entries: 1, bytes: 1 };

        /// A change, or none where somebody wants to read what was answered.
        type Request = (Option<u32>, Arc<Slot>);

        /// What a caller waits on.
        struct Slot {
            answer: Mutex<Option<Answer>>,
            given: Condvar,
        }

        impl Slot {
            fn wait(&self) -> Answer {
                let mut answer = self.answer.lock().unwrap();
                loop {
                    match answer.take() {
                        Some(answer) => return answer,
                        None => answer = self.given.wait(answer).unwrap(),
                    }
                }
            }
        }

        impl Caller<Answer> for Arc<Slot> {
            fn answer(self, answer: Answer) {
                let before = self.answer.lock().unwrap().replace(answer);
                assert!(before.is_none(), "answered twice");
                self.given.notify_one();
            }
        }

        /// What is durable, and what readers see of it.
        struct Disk {
            durable: Mutex<Vec<u32>>,
            visible: Mutex<Vec<u32>>,
            sight: Sight,
        }

        struct Store {
            disk: Arc<Disk>,
            case: Case,
            groups: u32,
        }

        impl Store {
            fn publish(&self) {
                let durable = self.disk.durable.lock().unwrap().clone();
                *self.disk.visible.lock().unwrap() = durable;
            }

            fn show(&self) {
                self.publish();
                self.disk.sight.shows(0);
            }
        }

        impl Committer<u32, Answer> for Store {
            type Failure = ();

            fn commit(&mut self, changes: Vec<u32>) -> Result<Vec<Answer>, ()> {
                self.groups += 1;
                if self.case.plant == Plant::StaleRead {
                    // Readers are given the state before this one.
                    self.publish();
                }
                let fails = self.case.failing_group == Some(self.groups);
                // A group that fails may have become durable all the same.
                if !fails || self.case.failure_is_durable {
                    self.disk.durable.lock().unwrap().extend(&changes);
                }
                if fails {
                    return Err(());
                }
                if self.case.waits_to_show {
                    self.disk.sight.answers();
                } else {
                    if self.case.plant != Plant::StaleRead {
                        self.publish();
                    }
                    self.disk.sight.shows(1);
                    self.disk.sight.answers();
                }
                Ok(changes.into_iter().map(Ok).collect())
            }

            fn tidy(&mut self) {
                // As when a round is full.
                if self.case.waits_to_show && self.groups.is_multiple_of(2) {
                    self.show();
                }
            }

            fn recover(&mut self, (): ()) -> Box<dyn Fn() -> Answer> {
                self.show();
                Box::new(|| Err(()))
            }
        }

        fn committer(queue: &Queue<Request>, mut store: Store) {
            let caps = Caps { entries: store.case.batch, bytes: 100 };
            loop {
                match queue.take(caps, None) {
                    Taken::Batch(batch) => {
                        let (mut changes, mut callers) = (Vec::new(), Vec::new());
                        for (change, caller) in batch {
                            if let Some(change) = change {
                                changes.push(change);
                                callers.push(caller);
                            } else {
                                store.show();
                                caller.answer(Ok(0));
                            }
                        }
                        if changes.is_empty() {
                            continue;
                        }
                        if store.case.plant == Plant::EarlyAnswer {
                            for (change, caller) in changes.iter().zip(callers) {
                                caller.answer(Ok(*change));
                            }
                            let _ = store.commit(changes);
                        } else {
                            serve(&mut store, queue, changes, callers);
                        }
                    }
                    Taken::Idle => panic!("nobody was patient"),
                    Taken::Closed => return,
                }
            }
        }

        /// What one writer saw: changes done, refused by the closed queue, and of unknown outcome.
        #[derive(Default)]
        struct Seen {
            done: Vec<u32>,
            refused: Vec<u32>,
        }

        fn slot() -> Arc<Slot> {
            Arc::new(Slot { answer: Mutex::new(None), given: Condvar::new() })
        }

        /// What anybody reads now; where not everything is shown, the committer is asked.
        fn read(queue: &Queue<Request>, disk: &Disk, case: Case) -> Vec<u32> {
            if case.plant != Plant::Unasked && !disk.sight.shows_all() {
                let shown = slot();
                if queue.put(ONE, (None, Arc::clone(&shown))).is_ok() {
                    let _ = shown.wait();
                }
            }
            disk.visible.lock().unwrap().clone()
        }

        fn writer(queue: &Queue<Request>, disk: &Disk, number: u32, case: Case) -> Seen {
            let mut seen = Seen::default();
            for nth in 0..case.appends {
                let change = number * 100 + nth;
                let slot = slot();
                if queue.put(ONE, (Some(change), Arc::clone(&slot))).is_err() {
                    seen.refused.push(change);
                    continue;
                }
                if case.leaves == Some((number, nth)) {
                    continue;
                }
                let answer = slot.wait();
                let durable = disk.durable.lock().unwrap().contains(&change);
                let visible = read(queue, disk, case).contains(&change);
                match answer {
                    Ok(done) => {
                        assert_eq!(done, change, "answered for another");
                        assert!(durable, "answered before it was durable");
                        assert!(visible, "answered before it could be read");
                        seen.done.push(change);
                    }
                    Err(()) => {
                        assert_eq!(durable, visible, "read something else than what became of it")
                    }
                }
            }
            seen
        }

        pub(super) fn run(case: Case) {
            let queue = Arc::new(Queue::new(Duration::from_millis(1)));
            let (durable, visible) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
            let disk = Arc::new(Disk { durable, visible, sight: Sight::new() });
            let store = Store { disk: Arc::clone(&disk), case, groups: 0 };
            let committing = {
                let queue = Arc::clone(&queue);
                thread::spawn(move || committer(&queue, store))
            };
            let writing: Vec<_> = (0..case.writers)
                .map(|number| {
                    let (queue, disk) = (Arc::clone(&queue), Arc::clone(&disk));
                    thread::spawn(move || writer(&queue, &disk, number, case))
                })
                .collect();
            if case.closes_early {
                queue.close();
            }
            let seen: Vec<Seen> =
                writing.into_iter().map(|writer| writer.join().unwrap()).collect();
            queue.close();
            committing.join().unwrap();
            check(&disk.durable.lock().unwrap(), &seen, case);
        }

        /// Everything that was said to be done is there once, in each writer's order; nothing refused is.
        fn check(durable: &[u32], seen: &[Seen], case: Case) {
            for number in 0..case.writers {
                let own: Vec<u32> =
                    durable.iter().copied().filter(|change| change / 100 == number).collect();
                assert!(
                    own.is_sorted_by(|one, next| one < next),
                    "out of order, or twice: {own:?}"
                );
            }
            for seen in seen {
                assert!(seen.done.iter().all(|change| durable.contains(change)), "lost");
                assert!(
                    !seen.refused.iter().any(|change| durable.contains(change)),
                    "refused, and done"
                );
            }
            if case.failing_group.is_none() {
                let refused: usize = seen.iter().map(|seen| seen.refused.len()).sum();
                let all = case.writers * case.appends;
                assert_eq!(
                    durable.len() + refused,
                    all as usize,
                    "some are neither done nor refused"
                );
            }
        }
    };
}

#[allow(clippy::duplicate_mod, reason = "each over locks of its own")]
mod under_loom;
#[allow(clippy::duplicate_mod, reason = "each over locks of its own")]
mod under_shuttle;

/// What is planted to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plant {
    Nothing,
    EarlyAnswer,
    StaleRead,
    /// A reader that does not ask for what it was not shown.
    Unasked,
}

/// One case; its schedules are the checker's.
#[derive(Clone, Copy, Debug)]
struct Case {
    writers: u32,
    /// Appends of each.
    appends: u32,
    /// Entries in one group at most.
    batch: usize,
    /// The commit that fails, counted from 1.
    failing_group: Option<u32>,
    failure_is_durable: bool,
    /// The writer and the append that does not wait for its answer.
    leaves: Option<(u32, u32)>,
    /// Whether the queue closes while writers write.
    closes_early: bool,
    /// Whether groups are answered before they are shown.
    waits_to_show: bool,
    plant: Plant,
}

impl Case {
    const fn of(writers: u32, appends: u32) -> Self {
        Self {
            writers,
            appends,
            batch: 8,
            failing_group: None,
            failure_is_durable: false,
            leaves: None,
            closes_early: false,
            waits_to_show: false,
            plant: Plant::Nothing,
        }
    }

    /// Everything that may happen beside appends.
    fn all(writers: u32, appends: u32) -> Vec<Self> {
        let plain = Self::of(writers, appends);
        vec![
            plain,
            Self { batch: 1, ..plain },
            Self { failing_group: Some(1), ..plain },
            Self { failing_group: Some(2), failure_is_durable: true, ..plain },
            Self { leaves: Some((0, 0)), ..plain },
            Self { closes_early: true, ..plain },
            Self { waits_to_show: true, ..plain },
            Self { waits_to_show: true, batch: 1, failing_group: Some(2), ..plain },
        ]
    }

    fn planted(self, plant: Plant) -> Self {
        Self { waits_to_show: plant == Plant::Unasked, plant, ..self }
    }
}
