//! A counting semaphore.

use super::queue::{Queue, Until, Waited, wait};
use crate::cancel::{TimedOut, WaitError};
use crate::primitive::Lock;
use crate::time::Instant;
use crate::{Canceled, Io};

/// A number of permits. A freed permit goes to the longest waiting.
#[derive(Debug)]
pub struct Semaphore {
    state: Lock<State>,
}

#[derive(Debug)]
struct State {
    permits: usize,
    waiters: Queue<()>,
}

impl Semaphore {
    /// Makes a semaphore with that many permits.
    pub const fn new(permits: usize) -> Self {
        Self { state: Lock::new(State { permits, waiters: Queue::new() }) }
    }

    /// How many permits are free.
    pub fn available(&self) -> usize {
        self.state.lock().permits
    }

    /// How many contexts wait for a permit.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().waiters.len()
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
        let mut state = self.state.lock();
        state.permits = state.permits.checked_sub(1)?;
        Some(SemaphorePermit { semaphore: self })
    }

    /// Adds a permit: one more than there were, or one that was [forgotten](SemaphorePermit::forget).
    pub fn release(&self) {
        let mut state = self.state.lock();
        match state.waiters.release() {
            Some(next) => {
                drop(state);
                next.wake();
            }
            None => state.permits += 1,
        }
    }

    fn take(&self, io: &dyn Io, until: Until) -> Waited<()> {
        let mut state = self.state.lock();
        if state.permits > 0 {
            state.permits -= 1;
            return Waited::Served(None);
        }
        wait(io, &self.state, state, |state| &mut state.waiters, None, until)
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
