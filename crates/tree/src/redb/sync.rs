//! What `queue` and `group` wait with: the one place to put another kind in, under which a test runs every
//! schedule of them.

pub(super) use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
