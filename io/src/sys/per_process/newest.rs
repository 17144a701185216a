//! The value that a process has made for itself, in a word in which it may have inherited that of the process that
//! forked it.
//!
//! The models of `tests/loom_per_process.rs` run this very file under loom.
#![allow(unsafe_code)]

use crate::primitive::{AtomicPtr, Ordering};

/// Null, or the newest value. Those that it replaced are leaked, as it is itself.
pub(super) struct Newest<T: 'static>(AtomicPtr<Own<T>>);

pub(super) struct Own<T> {
    process: u64,
    value: T,
}

impl<T: Send + Sync + 'static> Newest<T> {
    /// Of a null pointer: a constant, which loom's atomics cannot be.
    pub(super) const fn new(null: AtomicPtr<Own<T>>) -> Self {
        Self(null)
    }

    /// The value of the process of that number, which is the calling one. It is made unless it is there; of threads that
    /// make it at once one succeeds, and all get what that one made.
    pub(super) fn get(&self, process: u64, make: impl Fn() -> T) -> &'static T {
        // Acquire: pairs with the Release below, so that what it points to is there.
        let mut known = self.0.load(Ordering::Acquire);
        loop {
            // SAFETY: null, or what was stored below: a box that was leaked, whose owner stored it with Release and which
            // was loaded with Acquire, so that it is initialized for this thread too. From then on it is only read.
            match unsafe { known.as_ref() } {
                Some(own) if own.process == process => return &own.value,
                _ => {}
            }
            let made = Box::into_raw(Box::new(Own { process, value: make() }));
            // Acquire where it fails: pairs with the Release of the thread that was faster.
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
