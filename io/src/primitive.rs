//! The atomics and cells of the lock-free files, which the models in `tests/` replace by loom's; and a mutex for short
//! critical sections that never suspend.

use std::ptr;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering, fence};
use std::sync::{self, MutexGuard, PoisonError};

/// std's cell with the interface of loom's.
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    #[inline]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// A std mutex that ignores poisoning.
///
/// std counts panics per thread and not per fiber, so poisoning would say nothing here. No context may suspend while it
/// holds the guard.
#[derive(Debug, Default)]
pub struct Lock<T>(sync::Mutex<T>);

impl<T> Lock<T> {
    /// Makes a lock that holds `value`.
    pub const fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    /// Locks it. Blocks the thread while another one holds the guard.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns true if `self` has to be locked before `other`.
    pub(crate) fn comes_before(&self, other: &Self) -> bool {
        ptr::from_ref(self) < ptr::from_ref(other)
    }
}
