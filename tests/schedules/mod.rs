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

/// Writers, a committer and what they do to one another, over `sync`, `queue`, `group`, `flight` and `sight` beside it.
macro_rules! writers_and_a_committer {
    ($library:ident) => {
        use std::time::Duration;

        use $library::sync::Arc;
        use $library::thread;

        use self::flight::Flight;
        use self::group::{Caller, Committer, Departed, Group, fly, land, serve};
        use self::queue::{Caps, Queue, Taken, Weight};
        use self::sight::Sight;
        use self::sync::{Condvar, Mutex};
        use super::{Case, Failing, Plant};

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

        #[derive(Clone, Copy, PartialEq, Eq)]
        enum Fate {
            Written,
            Durable,
            /// By a sync that failed: none after it makes it durable.
            Lost,
        }

        /// What the log has, and what readers see of it.
        struct Disk {
            log: Mutex<Vec<(u32, Fate)>>,
            visible: Mutex<Vec<u32>>,
            sight: Sight,
        }

        impl Disk {
            /// What is there after a crash: nothing behind a record that is not.
            fn durable(&self) -> Vec<u32> {
                let log = self.log.lock().unwrap();
                let there = log.iter().take_while(|(_, fate)| *fate == Fate::Durable);
                there.map(|(change, _)| *change).collect()
            }

            fn sync(&self, fate: Fate) {
                let mut log = self.log.lock().unwrap();
                for (_, one) in log.iter_mut() {
                    if *one == Fate::Written {
                        *one = fate;
                    }
                }
            }
        }

        /// One record, and its sync.
        struct Sync {
            disk: Arc<Disk>,
            changes: Vec<u32>,
            case: Case,
            fails: Option<Failing>,
        }

        impl Departed for Sync {
            type Failure = ();

            fn finish(&mut self) -> Result<(), ()> {
                let record = self.changes.drain(..).map(|change| (change, Fate::Written));
                self.disk.log.lock().unwrap().extend(record);
                if let Some(failing) = self.fails {
                    let durable = failing == Failing::Durable;
                    self.disk.sync(if durable { Fate::Durable } else { Fate::Lost });
                    return Err(());
                }
                self.disk.sync(Fate::Durable);
                if self.case.waits_to_show {
                    self.disk.sight.answers();
                }
                Ok(())
            }
        }

        struct Store {
            disk: Arc<Disk>,
            case: Case,
            groups: u32,
            /// What a reader sees of the next state, and of the one before.
            applied: Vec<u32>,
            before: Vec<u32>,
        }

        impl Store {
            fn show(&self) {
                assert_eq!(self.applied, self.disk.durable(), "shows what is not durable");
                self.disk.visible.lock().unwrap().clone_from(&self.applied);
                self.disk.sight.shows(0);
            }
        }

        impl Committer<u32, Answer> for Store {
            type Failure = ();
            type Applied = Sync;
            type Departed = Sync;

            fn apply(&mut self, changes: Vec<u32>) -> Result<(Vec<Answer>, Sync), ()> {
                self.groups += 1;
                let failing = self.case.fails.filter(|(group, _)| *group == self.groups);
                let fails = failing.map(|(_, how)| how);
                if fails == Some(Failing::AtOnce) {
                    return Err(());
                }
                self.before.clone_from(&self.applied);
                self.applied.extend(&changes);
                let answers = changes.iter().copied().map(Ok).collect();
                let disk = Arc::clone(&self.disk);
                Ok((answers, Sync { disk, changes, case: self.case, fails }))
            }

            fn finish(&mut self, mut sync: Sync) -> Result<(), ()> {
                sync.finish()?;
                if !self.case.waits_to_show {
                    let stale = self.case.plant == Plant::StaleRead;
                    let shown = if stale { &self.before } else { &self.applied };
                    self.disk.visible.lock().unwrap().clone_from(shown);
                    self.disk.sight.shows(1);
                    self.disk.sight.answers();
                }
                Ok(())
            }

            fn depart(&mut self, sync: Sync) -> Result<Sync, Sync> {
                if self.case.waits_to_show { Ok(sync) } else { Err(sync) }
            }

            fn tidy(&mut self) {
                // As when a round is full.
                if self.case.waits_to_show && self.groups.is_multiple_of(2) {
                    self.show();
                }
            }

            fn recover(&mut self, (): ()) -> Box<dyn Fn() -> Answer> {
                self.applied = self.disk.durable();
                let durable = self.applied.iter().map(|change| (*change, Fate::Durable));
                *self.disk.log.lock().unwrap() = durable.collect();
                self.show();
                Box::new(|| Err(()))
            }
        }

        type InFlight = Flight<Group<Arc<Slot>, Answer, Sync>, ()>;

        fn committer(queue: &Queue<Request>, flight: &InFlight, mut store: Store) {
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
                                land(&mut store, queue, flight);
                                store.show();
                                caller.answer(Ok(0));
                            }
                        }
                        if changes.is_empty() {
                            continue;
                        }
                        match store.case.plant {
                            Plant::EarlyAnswer => {
                                for (change, caller) in changes.iter().zip(callers) {
                                    caller.answer(Ok(*change));
                                }
                                let (_, applied) = store.apply(changes).unwrap();
                                let _ = store.finish(applied);
                            }
                            Plant::Unlanded if store.groups > 0 => {
                                let (answers, applied) = store.apply(changes).unwrap();
                                let _ = store.finish(applied);
                                for (caller, answer) in callers.into_iter().zip(answers) {
                                    caller.answer(answer);
                                }
                            }
                            _ => serve(&mut store, queue, flight, changes, callers),
                        }
                    }
                    Taken::Idle => land(&mut store, queue, flight),
                    Taken::Closed => break,
                }
            }
            land(&mut store, queue, flight);
            flight.close();
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

        /// What anybody reads now; where not everything is shown, the committer is asked, as long as there is one.
        fn read(queue: &Queue<Request>, disk: &Disk, case: Case) -> Option<Vec<u32>> {
            if case.plant != Plant::Unasked && !disk.sight.shows_all() {
                let shown = slot();
                queue.put(ONE, (None, Arc::clone(&shown))).ok()?;
                let _ = shown.wait();
            }
            Some(disk.visible.lock().unwrap().clone())
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
                let durable = disk.durable().contains(&change);
                let read = read(queue, disk, case);
                let visible = read.map_or(durable, |read| read.contains(&change));
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
            let many = if case.overlaps { 2 } else { usize::MAX };
            let queue = Arc::new(Queue::new(Duration::from_millis(1), many));
            let (log, visible) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
            let disk = Arc::new(Disk { log, visible, sight: Sight::new() });
            let (applied, before) = (Vec::new(), Vec::new());
            let store = Store { disk: Arc::clone(&disk), case, groups: 0, applied, before };
            let flight = Arc::new(InFlight::new());
            let flying = case.overlaps.then(|| {
                let (queue, flight) = (Arc::clone(&queue), Arc::clone(&flight));
                thread::spawn(move || flight.run(|group| fly(&queue, group)))
            });
            let committing = {
                let queue = Arc::clone(&queue);
                thread::spawn(move || committer(&queue, &flight, store))
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
            if let Some(flying) = flying {
                flying.join().unwrap();
            }
            check(&disk.durable(), &seen, case);
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
            if case.fails.is_none() {
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
    /// A committer that does not wait for the group in flight before it makes the next one durable.
    Unlanded,
}

/// How a group fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failing {
    /// Before anything is written.
    AtOnce,
    /// What was written is not durable, and no later sync makes it so.
    Lost,
    /// What was written is durable all the same.
    Durable,
}

/// One case; its schedules are the checker's.
#[derive(Clone, Copy, Debug)]
struct Case {
    writers: u32,
    /// Appends of each.
    appends: u32,
    /// Entries in one group at most.
    batch: usize,
    /// The commit that fails, counted from 1, and how.
    fails: Option<(u32, Failing)>,
    /// The writer and the append that does not wait for its answer.
    leaves: Option<(u32, u32)>,
    /// Whether the queue closes while writers write.
    closes_early: bool,
    /// Whether groups are answered before they are shown.
    waits_to_show: bool,
    /// Whether one group is applied while another is made durable.
    overlaps: bool,
    plant: Plant,
}

impl Case {
    const fn of(writers: u32, appends: u32) -> Self {
        Self {
            writers,
            appends,
            batch: 8,
            fails: None,
            leaves: None,
            closes_early: false,
            waits_to_show: false,
            overlaps: false,
            plant: Plant::Nothing,
        }
    }

    /// Everything that may happen beside appends.
    fn all(writers: u32, appends: u32) -> Vec<Self> {
        let plain = Self::of(writers, appends);
        vec![
            plain,
            Self { batch: 1, ..plain },
            Self { fails: Some((1, Failing::Lost)), ..plain },
            Self { fails: Some((2, Failing::Durable)), ..plain },
            Self { leaves: Some((0, 0)), ..plain },
            Self { closes_early: true, ..plain },
            Self { waits_to_show: true, ..plain },
            Self { waits_to_show: true, batch: 1, fails: Some((2, Failing::AtOnce)), ..plain },
        ]
    }

    /// The same where groups overlap.
    fn overlapping(writers: u32, appends: u32) -> Vec<Self> {
        let plain = Self { waits_to_show: true, overlaps: true, ..Self::of(writers, appends) };
        vec![
            plain,
            Self { fails: Some((1, Failing::Lost)), ..plain },
            Self { fails: Some((1, Failing::Durable)), ..plain },
            Self { fails: Some((2, Failing::Lost)), ..plain },
            Self { fails: Some((2, Failing::AtOnce)), ..plain },
            Self { leaves: Some((0, 0)), ..plain },
            Self { closes_early: true, ..plain },
        ]
    }

    fn planted(self, plant: Plant) -> Self {
        let overlaps = plant == Plant::Unlanded;
        let fails = overlaps.then_some((1, Failing::Lost));
        let waits_to_show = overlaps || plant == Plant::Unasked;
        Self { fails, waits_to_show, overlaps, plant, ..self }
    }
}
