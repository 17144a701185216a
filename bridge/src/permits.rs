//! Room in a queue, counted: taken with one atomic where there is some, waited for in order where
//! there is none.

use std::hint;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread;

use iolite_io::sync::Semaphore;
use iolite_io::{Canceled, Io};

/// Permits to put a job into a queue; a benaphore.
///
/// `count` is the number of free permits, or minus the number of callers that wait for one and to
/// whom none is on its way. Whoever brings it from below 0 up by one (a release) passes a permit
/// through `turns`, to the caller that waits longest; so callers are served in order, and one that
/// comes later cannot overtake.
///
/// A caller that gives up brings the count up by one as well, and passes nothing, but only while
/// it is below 0: at 0 and above, every waiting caller has a permit on its way, this one too, and
/// has to take it.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Permits {
    count: AtomicI64,
    /// How many jobs were put into the queue; here because it shares its cache line with `count`,
    /// which the same callers write.
    accepted: AtomicU64,
    waits: AtomicU64,
    capacity: i64,
    turns: Semaphore,
}

impl Permits {
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = i64::try_from(capacity).expect("the builder bounds the capacity");
        Self {
            count: AtomicI64::new(capacity),
            accepted: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            capacity,
            turns: Semaphore::new(0),
        }
    }

    /// Waits for a permit and takes it.
    ///
    /// # Cancellation
    ///
    /// A cancellation point where it has to wait; a canceled wait takes none.
    #[inline]
    pub(crate) fn acquire(&self, io: &dyn Io) -> Result<(), Canceled> {
        // SeqCst: pairs with the worker's look at `is_all_free` after it saw that the bridge is
        // closed; the caller looks whether it is closed after this.
        if self.count.fetch_sub(1, Ordering::SeqCst) > 0 { Ok(()) } else { self.acquire_slow(io) }
    }

    #[cold]
    fn acquire_slow(&self, io: &dyn Io) -> Result<(), Canceled> {
        /// Leaves also if the wait panics, out of somebody's `Io`.
        struct Waiting<'a>(&'a Permits);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.leave();
            }
        }
        self.waits.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(self);
        self.turns.acquire(io)?.forget();
        std::mem::forget(waiting);
        Ok(())
    }

    /// Takes a permit if one is free.
    pub(crate) fn try_acquire(&self) -> bool {
        let take = |count| (count > 0).then_some(count - 1);
        // SeqCst: as in `acquire`.
        self.count.fetch_update(Ordering::SeqCst, Ordering::Relaxed, take).is_ok()
    }

    /// Gives a permit back, to the caller that waits longest if there is one. Never suspends.
    #[inline]
    pub(crate) fn release(&self) {
        // SeqCst: as in `acquire`; with it goes what the worker did to the slot before.
        if self.count.fetch_add(1, Ordering::SeqCst) < 0 {
            self.turns.release();
        }
    }

    /// Ends the wait of a caller that gives up.
    fn leave(&self) {
        let up = |count| (count < 0).then_some(count + 1);
        for tries in 0.. {
            if self.count.fetch_update(Ordering::SeqCst, Ordering::Relaxed, up).is_ok() {
                return;
            }
            // A permit is on its way to each that waits: between the two lines of `release`, which
            // does not suspend there. A caller that comes now may take it first; then the count is
            // below 0 again.
            if let Some(turn) = self.turns.try_acquire() {
                turn.forget();
                return self.release();
            }
            if tries < 64 { hint::spin_loop() } else { thread::yield_now() }
        }
    }

    /// Whether nobody has a permit, nor waits for one: the queue is empty, and nobody is about to
    /// put something in.
    pub(crate) fn is_all_free(&self) -> bool {
        self.count.load(Ordering::SeqCst) == self.capacity
    }

    /// How many permits are taken.
    pub(crate) fn taken(&self) -> usize {
        let free = self.count.load(Ordering::Relaxed).max(0);
        usize::try_from(self.capacity - free).unwrap_or(0)
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
