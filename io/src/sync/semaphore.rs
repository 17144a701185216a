//! A counting semaphore.

use std::ptr;
use std::sync::Arc;

use super::choice::Choice;
use super::forms::{Until, cancelable, uncancelable};
use super::permits::{self, Permits};
use super::queued::{Call, Done, Queued};
use super::wait::{GaveUp, wait};
use super::wait_queue::{AllServed, WaitQueue};
use crate::cancel::WaitError;
use crate::context::{self, Context};
use crate::primitive::{AtomicUsize, Lock};
use crate::select::Selectable;
use crate::time::Instant;
use crate::{Canceled, Io};

/// A number of permits. Freed permits go to the longest waiting, and nobody who comes later gets
/// ahead of it, also not who wants fewer.
#[derive(Debug)]
pub struct Semaphore {
    permits: Permits,
    /// Each with the number of permits that it wants.
    waiters: Lock<WaitQueue<usize>>,
}

impl Semaphore {
    /// The most permits a semaphore can have.
    pub const PERMITS_MAX: usize = permits::PERMITS_MAX;

    /// Makes a semaphore with that many permits, [`PERMITS_MAX`](Self::PERMITS_MAX) at most.
    pub const fn new(permits: usize) -> Self {
        Self {
            permits: Permits::new(AtomicUsize::new(permits::word_of(permits))),
            waiters: Lock::new(WaitQueue::new()),
        }
    }

    /// How many permits are free.
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
    #[inline]
    pub fn acquire(&self, io: &dyn Io) -> Result<SemaphorePermit<'_>, Canceled> {
        self.acquire_many(io, 1)
    }

    /// Waits for a permit and takes it, whatever is requested meanwhile.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    #[inline]
    pub fn acquire_uncancelable(&self, io: &dyn Io) -> SemaphorePermit<'_> {
        self.acquire_many_uncancelable(io, 1)
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
    #[inline]
    pub fn acquire_deadline(&self, io: &dyn Io, deadline: Instant) -> Result<SemaphorePermit<'_>, WaitError> {
        self.acquire_many_deadline(io, 1, deadline)
    }

    /// A permit, as one of many things to [wait for](crate::Io#method.select). Who waits has its place among all
    /// others who do.
    pub fn on_acquire(&self) -> impl Selectable<Output = SemaphorePermit<'_>> + '_ {
        self.on_acquire_many(1)
    }

    /// As [`acquiring`](Self::on_acquire), for `count` permits at once.
    ///
    /// # Panics
    ///
    /// As [`acquire_many`](Self::acquire_many).
    pub fn on_acquire_many(&self, count: usize) -> impl Selectable<Output = SemaphorePermit<'_>> + '_ {
        assert_possible(count);
        Queued::new(Acquiring { semaphore: self, count })
    }

    /// Takes a permit if one is free and nobody waits.
    #[inline]
    pub fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
        self.try_acquire_many(1)
    }

    /// Waits for `count` permits and takes them at once. For ever, if there never are so many.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, also when they are free. A canceled wait takes none.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    ///
    /// # Panics
    ///
    /// When `count` is more than [`PERMITS_MAX`](Self::PERMITS_MAX).
    #[inline]
    pub fn acquire_many(&self, io: &dyn Io, count: usize) -> Result<SemaphorePermit<'_>, Canceled> {
        cancelable(|until| self.acquire_until(io, count, until))
    }

    /// Waits for `count` permits and takes them at once, whatever is requested meanwhile.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    ///
    /// # Panics
    ///
    /// As [`acquire_many`](Self::acquire_many).
    #[inline]
    pub fn acquire_many_uncancelable(&self, io: &dyn Io, count: usize) -> SemaphorePermit<'_> {
        uncancelable(|until| self.acquire_until(io, count, until))
    }

    /// As [`acquire_many`](Self::acquire_many), until `deadline`.
    ///
    /// # Cancellation
    ///
    /// As `acquire_many`.
    ///
    /// # Errors
    ///
    /// [`WaitError`].
    ///
    /// # Panics
    ///
    /// As `acquire_many`.
    #[inline]
    pub fn acquire_many_deadline(
        &self,
        io: &dyn Io,
        count: usize,
        deadline: Instant,
    ) -> Result<SemaphorePermit<'_>, WaitError> {
        self.acquire_until(io, count, Until::Deadline(deadline))
    }

    /// Takes `count` permits if they are free and nobody waits.
    ///
    /// # Panics
    ///
    /// As [`acquire_many`](Self::acquire_many).
    #[inline]
    pub fn try_acquire_many(&self, count: usize) -> Option<SemaphorePermit<'_>> {
        assert_possible(count);
        self.permits.take(count).then(|| SemaphorePermit { semaphore: self, count })
    }

    /// Adds `count` permits, which nobody need have taken: permits that were [forgotten](SemaphorePermit::forget), or new
    /// ones. A permit that was acquired comes back by itself when it is dropped.
    ///
    /// # Panics
    ///
    /// When the semaphore would have more than [`PERMITS_MAX`](Self::PERMITS_MAX) permits.
    #[inline]
    pub fn add_permits(&self, count: usize) {
        if !self.permits.give(count) {
            self.add_permits_slow(count);
        }
    }

    #[cold]
    fn add_permits_slow(&self, count: usize) {
        let mut waiters = self.waiters.lock();
        // Another one may have settled before the lock was taken; now nobody can.
        if self.permits.give(count) {
            return;
        }
        let mut free = self.permits.free_with(count);
        let mut served = AllServed::default();
        while let Some((count, next)) = waiters.take_if(|wanted| *wanted <= free) {
            free -= count;
            served.extend(Some(next));
        }
        self.permits.settle(free, !waiters.is_empty());
        drop(waiters);
        served.wake();
    }

    #[inline]
    pub(super) fn acquire_until(
        &self,
        io: &dyn Io,
        count: usize,
        until: Until,
    ) -> Result<SemaphorePermit<'_>, WaitError> {
        until.check(io)?;
        assert_possible(count);
        if !self.permits.take(count) {
            self.wait_slow(io, count, until)?;
        }
        Ok(SemaphorePermit { semaphore: self, count })
    }

    #[cold]
    fn wait_slow(&self, io: &dyn Io, count: usize, until: Until) -> Result<(), WaitError> {
        // Before the word says that somebody waits.
        context::current(Context::assert_may_suspend);
        let waiters = self.waiters.lock();
        if self.permits.take_or_wait(count) {
            return Ok(());
        }
        wait(io, &self.waiters, waiters, |waiters| waiters, Some(count), until).map(drop).map_err(
            |GaveUp { why, .. }| {
                // Those behind may want fewer, which are free.
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
        // As in `wait_slow`.
        self.semaphore.add_permits_slow(0);
    }

    fn output(self, _: Option<usize>) -> SemaphorePermit<'a> {
        SemaphorePermit { semaphore: self.semaphore, count: self.count }
    }
}

impl Acquiring<'_> {
    /// Takes the permits for a waiter that is about to have a place in the queue.
    #[cold]
    fn attempt_slow(&self, waiters: &mut WaitQueue<usize>, comer: &Choice) -> Option<Done<usize>> {
        let Self { semaphore: Semaphore { permits, .. }, count } = self;
        // From here on the number changes under the lock only: what is free stays so until it is taken.
        let free = permits.free_to_wait();
        // Nobody gets ahead of those who wait, but whoever waits the longest may have waited for another number.
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

#[inline]
fn assert_possible(count: usize) {
    assert!(count <= Semaphore::PERMITS_MAX, "a semaphore has at most usize::MAX / 2 permits, {count} are wanted");
}

/// One or more permits, given back when this drops. Giving back never suspends.
#[must_use]
#[derive(Debug)]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
    count: usize,
}

impl SemaphorePermit<'_> {
    /// How many permits these are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The same permits, which keep `semaphore`, theirs, for what must not borrow it: a task that is not a group's
    /// member, a field.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use iolite_io::net::{TcpListener, TcpStream};
    /// use iolite_io::sync::Semaphore;
    /// use iolite_io::Io;
    ///
    /// fn serve(io: &dyn Io, listener: &TcpListener, at_most: usize) -> std::io::Result<()> {
    ///     let free = Arc::new(Semaphore::new(at_most));
    ///     loop {
    ///         let permit = free.acquire(io)?.into_owned(&free);
    ///         let (stream, _) = listener.accept(io)?;
    ///         io.spawn_waiting(move |io| {
    ///             let _permit = permit;
    ///             answer(io, &stream)
    ///         })?
    ///         .detach();
    ///     }
    /// }
    /// # fn answer(io: &dyn Io, stream: &TcpStream) {}
    /// ```
    ///
    /// # Panics
    ///
    /// When `semaphore` is another one; the permits are given back.
    pub fn into_owned(self, semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
        assert!(ptr::eq(self.semaphore, &**semaphore), "a permit of another semaphore");
        let owned = OwnedSemaphorePermit { semaphore: semaphore.clone(), count: self.count };
        self.forget();
        owned
    }

    /// Keeps the permits taken after this is gone; [`Semaphore::add_permits`] gives them back.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for SemaphorePermit<'_> {
    fn drop(&mut self) {
        self.semaphore.add_permits(self.count);
    }
}

/// A [`SemaphorePermit`] that borrows nothing; from [`into_owned`](SemaphorePermit::into_owned).
#[must_use]
#[derive(Debug)]
pub struct OwnedSemaphorePermit {
    semaphore: Arc<Semaphore>,
    count: usize,
}

impl OwnedSemaphorePermit {
    /// As [`SemaphorePermit::count`].
    pub fn count(&self) -> usize {
        self.count
    }

    /// As [`SemaphorePermit::forget`].
    pub fn forget(mut self) {
        self.count = 0;
    }
}

impl Drop for OwnedSemaphorePermit {
    fn drop(&mut self) {
        self.semaphore.add_permits(self.count);
    }
}
