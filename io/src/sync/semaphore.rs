//! A counting semaphore.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::queue::{Queue, Until, Waited, wait};
use crate::cancel::{TimedOut, WaitError};
use crate::primitive::Lock;
use crate::time::Instant;
use crate::{Canceled, Io};

/// A number of permits. A freed permit goes to the longest waiting.
#[derive(Debug)]
pub struct Semaphore {
    /// Free permits, times `PERMIT`, and `WAITING`. There are no free permits while somebody waits.
    word: AtomicUsize,
    waiters: Lock<Queue<()>>,
}

/// Somebody may be in the queue. Set under its lock, by who is about to wait; cleared under it, by who
/// finds nobody waiting any more. While it is set, permits are given back under the lock.
const WAITING: usize = 1;
const PERMIT: usize = 2;

impl Semaphore {
    /// The most permits a semaphore can have.
    pub const PERMITS_MAX: usize = usize::MAX / PERMIT;

    /// Makes a semaphore with that many permits.
    ///
    /// # Panics
    ///
    /// With more than [`PERMITS_MAX`](Self::PERMITS_MAX).
    pub const fn new(permits: usize) -> Self {
        assert!(permits <= Self::PERMITS_MAX, "a semaphore has at most usize::MAX / 2 permits");
        Self { word: AtomicUsize::new(permits * PERMIT), waiters: Lock::new(Queue::new()) }
    }

    /// How many permits are free.
    pub fn available(&self) -> usize {
        self.word.load(Ordering::SeqCst) / PERMIT
    }

    /// How many contexts wait for a permit.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.waiters.lock().len()
    }

    /// Waits for a permit and takes it.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, also when a permit is free. A canceled wait takes none.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn acquire(&self, io: &dyn Io) -> Result<SemaphorePermit<'_>, Canceled> {
        io.check_cancel()?;
        match self.take(io, Until::Canceled) {
            Waited::Canceled(_, canceled) => Err(canceled),
            _ => Ok(SemaphorePermit { semaphore: self }),
        }
    }

    /// Waits for a permit and takes it, whatever is requested meanwhile.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn acquire_uncancelable(&self, io: &dyn Io) -> SemaphorePermit<'_> {
        self.take(io, Until::Served);
        SemaphorePermit { semaphore: self }
    }

    /// As [`acquire`](Self::acquire), until `deadline`.
    ///
    /// # Cancellation
    ///
    /// As `acquire`.
    ///
    /// # Errors
    ///
    /// [`WaitError`].
    pub fn acquire_deadline(&self, io: &dyn Io, deadline: Instant) -> Result<SemaphorePermit<'_>, WaitError> {
        io.check_cancel()?;
        match self.take(io, Until::Deadline(deadline)) {
            Waited::Served(_) => Ok(SemaphorePermit { semaphore: self }),
            Waited::Canceled(_, canceled) => Err(canceled.into()),
            Waited::TimedOut(_) => Err(TimedOut.into()),
        }
    }

    /// Takes a permit if one is free.
    pub fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
        self.take_free().then(|| SemaphorePermit { semaphore: self })
    }

    /// Adds a permit: one more than there were, or one that was [forgotten](SemaphorePermit::forget).
    ///
    /// # Panics
    ///
    /// With more than [`PERMITS_MAX`](Self::PERMITS_MAX).
    #[inline]
    pub fn release(&self) {
        // SeqCst, here and in `take_free`: backends count with semaphores what has to end before they do.
        let add = |word: usize| {
            (word & WAITING == 0)
                .then(|| word.checked_add(PERMIT).expect("a semaphore has at most usize::MAX / 2 permits"))
        };
        if self.word.fetch_update(Ordering::SeqCst, Ordering::Relaxed, add).is_err() {
            self.release_slow();
        }
    }

    #[cold]
    fn release_slow(&self) {
        let mut waiters = self.waiters.lock();
        let next = waiters.release();
        if waiters.is_empty() {
            // Nobody else changes the word while the bit is set and the lock held. Where all had given
            // up, the permit is free.
            self.word.store(if next.is_some() { 0 } else { PERMIT }, Ordering::SeqCst);
        }
        drop(waiters);
        if let Some(next) = next {
            next.wake();
        }
    }

    #[inline]
    fn take_free(&self) -> bool {
        let take = |word: usize| word.checked_sub(PERMIT);
        self.word.fetch_update(Ordering::SeqCst, Ordering::Relaxed, take).is_ok()
    }

    #[inline]
    fn take(&self, io: &dyn Io, until: Until) -> Waited<()> {
        if self.take_free() { Waited::Served(None) } else { self.take_slow(io, until) }
    }

    #[cold]
    fn take_slow(&self, io: &dyn Io, until: Until) -> Waited<()> {
        let waiters = self.waiters.lock();
        let take_or_wait = |word: usize| match word {
            0 => Some(WAITING),
            WAITING => None,
            free => Some(free - PERMIT),
        };
        match self.word.fetch_update(Ordering::SeqCst, Ordering::Relaxed, take_or_wait) {
            Ok(free) if free >= PERMIT => Waited::Served(None),
            // From here on permits come through the queue.
            _ => wait(io, &self.waiters, waiters, |waiters| waiters, None, until),
        }
    }
}

/// A permit, given back when this drops. Giving back never suspends.
#[must_use]
#[derive(Debug)]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
}

impl SemaphorePermit<'_> {
    /// Keeps the permit taken after this is gone; [`Semaphore::release`] gives it back.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for SemaphorePermit<'_> {
    fn drop(&mut self) {
        self.semaphore.release();
    }
}
