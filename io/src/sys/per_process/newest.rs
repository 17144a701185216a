//! The value that a process has made for itself, in a word that may contain the inherited value of the parent that
//! forked it.
//!
//! The models of `tests/loom_per_process.rs` run this very file under loom.
#![allow(unsafe_code)]

use crate::primitive::{AtomicPtr, Ordering};

/// Null, or the newest value. It is leaked, and so are those that it has replaced.
pub(super) struct Newest<T: 'static>(AtomicPtr<Own<T>>);

pub(super) struct Own<T> {
    process: u64,
    value: T,
}

impl<T: Send + Sync + 'static> Newest<T> {
    /// Made from a null pointer, so that it can be a constant, which loom's atomics cannot be.
    pub(super) const fn new(null: AtomicPtr<Own<T>>) -> Self {
        Self(null)
    }

    /// Returns the value of the process with the number `process`, which is the calling one, and makes it if necessary.
    /// If several threads make it at once, one succeeds, and all get its value.
    pub(super) fn get(&self, process: u64, make: impl Fn() -> T) -> &'static T {
        // Acquire: pairs with the Release below, so that the value behind the pointer is initialized.
        let mut known = self.0.load(Ordering::Acquire);
        loop {
            // SAFETY: null, or what was stored below: a box that was leaked, whose owner stored it with Release and which
            // was loaded with Acquire, so that it is initialized for this thread too. From then on it is only read.
            match unsafe { known.as_ref() } {
                Some(own) if own.process == process => return &own.value,
                _ => {}
            }
            let made = Box::into_raw(Box::new(Own { process, value: make() }));
            // Acquire on failure: pairs with the Release of the thread that was faster.
            match self.0.compare_exchange(known, made, Ordering::Release, Ordering::Acquire) {
                Ok(_) => known = made,
                Err(other) => {
                    // SAFETY: the box is the one above, and its pointer was not stored, so nobody else has it.
                    drop(unsafe { Box::from_raw(made) });
                    known = other;
                }
            }
        }
    }
}
