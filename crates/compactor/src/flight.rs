//! One compaction in flight per session and branch: whoever comes second gets the same result.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

/// What is in flight, by key. Never holds its lock while it waits.
pub(crate) struct Flights<K, T> {
    cells: Mutex<HashMap<K, Arc<OnceCell<T>>>>,
}

impl<K, T> Default for Flights<K, T> {
    fn default() -> Self {
        Self { cells: Mutex::default() }
    }
}

impl<K: Clone + Eq + std::hash::Hash, T: Clone> Flights<K, T> {
    /// Does the work, or waits for the one who does it. Where that one is dropped, one who waits
    /// begins anew with its own work.
    pub(crate) async fn join(&self, key: K, work: impl Future<Output = T>) -> T {
        let flight = Flight {
            cell: self.with(|cells| cells.entry(key.clone()).or_default().clone()),
            key,
            flights: self,
        };
        let landed = async {
            let result = work.await;
            flight.leave();
            result
        };
        flight.cell.get_or_init(|| landed).await.clone()
    }

    fn with<R>(&self, change: impl FnOnce(&mut HashMap<K, Arc<OnceCell<T>>>) -> R) -> R {
        // The map is whole at every moment, so a panic elsewhere does not spoil it.
        change(&mut self.cells.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One caller's part in a flight.
struct Flight<'a, K: Clone + Eq + std::hash::Hash, T: Clone> {
    flights: &'a Flights<K, T>,
    key: K,
    cell: Arc<OnceCell<T>>,
}

impl<K: Clone + Eq + std::hash::Hash, T: Clone> Flight<'_, K, T> {
    /// Lets the next caller begin a flight of its own.
    fn leave(&self) {
        self.flights.with(|cells| {
            if cells.get(&self.key).is_some_and(|known| Arc::ptr_eq(known, &self.cell)) {
                cells.remove(&self.key);
            }
        });
    }
}

impl<K: Clone + Eq + std::hash::Hash, T: Clone> Drop for Flight<'_, K, T> {
    fn drop(&mut self) {
        // The last one aboard: this one and the map hold the cell.
        self.flights.with(|cells| {
            let ours = cells.get(&self.key).is_some_and(|known| Arc::ptr_eq(known, &self.cell));
            if ours && Arc::strong_count(&self.cell) == 2 {
                cells.remove(&self.key);
            }
        });
    }
}
