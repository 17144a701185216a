//! Values for signal handlers, on whatever thread they run: a value is written once and then read without a lock.
//!
//! The models of `tests/loom_published.rs` run this very file under loom.
#![allow(unsafe_code)]

use std::ptr;

use crate::primitive::{AtomicPtr, Ordering};

/// A place for one value that lives for ever.
#[derive(Debug)]
pub(crate) struct Published<T: 'static>(AtomicPtr<T>);

impl<T: Sync> Published<T> {
    /// Makes an empty place from a null pointer. The caller passes the pointer, because loom's atomics cannot be made
    /// in a constant.
    pub(crate) const fn new(null: AtomicPtr<T>) -> Self {
        Self(null)
    }

    /// Publishes the value to all threads.
    pub(crate) fn set(&self, value: &'static T) {
        // Release: pairs with the Acquire of `get`, and publishes the content of the value.
        self.0.store(ptr::from_ref(value).cast_mut(), Ordering::Release);
    }

    /// Returns the value, once there is one. Async-signal-safe.
    pub(crate) fn get(&self) -> Option<&'static T> {
        // SAFETY: it is null, or the reference that `set` was given, which lives for ever and is only read. `T: Sync`,
        // so any thread may read it.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }
}
