//! The queue between callers and the one writer: many put, one takes all that has gathered while the
//! last group was committed.
//!
//! Callers that were just answered often come back at once. A writer that did not wait for them would
//! commit two half groups in turn, for ever: it lets those come back that it has reason to expect, for a
//! moment that is short beside a commit. A lone caller is never made to wait, and who stays away is
//! waited for once.
//!
//! Where callers are many, half of them at most make a group, so that one half is applied while the other is made
//! durable.
//!
//! A test compiles this file anew over other locks and runs its schedules: nothing but `super::sync` is waited on.

use std::collections::VecDeque;
use std::time::Duration;

use super::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What the writer gets.
pub(super) enum Taken<T> {
    /// Everything that waited, up to the caps.
    Batch(Vec<T>),
    /// Nothing came for the time given, or the writer is wanted otherwise.
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

impl Weight {
    /// Callers who come back once they are answered: all that bring changes.
    fn callers(self) -> usize {
        self.entries.min(1)
    }
}

struct State<T> {
    waiting: VecDeque<(Weight, T)>,
    closed: bool,
    /// Whether the writer is wanted although nothing waits.
    wanted: bool,
    /// How many wake the writer, where it sleeps: each wakeup costs the caller a system call.
    wakes: Option<usize>,
    /// Callers whose items were taken, and who were not answered.
    unanswered: usize,
    /// Callers who were answered and are likely to come back.
    returning: usize,
    /// Whether the last batch is a part of them, while others are many.
    overlaps: bool,
}

/// An unbounded queue; what bounds it is the permit each item carries.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    /// How long callers that may come back are waited for.
    gather: Duration,
    /// From so many callers on groups are halves of them.
    many: usize,
}

impl<T> Queue<T> {
    pub(super) fn new(gather: Duration, many: usize) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            closed: false,
            wanted: false,
            wakes: None,
            unanswered: 0,
            returning: 0,
            overlaps: false,
        };
        Self { state: Mutex::new(state), arrived: Condvar::new(), gather, many }
    }

    /// Puts an item at the end, or hands it back where the queue is closed.
    pub(super) fn put(&self, weight: Weight, item: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.closed {
            return Err(item);
        }
        state.returning = state.returning.saturating_sub(weight.callers());
        state.waiting.push_back((weight, item));
        if state.wakes.is_some_and(|enough| state.waiting.len() >= enough) {
            state.wakes = None;
            drop(state);
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Called before so many callers are answered.
    pub(super) fn answering(&self, callers: usize) {
        let mut state = self.lock();
        state.unanswered = state.unanswered.saturating_sub(callers);
        state.returning += callers;
    }

    /// Whether another group may be applied while that of the last batch is made durable.
    pub(super) fn overlaps(&self) -> bool {
        self.lock().overlaps
    }

    /// Wakes the writer although nothing may wait: it is idle then.
    pub(super) fn want(&self) {
        self.lock().wanted = true;
        self.arrived.notify_one();
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
        if std::mem::take(&mut state.wanted) {
            return Taken::Idle;
        }
        if state.waiting.is_empty() {
            return if state.closed { Taken::Closed } else { Taken::Idle };
        }
        let all = state.waiting.len() + state.returning + state.unanswered;
        let share = if all < self.many { all } else { all.div_ceil(2) };
        let expected = (state.waiting.len() + state.returning).min(share).min(caps.entries);
        if state.waiting.len() < expected {
            state = self.wait(state, expected, Some(self.gather));
            if state.waiting.len() < expected {
                state.returning = 0;
            }
        }
        let mut batch = Vec::with_capacity(state.waiting.len().min(share));
        let (mut entries, mut bytes) = (0_usize, 0_usize);
        while let Some((weight, _)) = state.waiting.front() {
            entries = entries.saturating_add(weight.entries);
            bytes = bytes.saturating_add(weight.bytes);
            let is_full = entries > caps.entries || bytes > caps.bytes || batch.len() >= share;
            if is_full && !batch.is_empty() {
                break;
            }
            state.unanswered += weight.callers();
            batch.extend(state.waiting.pop_front().map(|(_, item)| item));
        }
        state.overlaps = all >= self.many;
        Taken::Batch(batch)
    }

    /// Sleeps until so many wait, the queue is closed, or patience ends.
    fn wait<'s>(
        &'s self,
        mut state: MutexGuard<'s, State<T>>,
        enough: usize,
        patience: Option<Duration>,
    ) -> MutexGuard<'s, State<T>> {
        while state.waiting.len() < enough && !state.closed && !state.wanted {
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
