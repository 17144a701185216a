//! A worker, as its pool calls it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use iolite_io::backend::{Unparker, current, monotonic_now, park};

/// A worker, which sleeps until it is called.
#[derive(Debug)]
pub(crate) struct Worker {
    /// The caller sets this after it has taken the worker from the sleeping ones, and the worker clears it. Relaxed:
    /// the token that follows announces it, and the worker's job is under the pool's lock.
    called: AtomicBool,
    unparker: Unparker,
}

impl Worker {
    /// Returns the worker on the calling thread.
    pub(crate) fn of_this_thread() -> Arc<Self> {
        Arc::new(Self { called: AtomicBool::new(false), unparker: current(|context| context.unparker()) })
    }

    /// Calls the worker, once for each time that it was asleep.
    pub(crate) fn call(&self) {
        self.called.store(true, Ordering::Relaxed);
        self.unparker.unpark();
    }

    /// Sleeps until the worker is called. Returns false if nobody has called it in time.
    pub(crate) fn sleep(&self, timeout: Duration) -> bool {
        let deadline = monotonic_now() + timeout;
        loop {
            if self.called.swap(false, Ordering::Relaxed) {
                return true;
            }
            if deadline <= monotonic_now() {
                return false;
            }
            park(Some(deadline));
        }
    }

    /// Sleeps until the worker is called.
    pub(crate) fn sleep_until_called(&self) {
        while !self.called.swap(false, Ordering::Relaxed) {
            park(None);
        }
    }
}
