//! Room in a queue, counted, and how often it was wanted.

use std::sync::atomic::{AtomicU64, Ordering};

use iolite_io::sync::Semaphore;
use iolite_io::{Canceled, Io};

/// Permits to put a job into a queue.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Permits {
    /// A worker asks `is_all_free` after it saw that the bridge is closed, and a caller looks whether it is closed
    /// after it took a permit: see [`Closing`](iolite_io::backend::Closing).
    free: Semaphore,
    /// How many jobs were put into the queue; here because it shares its cache line with `free`,
    /// which the same callers write.
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
    /// A cancellation point where it has to wait; a canceled wait takes none.
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

    /// Gives a permit back, to the caller that waits longest if there is one. Never suspends.
    #[inline]
    pub(crate) fn release(&self) {
        self.free.add_permits(1);
    }

    /// Whether nobody has a permit, nor waits for one: the queue is empty, and nobody is about to
    /// put something in.
    pub(crate) fn is_all_free(&self) -> bool {
        self.free.available() == self.capacity
    }

    /// How many permits are taken.
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
