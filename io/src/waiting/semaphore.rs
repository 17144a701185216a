//! A counting semaphore.

use std::ptr;
use std::sync::Arc;

use super::permits::{self, Permits};
use super::wait_queue::{AllServed, WaitQueue};
use crate::primitive::{AtomicUsize, Lock};

/// A number of permits. Freed permits go to the longest waiting, and nobody who comes later gets
/// ahead of it, also not who wants fewer.
#[derive(Debug)]
pub struct Semaphore {
    pub(crate) permits: Permits,
    /// Each with the number of permits that it wants.
    pub(crate) waiters: Lock<WaitQueue<usize>>,
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

    /// Takes a permit if one is free and nobody waits.
    #[inline]
    pub fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
        self.try_acquire_many(1)
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
    pub(crate) fn add_permits_slow(&self, count: usize) {
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
}

#[inline]
pub(crate) fn assert_possible(count: usize) {
    assert!(count <= Semaphore::PERMITS_MAX, "a semaphore has at most usize::MAX / 2 permits, {count} are wanted");
}

/// One or more permits, given back when this drops. Giving back never suspends.
#[must_use]
#[derive(Debug)]
pub struct SemaphorePermit<'a> {
    pub(crate) semaphore: &'a Semaphore,
    pub(crate) count: usize,
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
