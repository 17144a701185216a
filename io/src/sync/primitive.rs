//! The atomics of the semaphore's word, which `tests/loom_permits.rs` replaces by loom's.

pub(crate) use std::sync::atomic::{AtomicUsize, Ordering};
