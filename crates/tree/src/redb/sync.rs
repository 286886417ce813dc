//! What `queue`, `group` and `sight` wait with: the one place to put another kind in, under which a test runs every
//! schedule of them.

pub(super) use std::sync::atomic::{AtomicU64, Ordering};
pub(super) use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
