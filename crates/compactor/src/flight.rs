//! One compaction in flight per session and branch: whoever comes second joins, and gets the same
//! result. It flies on while anybody is aboard; the last one to leave stops it.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::error::{Error, Result};
use crate::run::CompactionResult;

/// Store, session, branch.
pub(crate) type Key = (usize, String, String);

/// How far a compaction is. Sizes are in tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Measuring and planning, or waiting for a compaction of another process.
    #[default]
    Planning,
    /// The summarizer works.
    Summarizing {
        /// Entries it was given.
        entries: u64,
        /// Their size.
        tokens: u64,
    },
    /// The result is being written; it can no longer be stopped.
    Landing,
    /// It ended: see the result.
    Done,
}

/// What is in flight, by key. Never holds its lock while it waits.
#[derive(Default)]
pub(crate) struct Flights(Mutex<HashMap<Key, Arc<Flight>>>);

/// One compaction in flight.
pub(crate) struct Flight {
    pub(crate) key: Key,
    state: watch::Sender<State>,
}

#[derive(Default)]
struct State {
    /// How many want the result.
    aboard: u64,
    progress: Progress,
    result: Option<Result<CompactionResult>>,
}

impl Flights {
    /// Joins the flight of that key, or begins one with this work.
    pub(crate) fn join<F>(
        self: &Arc<Self>,
        key: Key,
        on_drop: OnDrop,
        work: impl FnOnce(Arc<Flight>) -> F,
    ) -> Handle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut flights = self.locked();
        let known = flights.get(&key).cloned();
        let flight = known.clone().unwrap_or_else(|| {
            Arc::new(Flight { key: key.clone(), state: watch::Sender::new(State::default()) })
        });
        flight.state.send_modify(|state| state.aboard += 1);
        if known.is_none() {
            flights.insert(key, Arc::clone(&flight));
        }
        drop(flights);
        if known.is_none() {
            let landing = Ending { flights: Arc::clone(self), flight: Arc::clone(&flight) };
            let work = work(Arc::clone(&flight));
            tokio::spawn(async move {
                work.await;
                drop(landing);
            });
        }
        let state = flight.state.subscribe();
        Handle { flights: Arc::clone(self), flight, state, on_drop, aboard: true }
    }

    /// A look at the flight of that key, if there is one.
    pub(crate) fn board(self: &Arc<Self>, key: &Key) -> Option<Handle> {
        let flight = self.locked().get(key).cloned()?;
        Some(Handle::onlooker(self, &flight))
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Key, Arc<Flight>>> {
        // The map is whole at every moment, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove(&self, flight: &Arc<Flight>) {
        let mut flights = self.locked();
        if flights.get(&flight.key).is_some_and(|known| Arc::ptr_eq(known, flight)) {
            flights.remove(&flight.key);
        }
    }

    /// One less aboard; whether that stops it.
    fn leave(&self, flight: &Arc<Flight>) -> bool {
        // The map is locked, so that nobody joins what is being stopped.
        let mut flights = self.locked();
        let stopped = flight.state.send_if_modified(|state| {
            state.aboard -= 1;
            let stops = state.aboard == 0 && state.may_stop();
            if stops {
                state.end(Err(Error::Cancelled));
            }
            stops
        });
        if stopped && flights.get(&flight.key).is_some_and(|known| Arc::ptr_eq(known, flight)) {
            flights.remove(&flight.key);
        }
        stopped
    }
}

impl State {
    fn may_stop(&self) -> bool {
        self.result.is_none() && self.progress != Progress::Landing
    }

    fn end(&mut self, result: Result<CompactionResult>) {
        self.result = Some(result);
        self.progress = Progress::Done;
    }
}

impl Flight {
    /// Says how far the work is. False where it was stopped: then it must write nothing more.
    pub(crate) fn reached(&self, progress: Progress) -> bool {
        let mut flying = true;
        self.state.send_if_modified(|state| {
            flying = state.result.is_none();
            // Whoever left while it was landing, and did not land, is not waited for.
            if flying && state.aboard == 0 && progress != Progress::Landing {
                state.end(Err(Error::Cancelled));
                flying = false;
            } else if flying {
                state.progress = progress;
            }
            true
        });
        flying
    }

    /// Waits until it is stopped.
    pub(crate) async fn stopped(&self) {
        let mut state = self.state.subscribe();
        // The sender lives as long as the flight does.
        let _ = state.wait_for(|state| state.result.is_some()).await;
    }

    /// Ends it, unless it was stopped.
    pub(crate) fn end(&self, result: Result<CompactionResult>) {
        self.state.send_if_modified(|state| {
            let first = state.result.is_none();
            if first {
                state.end(result);
            }
            first
        });
    }
}

/// Ends a flight whatever becomes of its task.
struct Ending {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.flights.remove(&self.flight);
        // A panic, or a runtime that shut down: otherwise there is a result by now.
        self.flight.end(Err(Error::Aborted));
    }
}

/// What becomes of a compaction when its handle is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDrop {
    /// It stops, unless others wait for it or it is being written already.
    Cancel,
    /// It goes on by itself.
    Detach,
}

/// A compaction in the background, or a part in one that somebody else began.
#[must_use = "dropping it may stop the compaction"]
pub struct Handle {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
    state: watch::Receiver<State>,
    on_drop: OnDrop,
    aboard: bool,
}

impl Handle {
    /// One that waits, but whose leaving stops nothing.
    fn onlooker(flights: &Arc<Flights>, flight: &Arc<Flight>) -> Self {
        Self {
            flights: Arc::clone(flights),
            flight: Arc::clone(flight),
            state: flight.state.subscribe(),
            on_drop: OnDrop::Detach,
            aboard: false,
        }
    }

    /// Another handle on the same compaction, whose leaving stops nothing.
    pub fn another(&self) -> Self {
        Self::onlooker(&self.flights, &self.flight)
    }

    /// Waits for the result. Everybody who joined gets the same one.
    ///
    /// # Errors
    /// As [`Compactor::run`](crate::Compactor::run), and [`Error::Aborted`] where its task died.
    pub async fn result(&mut self) -> Result<CompactionResult> {
        let state = self.state.wait_for(|state| state.result.is_some()).await;
        let result = state.ok().and_then(|state| state.result.clone());
        result.unwrap_or(Err(Error::Aborted))
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.state.borrow().progress.clone()
    }

    /// Waits for the next step; at the end it is [`Progress::Done`] at once.
    pub async fn next_progress(&mut self) -> Progress {
        if self.progress() != Progress::Done {
            // The sender lives as long as the flight does.
            let _ = self.state.changed().await;
        }
        self.state.borrow_and_update().progress.clone()
    }

    /// Leaves it. True where that stops it: then nothing was written, and nothing will be. Not so
    /// where others wait for it, where it is just being written, or where it is done.
    pub fn cancel(mut self) -> bool {
        self.leave()
    }

    /// Lets it go on by itself.
    pub fn detach(mut self) {
        self.aboard = false;
    }

    fn leave(&mut self) -> bool {
        std::mem::replace(&mut self.aboard, false) && self.flights.leave(&self.flight)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.on_drop == OnDrop::Cancel {
            self.leave();
        }
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle")
            .field("session", &self.flight.key.1)
            .field("branch", &self.flight.key.2)
            .field("progress", &self.progress())
            .field("on_drop", &self.on_drop)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
