//! The atomics of the lock-free files, which the models in `tests/` replace with loom's.

pub(crate) use std::sync::atomic::{AtomicPtr, Ordering};
