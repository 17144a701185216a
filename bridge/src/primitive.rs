//! The atomics and the cell of the lock-free parts, which the models in `tests/` replace by loom's.
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// `std`'s cell with the interface of loom's.
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}
