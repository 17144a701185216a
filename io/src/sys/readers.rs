//! Lists that signal handlers read without a lock while other threads replace them.
//!
//! A handler announces that it runs and then takes the list. A thread that replaces the list publishes the new one and
//! then waits until no handler runs. All of these accesses are SeqCst, so either the handler takes the new list, or the
//! thread sees that it runs.
//!
//! The models of `tests/loom_readers.rs` run this very file under loom.

use crate::primitive::{AtomicPtr, AtomicUsize, Ordering};

/// Counts the running handlers that may read one of the lists.
#[derive(Debug)]
pub(crate) struct Readers(AtomicUsize);

impl Readers {
    /// Made from a count of 0, so that it can be a constant, which loom's atomics cannot be.
    pub(crate) const fn new(none: AtomicUsize) -> Self {
        Self(none)
    }

    /// Calls `f` with the current list, or null. The list is not freed during the call. For handlers.
    pub(crate) fn read<T>(&self, list: &AtomicPtr<T>, f: impl FnOnce(*const T)) {
        self.0.fetch_add(1, Ordering::SeqCst);
        f(list.load(Ordering::SeqCst));
        // Release: pairs with the load that finds no handler running: the list has been read.
        self.0.fetch_sub(1, Ordering::Release);
    }

    /// Replaces the list and returns the old one, or null, which nobody reads any more. Calls `wait` while it waits.
    pub(crate) fn replace<T>(&self, list: &AtomicPtr<T>, new: *mut T, wait: impl Fn()) -> *mut T {
        let old = list.swap(new, Ordering::SeqCst);
        while self.0.load(Ordering::SeqCst) != 0 {
            wait();
        }
        old
    }
}
