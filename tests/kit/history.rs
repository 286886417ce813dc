//! Whether what several writers saw of one head fits one order of all its changes. Every entry is
//! swapped in once, so the order is the chain of swaps, and the check is linear in the history.

use std::collections::BTreeMap;
use std::time::Duration;

use treering_tree::Id;

/// Something a caller did: between `from` and `to` it saw `seen`, and swapped `put` in.
#[derive(Clone, Debug)]
pub struct Event {
    /// When it was asked.
    pub from: Duration,
    /// When it was answered.
    pub to: Duration,
    seen: Option<Id>,
    put: Option<Id>,
}

impl Event {
    /// A read, or a swap that lost and was told the head.
    pub fn read(seen: Option<Id>, from: Duration, to: Duration) -> Self {
        let put = None;
        Self { from, to, seen, put }
    }

    /// A swap that won.
    pub fn swap(seen: Option<Id>, put: Id, from: Duration, to: Duration) -> Self {
        let put = Some(put);
        Self { from, to, seen, put }
    }

    /// When a swap was answered and what it put, if it is one.
    pub fn swapped(&self) -> Option<(Duration, Id)> {
        self.put.map(|put| (self.to, put))
    }
}

/// Checks a history that begins without an entry and ends at `last`.
///
/// # Errors
/// What does not fit.
pub fn check(events: &[Event], last: Option<Id>) -> Result<(), String> {
    let mut after: BTreeMap<Option<Id>, &Event> = BTreeMap::new();
    for swap in events.iter().filter(|event| event.put.is_some()) {
        if after.insert(swap.seen, swap).is_some() {
            return Err(format!("two swaps of {:?} won", swap.seen));
        }
    }
    // Value i holds from the moment of swap i to that of swap i + 1: bounds of each moment.
    let mut place: BTreeMap<Option<Id>, usize> = BTreeMap::from([(None, 0)]);
    let mut bounds = vec![(Duration::ZERO, Duration::ZERO)];
    let mut at = None;
    while let Some(swap) = after.remove(&at) {
        at = swap.put;
        place.insert(at, bounds.len());
        bounds.push((swap.from, swap.to));
    }
    if at != last || !after.is_empty() {
        return Err(format!("the swaps are no chain that ends at {last:?}"));
    }
    for read in events.iter().filter(|event| event.put.is_none()) {
        let value = *place
            .get(&read.seen)
            .ok_or_else(|| format!("{:?} was never swapped in", read.seen))?;
        bounds[value].1 = bounds[value].1.min(read.to);
        if let Some(next) = bounds.get_mut(value + 1) {
            next.0 = next.0.max(read.from);
        }
    }
    let mut earliest = Duration::ZERO;
    for (value, (from, to)) in bounds.into_iter().enumerate().skip(1) {
        earliest = earliest.max(from);
        if earliest > to {
            return Err(format!("value {value} was there at {to:?}, not before {earliest:?}"));
        }
    }
    Ok(())
}
