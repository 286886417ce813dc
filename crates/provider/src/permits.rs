//! Permits: so many calls at once per endpoint and model, the main conversation's turns first.
//!
//! ```text
//!   turns        o o o --\
//!                         >--> at most n at once        a turn before every compaction that waits,
//!   compactions  o o   --/                              but for one compaction after so many turns
//! ```
//!
//! Within a class, first come, first served. Who stops waiting, or drops what was given, blocks nobody.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Turns in a row that may pass a compaction that waits.
const TURNS_IN_A_ROW: u32 = 8;

/// Who calls a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The main conversation.
    Turn,
    /// A compaction, or another work that can wait.
    Compaction,
}

/// Permits per endpoint and model, shared by everything that calls them. Cheap to clone.
///
/// A runtime takes one for each turn it asks a model for; [`Limited`](crate::Limited) takes one for each
/// summary. So a summary never waits in front of a turn, and never holds more than its server has.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use treering_provider::{Caller, Permits};
///
/// let permits = Permits::new();
/// let local = permits.of("http://127.0.0.1:8080", "qwen3-coder", 1);
/// let turn = local.take(Caller::Turn).await;
/// // ... call the model ...
/// drop(turn);
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Permits(Arc<Mutex<Gates>>);

/// By endpoint and model.
type Gates = BTreeMap<(String, String), Gate>;

impl Permits {
    /// No permits given out yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The gate to a model at an endpoint: `at_once` calls, at least one, if this is the first time it is
    /// asked for. Local servers want 1.
    pub fn of(&self, endpoint: &str, model: &str, at_once: usize) -> Gate {
        // The map is whole at every moment, so a panic elsewhere does not spoil it.
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (endpoint.to_owned(), model.to_owned());
        gates.entry(key).or_insert_with(|| Gate::new(at_once.max(1))).clone()
    }
}

/// The way to one model. Clones share it.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    free: usize,
    turns: VecDeque<oneshot::Sender<Permit>>,
    compactions: VecDeque<oneshot::Sender<Permit>>,
    /// Turns that passed a waiting compaction since the last one.
    passed: u32,
}

/// One call's permit, given back when it is dropped.
#[derive(Debug)]
#[must_use = "the permit is given back when it is dropped"]
pub struct Permit(Option<Gate>);

impl Gate {
    fn new(at_once: usize) -> Self {
        let (turns, compactions) = (VecDeque::new(), VecDeque::new());
        Self(Arc::new(Mutex::new(State { free: at_once, turns, compactions, passed: 0 })))
    }

    /// Waits for a permit. Dropping the future leaves the line.
    pub async fn take(&self, caller: Caller) -> Permit {
        let waiting = self.line_up(caller);
        self.serve();
        // The sender is in the line for as long as the gate is there, which this holds.
        waiting.await.unwrap_or(Permit(None))
    }

    fn line_up(&self, caller: Caller) -> oneshot::Receiver<Permit> {
        let (given, waiting) = oneshot::channel();
        let mut state = self.locked();
        match caller {
            Caller::Turn => state.turns.push_back(given),
            Caller::Compaction => state.compactions.push_back(given),
        }
        waiting
    }

    /// Gives out what is free.
    fn serve(&self) {
        loop {
            let mut state = self.locked();
            let Some(next) = (state.free > 0).then(|| state.next()).flatten() else { return };
            state.free -= 1;
            drop(state);
            // Whoever left the line gives it back at once, which serves the next one.
            drop(next.send(Permit(Some(self.clone()))));
        }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        // The state is whole at every moment, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Who comes next, of those who still wait.
    fn next(&mut self) -> Option<oneshot::Sender<Permit>> {
        self.turns.retain(|waiting| !waiting.is_closed());
        self.compactions.retain(|waiting| !waiting.is_closed());
        let its_turn = self.passed >= TURNS_IN_A_ROW;
        if self.turns.is_empty() || (its_turn && !self.compactions.is_empty()) {
            self.passed = 0;
            return self.compactions.pop_front();
        }
        self.passed = if self.compactions.is_empty() { 0 } else { self.passed + 1 };
        self.turns.pop_front()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(gate) = self.0.take() {
            gate.locked().free += 1;
            gate.serve();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets everything that can go on do so.
    async fn settle() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    /// Waits in line, notes its name when it is its turn, and gives way at once.
    fn line(gate: &Gate, seen: &Arc<Mutex<Vec<String>>>, caller: Caller, name: String) {
        let (gate, seen) = (gate.clone(), Arc::clone(seen));
        tokio::spawn(async move {
            let permit = gate.take(caller).await;
            seen.lock().unwrap().push(name);
            tokio::task::yield_now().await;
            drop(permit);
        });
    }

    #[tokio::test]
    async fn turns_go_first_in_order_and_no_compaction_starves() {
        let gate = Permits::new().of("here", "model", 1);
        let (held, seen) = (gate.take(Caller::Compaction).await, Arc::default());
        for nth in 0..2 {
            line(&gate, &seen, Caller::Compaction, format!("c{nth}"));
        }
        settle().await;
        for nth in 0..20 {
            line(&gate, &seen, Caller::Turn, format!("t{nth}"));
        }
        settle().await;
        assert!(seen.lock().unwrap().is_empty(), "one at once");
        drop(held);
        settle().await;
        settle().await;
        let turns = |range: std::ops::Range<u32>| range.map(|nth| format!("t{nth}"));
        let expected: Vec<String> = turns(0..8)
            .chain(["c0".to_owned()])
            .chain(turns(8..16))
            .chain(["c1".to_owned()])
            .chain(turns(16..20))
            .collect();
        assert_eq!(*seen.lock().unwrap(), expected);
    }

    #[tokio::test]
    async fn who_leaves_the_line_or_dies_blocks_nobody() {
        let gate = Permits::new().of("here", "model", 2);
        let (one, two) = (gate.take(Caller::Turn).await, gate.take(Caller::Turn).await);
        let waits = |caller| {
            let gate = gate.clone();
            tokio::spawn(async move { gate.take(caller).await })
        };
        let (left, stays) = (waits(Caller::Turn), waits(Caller::Compaction));
        settle().await;
        left.abort();
        settle().await;
        drop(one);
        let permit = stays.await.unwrap();
        drop((permit, two));
        // Everything was given back.
        let _all = (gate.take(Caller::Compaction).await, gate.take(Caller::Turn).await);
        assert_eq!(gate.locked().free, 0);
    }

    #[tokio::test]
    async fn each_model_and_endpoint_has_its_own() {
        let permits = Permits::new();
        let _one = permits.of("here", "model", 1).take(Caller::Turn).await;
        let _other = permits.of("here", "other", 1).take(Caller::Turn).await;
        let _there = permits.of("there", "model", 1).take(Caller::Turn).await;
        // Asked for again it is the same one, whatever is asked for.
        assert_eq!(permits.clone().of("here", "model", 5).locked().free, 0);
    }
}
