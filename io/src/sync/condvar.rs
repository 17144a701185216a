//! A condition variable.

use super::forms::{Until, uncancelable};
use super::mutex::MutexGuard;
use super::wait::wait;
use crate::context::{self, Context};
use crate::primitive::Lock;
use crate::waiting::WaitQueue;
use crate::{Canceled, Io};

/// Waits for a condition on the value that a [`Mutex`](super::Mutex) guards.
///
/// There are no spurious wake-ups, but others can change the condition before the woken waiter has the mutex again. So
/// wait in a loop.
///
/// A condition variable cannot be [selected](mod@crate::select), because such a wait would end without the mutex. For a
/// wait on several sources, use an [`Event`](super::Event), a [`Notify`](super::Notify) or a [`watch`](super::watch) in
/// addition.
///
/// # Examples
///
/// ```
/// # use iolite_io::{Canceled, Io, sync::{Condvar, Mutex}};
/// fn pop(io: &dyn Io, items: &Mutex<Vec<u32>>, pushed: &Condvar) -> Result<u32, Canceled> {
///     let mut guard = items.lock(io)?;
///     loop {
///         match guard.pop() {
///             Some(item) => return Ok(item),
///             None => pushed.wait(io, &mut guard)?,
///         }
///     }
/// }
/// ```
#[derive(Debug, Default)]
pub struct Condvar {
    waiters: Lock<WaitQueue<()>>,
}

impl Condvar {
    /// Makes a condition variable without waiters.
    pub const fn new() -> Self {
        Self { waiters: Lock::new(WaitQueue::new()) }
    }

    /// Wakes the waiter that has waited longest, if there is one. Never suspends; works from any thread.
    pub fn notify_one(&self) {
        let next = self.waiters.lock().release();
        next.into_iter().for_each(|next| next.wake());
    }

    /// Wakes all waiters. Never suspends; works from any thread.
    pub fn notify_all(&self) {
        let all = self.waiters.lock().release_all();
        all.wake();
    }

    /// Unlocks the mutex, waits for a notification, and locks the mutex again. A notification by a context that locks
    /// the mutex after this unlock is not missed.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if a notification is about to come. The mutex is locked again in any case, even after
    /// a cancellation, however long that takes. No notification is lost: a waiter that got one returns success, and a
    /// canceled waiter leaves it to the next.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn wait<T: ?Sized>(&self, io: &dyn Io, guard: &mut MutexGuard<'_, T>) -> Result<(), Canceled> {
        self.wait_until(io, guard, Until::Canceled)
    }

    /// Unlocks the mutex, waits for a notification, and locks the mutex again. Requests do not end the wait.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn wait_uncancelable<T: ?Sized>(&self, io: &dyn Io, guard: &mut MutexGuard<'_, T>) {
        uncancelable(|until| self.wait_until(io, guard, until));
    }

    fn wait_until<T: ?Sized>(&self, io: &dyn Io, guard: &mut MutexGuard<'_, T>, until: Until) -> Result<(), Canceled> {
        until.check(io)?;
        // At this point a panic is still allowed.
        context::current(Context::assert_may_suspend);
        // Before the mutex is unlocked, so that nobody notifies before the caller is in the queue.
        let waiters = self.waiters.lock();
        guard.unlocked(io, || wait(io, &self.waiters, waiters, |waiters| waiters, None, until))?;
        Ok(())
    }
}
