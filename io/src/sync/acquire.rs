//! Waiting for the permits of a semaphore.

use std::ptr;

use super::forms::{Until, uncancelable};
use super::queued::{Call, Done, Queued};
use super::wait::{GaveUp, wait};
use crate::context::{self, Context};
use crate::primitive::Lock;
use crate::select::Selectable;
use crate::waiting::{AllServed, Choice, Semaphore, SemaphorePermit, WaitQueue, assert_possible};
use crate::{Canceled, Io};

impl Semaphore {
    /// Waits for a permit and takes it.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if a permit is free. A canceled wait takes none.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    #[inline]
    pub fn acquire(&self, io: &dyn Io) -> Result<SemaphorePermit<'_>, Canceled> {
        self.acquire_many(io, 1)
    }

    /// Waits for a permit and takes it. Requests do not end the wait.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    #[inline]
    pub fn acquire_uncancelable(&self, io: &dyn Io) -> SemaphorePermit<'_> {
        self.acquire_many_uncancelable(io, 1)
    }

    /// Returns a source that takes a permit. For [`select`](crate::Io#method.select). The waiter stands in the queue of
    /// the semaphore like every other.
    pub fn on_acquire(&self) -> impl Selectable<Output = SemaphorePermit<'_>> + '_ {
        self.on_acquire_many(1)
    }

    /// Returns a source that takes `count` permits at once, like [`on_acquire`](Self::on_acquire).
    ///
    /// # Panics
    ///
    /// See [`acquire_many`](Self::acquire_many).
    pub fn on_acquire_many(&self, count: usize) -> impl Selectable<Output = SemaphorePermit<'_>> + '_ {
        assert_possible(count);
        Queued::new(Acquiring { semaphore: self, count })
    }

    /// Waits until `count` permits are free and takes them at once. Waits forever if there never are so many.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if they are free. A canceled wait takes none.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    ///
    /// # Panics
    ///
    /// Panics if `count` is more than [`PERMITS_MAX`](Self::PERMITS_MAX).
    #[inline]
    pub fn acquire_many(&self, io: &dyn Io, count: usize) -> Result<SemaphorePermit<'_>, Canceled> {
        self.acquire_until(io, count, Until::Canceled)
    }

    /// Waits until `count` permits are free and takes them at once. Requests do not end the wait.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    ///
    /// # Panics
    ///
    /// See [`acquire_many`](Self::acquire_many).
    #[inline]
    pub fn acquire_many_uncancelable(&self, io: &dyn Io, count: usize) -> SemaphorePermit<'_> {
        uncancelable(|until| self.acquire_until(io, count, until))
    }

    #[inline]
    pub(super) fn acquire_until(
        &self,
        io: &dyn Io,
        count: usize,
        until: Until,
    ) -> Result<SemaphorePermit<'_>, Canceled> {
        until.check(io)?;
        assert_possible(count);
        if !self.permits.take(count) {
            self.wait_slow(io, count, until)?;
        }
        Ok(SemaphorePermit { semaphore: self, count })
    }

    #[cold]
    fn wait_slow(&self, io: &dyn Io, count: usize, until: Until) -> Result<(), Canceled> {
        // Before the word says that a context waits.
        context::current(Context::assert_may_suspend);
        let waiters = self.waiters.lock();
        if self.permits.take_or_wait(count) {
            return Ok(());
        }
        wait(io, &self.waiters, waiters, |waiters| waiters, Some(count), until).map(drop).map_err(
            |GaveUp { why, .. }| {
                // The waiters behind may want fewer permits, which are free.
                self.add_permits_slow(0);
                why
            },
        )
    }
}

struct Acquiring<'a> {
    semaphore: &'a Semaphore,
    count: usize,
}

impl<'a> Call for Acquiring<'a> {
    type State = WaitQueue<usize>;
    type Value = usize;
    type Output = SemaphorePermit<'a>;

    fn lock(&self) -> &Lock<WaitQueue<usize>> {
        &self.semaphore.waiters
    }

    fn queue(waiters: &mut WaitQueue<usize>) -> &mut WaitQueue<usize> {
        waiters
    }

    fn attempt(&self, waiters: &mut WaitQueue<usize>, comer: Option<&Choice>) -> Option<Done<usize>> {
        match comer {
            None => self.attempt_unlocked(),
            Some(comer) => self.attempt_slow(waiters, comer),
        }
    }

    #[inline]
    fn attempt_unlocked(&self) -> Option<Done<usize>> {
        let taken = self.semaphore.permits.take(self.count);
        taken.then_some(Done { value: None, served: AllServed::default() })
    }

    fn bring(&self) -> Option<usize> {
        Some(self.count)
    }

    fn lose(&self, _: Option<usize>) {
        // For the same reason as in `wait_slow`.
        self.semaphore.add_permits_slow(0);
    }

    fn output(self, _: Option<usize>) -> SemaphorePermit<'a> {
        SemaphorePermit { semaphore: self.semaphore, count: self.count }
    }
}

impl Acquiring<'_> {
    /// Takes the permits for a waiter that is about to enter the queue.
    #[cold]
    fn attempt_slow(&self, waiters: &mut WaitQueue<usize>, comer: &Choice) -> Option<Done<usize>> {
        let Self { semaphore: Semaphore { permits, .. }, count } = self;
        // From here on the number changes only under the lock, so free permits stay free until they are taken.
        let free = permits.free_to_wait();
        // No new caller gets ahead of the waiters. The first waiter itself may take permits: it may have waited for
        // another number.
        let may_take = waiters.is_empty() || waiters.is_first(comer);
        let Some(left) = free.checked_sub(*count).filter(|_| may_take) else {
            comer.stands_in(ptr::from_ref(waiters).addr());
            return None;
        };
        let done = Done::alone(None, Some(comer))?;
        permits.settle(left, !waiters.is_empty());
        Some(done)
    }
}
