//! The atomics of a task's join word, which a model may replace by loom's.

pub(crate) use std::sync::atomic::{AtomicPtr, Ordering};
