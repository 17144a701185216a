//! The atomics of the park token, which `tests/loom_park.rs` replaces by loom's.

pub(crate) use std::sync::atomic::{AtomicU32, Ordering};
