//! Threads, and where a worker sleeps. What a thread does is the pool's to say.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use iolite_io::backend::{Unparker, claim_thread, current, monotonic_now, park};

/// Where a worker sleeps until it is called.
#[derive(Debug)]
pub(crate) struct Seat {
    /// Set by who calls, after it took the seat from those asleep; cleared by the worker. Relaxed: the token that follows
    /// tells of it, and what the worker comes for is under the pool's lock.
    called: AtomicBool,
    unparker: Unparker,
}

impl Seat {
    /// The seat of the calling thread.
    pub(crate) fn take() -> Arc<Self> {
        Arc::new(Self { called: AtomicBool::new(false), unparker: current(|context| context.unparker()) })
    }

    /// Calls the worker, once for each time that it was asleep.
    pub(crate) fn call(&self) {
        self.called.store(true, Ordering::Relaxed);
        self.unparker.unpark();
    }

    /// Sleeps until called; `false` when nobody called in time.
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

    /// Sleeps until called.
    pub(crate) fn sleep_until_called(&self) {
        while !self.called.swap(false, Ordering::Relaxed) {
            park(None);
        }
    }
}

/// Starts a thread for a job, which comes back when the system refuses.
pub(crate) fn spawn<J: Send + 'static>(
    name: String,
    stack_bytes: usize,
    job: J,
    body: impl FnOnce(J) + Send + 'static,
) -> Result<(), (J, io::Error)> {
    // Shared, rather than in the thread's closure, which a failing spawn drops.
    let first = Arc::new(Mutex::new(Some(job)));
    let take = |first: &Mutex<Option<J>>| first.lock().unwrap_or_else(PoisonError::into_inner).take();
    let thread_first = first.clone();
    let spawned = thread::Builder::new().name(name).stack_size(stack_bytes).spawn(move || {
        claim_thread();
        if let Some(job) = take(&thread_first) {
            body(job);
        }
    });
    spawned.map(drop).map_err(|error| (take(&first).expect("no thread took it"), error))
}
