//! What was answered, and how much of it readers see. Whoever reads asks first whether that is all, and where it
//! is not, the writer.
//!
//! A test compiles this file anew over other atomics and runs its schedules. Whoever answers a group counts it; the writer
//! alone says what is seen, and no group is being answered then.

use super::sync::{AtomicU64, Ordering};

/// Counts groups.
pub(super) struct Sight {
    answered: AtomicU64,
    seen: AtomicU64,
}

impl Sight {
    pub(super) fn new() -> Self {
        Self { answered: AtomicU64::new(0), seen: AtomicU64::new(0) }
    }

    /// A group is about to be answered that nobody sees yet.
    pub(super) fn answers(&self) {
        self.answered.fetch_add(1, Ordering::Release);
    }

    /// All groups that were answered are seen, and so many more that are about to be.
    pub(super) fn shows(&self, more: u64) {
        let seen = self.answered.load(Ordering::Relaxed) + more;
        self.seen.store(seen, Ordering::Release);
    }

    /// How many are seen: changes with everything new there is to see.
    pub(super) fn seen(&self) -> u64 {
        self.seen.load(Ordering::Acquire)
    }

    /// Whether all that were answered are seen.
    pub(super) fn shows_all(&self) -> bool {
        let answered = self.answered.load(Ordering::Acquire);
        self.seen() >= answered
    }
}
