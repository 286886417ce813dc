//! The group whose record is on its way to the disk while the next one is applied: a thread of its own makes it
//! durable and answers it. There is one at a time, so that groups become durable, and are answered, in the order in
//! which they were applied.
//!
//! A test compiles this file anew beside `queue` and `group` and runs its schedules.

use super::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Where a group is.
enum State<G, F> {
    /// None is in flight.
    Landed,
    /// Waits for the thread that takes it to the disk.
    Leaving(G),
    /// That thread is at it.
    Up,
    /// It came back.
    Failed(G, F),
}

/// A group that is not durable, and why.
pub(super) type Failed<G, F> = (G, F);

/// At most one group in flight.
pub(super) struct Flight<G, F> {
    state: Mutex<(State<G, F>, bool)>,
    changed: Condvar,
}

impl<G, F> Flight<G, F> {
    pub(super) fn new() -> Self {
        Self { state: Mutex::new((State::Landed, false)), changed: Condvar::new() }
    }

    /// Sends a group off. The one before must have landed.
    pub(super) fn start(&self, group: G) {
        self.lock().0 = State::Leaving(group);
        self.changed.notify_one();
    }

    /// Waits until none is in flight; answers the one that failed, and why.
    pub(super) fn land(&self) -> Option<Failed<G, F>> {
        let mut held = self.lock();
        loop {
            match std::mem::replace(&mut held.0, State::Landed) {
                State::Landed => return None,
                State::Failed(group, failure) => return Some((group, failure)),
                flying => held.0 = flying,
            }
            held = self.changed.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nothing starts any more.
    pub(super) fn close(&self) {
        self.lock().1 = true;
        self.changed.notify_one();
    }

    /// Flies one group after the other until it is closed; `fly` hands back the one that fails.
    pub(super) fn run(&self, fly: impl Fn(G) -> Option<Failed<G, F>>) {
        while let Some(group) = self.next() {
            let landed = match fly(group) {
                None => State::Landed,
                Some((group, failure)) => State::Failed(group, failure),
            };
            self.lock().0 = landed;
            self.changed.notify_one();
        }
    }

    fn next(&self) -> Option<G> {
        let mut held = self.lock();
        loop {
            match std::mem::replace(&mut held.0, State::Up) {
                State::Leaving(group) => return Some(group),
                other => held.0 = other,
            }
            if held.1 {
                return None;
            }
            held = self.changed.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, (State<G, F>, bool)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
