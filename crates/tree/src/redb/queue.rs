//! The queue between callers and the one writer: many put, one takes all that has gathered while the
//! last group was committed.
//!
//! Callers that were just answered often come back at once. A writer that did not wait for them would
//! commit two half groups in turn, for ever: it lets those come back that it has reason to expect, for a
//! moment that is short beside a commit. A lone caller is never made to wait, and who stays away is
//! waited for once.
//!
//! A test compiles this file anew over other locks and runs its schedules: nothing but `super::sync` is waited on.

use std::collections::VecDeque;
use std::time::Duration;

use super::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What the writer gets.
pub(super) enum Taken<T> {
    /// Everything that waited, up to the caps.
    Batch(Vec<T>),
    /// Nothing came for the time given.
    Idle,
    /// The queue was closed and is empty.
    Closed,
}

/// Caps of one batch. The first item is always taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    pub(super) entries: usize,
    pub(super) bytes: usize,
}

/// What an item weighs against the caps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weight {
    pub(super) entries: usize,
    pub(super) bytes: usize,
}

struct State<T> {
    waiting: VecDeque<(Weight, T)>,
    closed: bool,
    /// How many wake the writer, where it sleeps: each wakeup costs the caller a system call.
    wakes: Option<usize>,
    /// Items in the last batch.
    taken: usize,
    /// Items that are likely to gather.
    expected: usize,
}

/// An unbounded queue; what bounds it is the permit each item carries.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    /// How long callers that may come back are waited for.
    gather: Duration,
}

impl<T> Queue<T> {
    pub(super) fn new(gather: Duration) -> Self {
        let waiting = VecDeque::new();
        let state = State { waiting, closed: false, wakes: None, taken: 0, expected: 0 };
        Self { state: Mutex::new(state), arrived: Condvar::new(), gather }
    }

    /// Puts an item at the end, or hands it back where the queue is closed.
    pub(super) fn put(&self, weight: Weight, item: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.closed {
            return Err(item);
        }
        state.waiting.push_back((weight, item));
        if state.wakes.is_some_and(|enough| state.waiting.len() >= enough) {
            state.wakes = None;
            drop(state);
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Called before the last batch is answered: those in it, and those that came meanwhile, are all the
    /// callers there are.
    pub(super) fn answering(&self) {
        let mut state = self.lock();
        state.expected = state.taken + state.waiting.len();
    }

    /// Nothing more goes in; what waits is still taken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    /// Whether something waits.
    pub(super) fn has_waiting(&self) -> bool {
        !self.lock().waiting.is_empty()
    }

    /// Waits for something; with `patience`, at most that long.
    pub(super) fn take(&self, caps: Caps, patience: Option<Duration>) -> Taken<T> {
        let mut state = self.wait(self.lock(), 1, patience);
        if state.waiting.is_empty() {
            return if state.closed { Taken::Closed } else { Taken::Idle };
        }
        let expected = state.expected.min(caps.entries);
        if state.waiting.len() < expected {
            state = self.wait(state, expected, Some(self.gather));
        }
        let mut batch = Vec::new();
        let (mut entries, mut bytes) = (0_usize, 0_usize);
        while let Some((weight, _)) = state.waiting.front() {
            entries = entries.saturating_add(weight.entries);
            bytes = bytes.saturating_add(weight.bytes);
            if !batch.is_empty() && (entries > caps.entries || bytes > caps.bytes) {
                break;
            }
            batch.extend(state.waiting.pop_front().map(|(_, item)| item));
        }
        (state.taken, state.expected) = (batch.len(), 0);
        Taken::Batch(batch)
    }

    /// Sleeps until so many wait, the queue is closed, or patience ends.
    fn wait<'s>(
        &'s self,
        mut state: MutexGuard<'s, State<T>>,
        enough: usize,
        patience: Option<Duration>,
    ) -> MutexGuard<'s, State<T>> {
        while state.waiting.len() < enough && !state.closed {
            state.wakes = Some(enough);
            state = match patience {
                None => self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let waited = self.arrived.wait_timeout(state, patience);
                    let (mut state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                    if timeout.timed_out() {
                        state.wakes = None;
                        return state;
                    }
                    state
                }
            };
        }
        state.wakes = None;
        state
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
