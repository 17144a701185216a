//! What the wait queue and the semaphore's word stand on, which `tests/loom_permits.rs` and
//! `tests/loom_choice.rs` replace by loom's.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

pub(crate) use crate::primitive::Lock;
