//! Room in a queue, as a number of permits, and a count of accepted jobs.

use std::sync::atomic::{AtomicU64, Ordering};

use iolite_io::sync::Semaphore;
use iolite_io::{Canceled, Io};

/// Permits to put a job into a queue.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Permits {
    /// A worker calls `is_all_free` after it saw that the bridge is closed, and a caller checks whether the bridge is
    /// closed after it took a permit: see [`Closing`](iolite_io::backend::Closing).
    free: Semaphore,
    /// The number of jobs that were put into the queue. It is here because it shares its cache line with `free`, which
    /// the same callers write.
    accepted: AtomicU64,
    waits: AtomicU64,
    capacity: usize,
}

impl Permits {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { free: Semaphore::new(capacity), accepted: AtomicU64::new(0), waits: AtomicU64::new(0), capacity }
    }

    /// Waits for a permit and takes it; callers are served in order.
    ///
    /// # Cancellation
    ///
    /// A cancellation point if it has to wait. A canceled wait takes no permit.
    #[inline]
    pub(crate) fn acquire(&self, io: &dyn Io) -> Result<(), Canceled> {
        if self.try_acquire() { Ok(()) } else { self.acquire_slow(io) }
    }

    #[cold]
    fn acquire_slow(&self, io: &dyn Io) -> Result<(), Canceled> {
        self.waits.fetch_add(1, Ordering::Relaxed);
        self.free.acquire(io)?.forget();
        Ok(())
    }

    /// Takes a permit if one is free.
    #[inline]
    pub(crate) fn try_acquire(&self) -> bool {
        self.free.try_acquire().map(|permit| permit.forget()).is_some()
    }

    /// Returns a permit, and passes it to the caller that waits longest, if any. Never suspends.
    #[inline]
    pub(crate) fn release(&self) {
        self.free.add_permits(1);
    }

    /// Returns true if nobody has a permit or waits for one: the queue is empty, and no caller is about to put a job
    /// in.
    pub(crate) fn is_all_free(&self) -> bool {
        self.free.available() == self.capacity
    }

    /// Returns the number of permits that are taken.
    pub(crate) fn taken(&self) -> usize {
        self.capacity - self.free.available()
    }

    pub(crate) fn count_accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    pub(crate) fn waits(&self) -> u64 {
        self.waits.load(Ordering::Relaxed)
    }
}
