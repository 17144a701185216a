//! What handlers of signals find, on whatever thread they run: written once, then read without a lock.
//!
//! The models of `tests/loom_published.rs` run this very file under loom.
#![allow(unsafe_code)]

use std::ptr;

use crate::primitive::{AtomicPtr, Ordering};

/// A place for one value that stays for ever.
#[derive(Debug)]
pub(crate) struct Published<T: 'static>(AtomicPtr<T>);

impl<T: Sync> Published<T> {
    /// Of a null pointer: a constant, which loom's atomics cannot be.
    pub(crate) const fn new(null: AtomicPtr<T>) -> Self {
        Self(null)
    }

    /// Shows the value to all threads.
    pub(crate) fn set(&self, value: &'static T) {
        // Release: pairs with the Acquire of `get`: what is in it.
        self.0.store(ptr::from_ref(value).cast_mut(), Ordering::Release);
    }

    /// The value, once there is one. Async-signal-safe.
    pub(crate) fn get(&self) -> Option<&'static T> {
        // SAFETY: null, or what `set` was given: a reference for ever, which is read only; `T: Sync`, so by any thread.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }
}
