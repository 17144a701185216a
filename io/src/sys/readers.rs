//! Lists that handlers of signals read, without a lock, while others replace them.
//!
//! A handler says that it runs and then takes the list; who replaces the list puts the new one there and then waits
//! until no handler runs. All of these accesses are SeqCst: either the handler takes the new list, or it is seen to run.
//!
//! The models of `tests/loom_readers.rs` run this very file under loom.

use crate::primitive::{AtomicPtr, AtomicUsize, Ordering};

/// How many handlers run that may read one of the lists.
#[derive(Debug)]
pub(crate) struct Readers(AtomicUsize);

impl Readers {
    /// Of a count that is 0: a constant, which loom's atomics cannot be.
    pub(crate) const fn new(none: AtomicUsize) -> Self {
        Self(none)
    }

    /// Calls `f` with the list that is there, or null. It is not freed meanwhile. For handlers.
    pub(crate) fn read<T>(&self, list: &AtomicPtr<T>, f: impl FnOnce(*const T)) {
        self.0.fetch_add(1, Ordering::SeqCst);
        f(list.load(Ordering::SeqCst));
        // Release: pairs with the load that finds nobody running: the list was read.
        self.0.fetch_sub(1, Ordering::Release);
    }

    /// Puts another list there; the old one, or null, which nobody reads any more. Waits by `wait`.
    pub(crate) fn replace<T>(&self, list: &AtomicPtr<T>, new: *mut T, wait: impl Fn()) -> *mut T {
        let old = list.swap(new, Ordering::SeqCst);
        while self.0.load(Ordering::SeqCst) != 0 {
            wait();
        }
        old
    }
}
