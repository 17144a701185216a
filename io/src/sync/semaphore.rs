//! A counting semaphore.

use super::permits::{self, Permits};
use super::primitive::AtomicUsize;
use super::queue::{Queue, Until, Waited, wait};
use crate::cancel::{TimedOut, WaitError};
use crate::primitive::Lock;
use crate::time::Instant;
use crate::{Canceled, Io};

/// A number of permits. A freed permit goes to the longest waiting.
#[derive(Debug)]
pub struct Semaphore {
    permits: Permits,
    waiters: Lock<Queue<()>>,
}

impl Semaphore {
    /// The most permits a semaphore can have.
    pub const PERMITS_MAX: usize = permits::PERMITS_MAX;

    /// Makes a semaphore with that many permits, [`PERMITS_MAX`](Self::PERMITS_MAX) at most.
    pub const fn new(permits: usize) -> Self {
        Self { permits: Permits::new(AtomicUsize::new(permits::word_of(permits))), waiters: Lock::new(Queue::new()) }
    }

    /// How many permits are free.
    #[inline]
    pub fn available(&self) -> usize {
        self.permits.free()
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
    #[inline]
    pub fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
        self.permits.take().then(|| SemaphorePermit { semaphore: self })
    }

    /// Adds a permit: one more than there were, or one that was [forgotten](SemaphorePermit::forget).
    ///
    /// # Panics
    ///
    /// With more than [`PERMITS_MAX`](Self::PERMITS_MAX).
    #[inline]
    pub fn release(&self) {
        if !self.permits.give() {
            self.release_slow();
        }
    }

    #[cold]
    fn release_slow(&self) {
        let mut waiters = self.waiters.lock();
        // Another one may have settled before the lock was taken; now nobody can.
        if self.permits.give() {
            return;
        }
        let next = waiters.release();
        if waiters.is_empty() {
            self.permits.settle(next.is_some());
        }
        drop(waiters);
        if let Some(next) = next {
            next.wake();
        }
    }

    #[inline]
    fn take(&self, io: &dyn Io, until: Until) -> Waited<()> {
        if self.permits.take() { Waited::Served(None) } else { self.take_slow(io, until) }
    }

    #[cold]
    fn take_slow(&self, io: &dyn Io, until: Until) -> Waited<()> {
        let waiters = self.waiters.lock();
        if self.permits.take_or_wait() {
            return Waited::Served(None);
        }
        wait(io, &self.waiters, waiters, |waiters| waiters, None, until)
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
    #[inline]
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for SemaphorePermit<'_> {
    #[inline]
    fn drop(&mut self) {
        self.semaphore.release();
    }
}
