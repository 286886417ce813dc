//! The queue between callers and the one writer: many put, one takes all that has gathered while the
//! last group was committed. No timer makes anybody wait.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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
}

/// An unbounded queue; what bounds it is the permit each item carries.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        let state = State { waiting: VecDeque::new(), closed: false };
        Self { state: Mutex::new(state), arrived: Condvar::new() }
    }

    /// Puts an item at the end, or hands it back where the queue is closed.
    pub(super) fn put(&self, weight: Weight, item: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.closed {
            return Err(item);
        }
        state.waiting.push_back((weight, item));
        self.arrived.notify_one();
        Ok(())
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
        let mut state = self.lock();
        while state.waiting.is_empty() {
            if state.closed {
                return Taken::Closed;
            }
            state = match patience {
                None => self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let waited = self.arrived.wait_timeout(state, patience);
                    let (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                    if timeout.timed_out() && state.waiting.is_empty() && !state.closed {
                        return Taken::Idle;
                    }
                    state
                }
            };
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
        Taken::Batch(batch)
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
