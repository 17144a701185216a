//! Threads: workers, and those of a single task.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use iolite_io::backend::{Unparker, claim_thread, current, monotonic_now, park};

use crate::pool::{Job, Pool};

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
    fn take() -> Arc<Self> {
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

/// Starts a worker with its first job, which comes back when the system refuses.
pub(crate) fn spawn(pool: &Arc<Pool>, name: String, job: Job) -> Result<(), (Job, io::Error)> {
    spawn_thread(pool, name, job, |pool, first| {
        let seat = Seat::take();
        first.run_on_worker();
        while let Some(job) = pool.next_job(&seat) {
            job.run_on_worker();
        }
    })
}

/// Starts a thread for one job, which comes back when the system refuses.
pub(crate) fn spawn_once(pool: &Arc<Pool>, name: String, job: Job) -> Result<(), (Job, io::Error)> {
    spawn_thread(pool, name, job, |_, job| job.run_here())
}

fn spawn_thread(pool: &Arc<Pool>, name: String, job: Job, body: fn(&Arc<Pool>, Job)) -> Result<(), (Job, io::Error)> {
    let thread = thread::Builder::new().name(name).stack_size(job.stack_bytes());
    // Shared, rather than in the thread's closure, which a failing spawn drops.
    let first = Arc::new(Mutex::new(Some(job)));
    let take = |first: &Mutex<Option<Job>>| first.lock().unwrap_or_else(PoisonError::into_inner).take();
    pool.thread_begins();
    let (thread_pool, thread_first) = (pool.clone(), first.clone());
    let spawned = thread.spawn(move || {
        let _counted = Counted(&thread_pool);
        claim_thread();
        if let Some(job) = take(&thread_first) {
            body(&thread_pool, job);
        }
    });
    match spawned {
        Ok(_) => Ok(()),
        Err(error) => {
            pool.thread_ended();
            Err((take(&first).expect("no thread took it"), error))
        }
    }
}

/// A thread that the pool counts.
struct Counted<'a>(&'a Pool);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.thread_ended();
    }
}
