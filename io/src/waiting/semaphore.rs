//! A counting semaphore.

use std::ptr;
use std::sync::Arc;

use super::permits::{self, Permits};
use super::wait_queue::{AllServed, WaitQueue};
use crate::primitive::{AtomicUsize, Lock};

/// A counting semaphore. Permits that become free go to the waiters in order of arrival. No later caller gets ahead of
/// a waiter, not even one that wants fewer permits.
#[derive(Debug)]
pub struct Semaphore {
    pub(crate) permits: Permits,
    /// The waiters, each with the number of permits that it wants.
    pub(crate) waiters: Lock<WaitQueue<usize>>,
}

impl Semaphore {
    /// The maximum number of permits of a semaphore.
    pub const PERMITS_MAX: usize = permits::PERMITS_MAX;

    /// Makes a semaphore with `permits` permits, at most [`PERMITS_MAX`](Self::PERMITS_MAX).
    pub const fn new(permits: usize) -> Self {
        Self {
            permits: Permits::new(AtomicUsize::new(permits::word_of(permits))),
            waiters: Lock::new(WaitQueue::new()),
        }
    }

    /// Returns the number of free permits.
    pub fn available(&self) -> usize {
        self.permits.free()
    }

    /// Returns the number of contexts that wait for a permit.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.waiters.lock().len()
    }

    /// Takes a permit if one is free and nobody waits.
    #[inline]
    pub fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
        self.try_acquire_many(1)
    }

    /// Takes `count` permits if they are free and nobody waits.
    ///
    /// # Panics
    ///
    /// Panics if `count` is more than [`PERMITS_MAX`](Self::PERMITS_MAX).
    #[inline]
    pub fn try_acquire_many(&self, count: usize) -> Option<SemaphorePermit<'_>> {
        assert_possible(count);
        self.permits.take(count).then(|| SemaphorePermit { semaphore: self, count })
    }

    /// Adds `count` permits: new ones, or those that were [forgotten](SemaphorePermit::forget). A permit that is dropped is
    /// added without this call.
    ///
    /// # Panics
    ///
    /// Panics if the semaphore would have more than [`PERMITS_MAX`](Self::PERMITS_MAX) permits.
    #[inline]
    pub fn add_permits(&self, count: usize) {
        if !self.permits.give(count) {
            self.add_permits_slow(count);
        }
    }

    #[cold]
    pub(crate) fn add_permits_slow(&self, count: usize) {
        let mut waiters = self.waiters.lock();
        // Another context may have settled before the lock was taken; now none can.
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
}

#[inline]
pub(crate) fn assert_possible(count: usize) {
    assert!(count <= Semaphore::PERMITS_MAX, "a semaphore has at most usize::MAX / 2 permits, {count} are wanted");
}

/// Holds one or more permits, and gives them back when it drops. Giving back never suspends.
#[must_use]
#[derive(Debug)]
pub struct SemaphorePermit<'a> {
    pub(crate) semaphore: &'a Semaphore,
    pub(crate) count: usize,
}

impl SemaphorePermit<'_> {
    /// Returns the number of permits.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Converts the guard to one that keeps `semaphore`, to which the permits belong, alive instead of borrowing it,
    /// for use in a task that is not a member of a group, or in a field.
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
    /// Panics if `semaphore` is another one; the permits are given back.
    pub fn into_owned(self, semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
        assert!(ptr::eq(self.semaphore, &**semaphore), "a permit of another semaphore");
        let owned = OwnedSemaphorePermit { semaphore: semaphore.clone(), count: self.count };
        self.forget();
        owned
    }

    /// Drops the guard without giving the permits back; [`Semaphore::add_permits`] gives them back.
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
    /// Returns the number of permits.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Drops the guard without giving the permits back; [`Semaphore::add_permits`] gives them back.
    pub fn forget(mut self) {
        self.count = 0;
    }
}

impl Drop for OwnedSemaphorePermit {
    fn drop(&mut self) {
        self.semaphore.add_permits(self.count);
    }
}
