//! How far a call is, while it is under way.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// How far a model's newest call is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// The try it is at, from 1; 0 before the first call.
    pub attempt: u32,
    /// Bytes of text the model has said in that try.
    pub heard_bytes: usize,
}

/// The same, as calls write it. Two numbers that need not agree to the moment.
#[derive(Default)]
pub(super) struct Pulses {
    attempt: AtomicU32,
    heard_bytes: AtomicUsize,
}

impl Pulses {
    /// A try begins.
    pub(super) fn tried(&self, attempt: u32) {
        self.heard_bytes.store(0, Ordering::Relaxed);
        self.attempt.store(attempt, Ordering::Relaxed);
    }

    /// So much has been said in it.
    pub(super) fn heard(&self, bytes: usize) {
        self.heard_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Pulse {
        Pulse {
            attempt: self.attempt.load(Ordering::Relaxed),
            heard_bytes: self.heard_bytes.load(Ordering::Relaxed),
        }
    }
}
