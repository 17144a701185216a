//! A condition variable.

use super::forms::{Until, uncancelable};
use super::mutex::MutexGuard;
use super::wait::wait;
use crate::context::{self, Context};
use crate::primitive::Lock;
use crate::waiting::WaitQueue;
use crate::{Canceled, Io};

/// Waits for a condition on what a [`Mutex`](super::Mutex) guards.
///
/// It does not wake for nothing, but others can have changed the condition before the woken has the mutex
/// again: wait in a loop.
///
/// It is no source to [wait for](mod@crate::select) among others: such a wait would end without the mutex. What is to be
/// waited for with other things has an [`Event`](super::Event), a [`Notify`](super::Notify) or a
/// [`watch`](super::watch) beside it.
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
    /// Makes one for which nobody waits.
    pub const fn new() -> Self {
        Self { waiters: Lock::new(WaitQueue::new()) }
    }

    /// Wakes the longest waiting, if there is one. Never suspends; from any thread.
    pub fn notify_one(&self) {
        let next = self.waiters.lock().release();
        next.into_iter().for_each(|next| next.wake());
    }

    /// Wakes all who wait. Never suspends; from any thread.
    pub fn notify_all(&self) {
        let all = self.waiters.lock().release_all();
        all.wake();
    }

    /// Unlocks the mutex, waits for a notification, and locks the mutex again: whoever notifies after it has
    /// locked the mutex is heard.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if a notification is about to come. The mutex is locked again in any case,
    /// also when it was canceled, however long that takes. A notification is never lost: who got one returns
    /// success, who is canceled leaves it to the next.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn wait<T: ?Sized>(&self, io: &dyn Io, guard: &mut MutexGuard<'_, T>) -> Result<(), Canceled> {
        self.wait_until(io, guard, Until::Canceled)
    }

    /// As [`wait`](Self::wait), whatever is requested meanwhile.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn wait_uncancelable<T: ?Sized>(&self, io: &dyn Io, guard: &mut MutexGuard<'_, T>) {
        uncancelable(|until| self.wait_until(io, guard, until));
    }

    fn wait_until<T: ?Sized>(&self, io: &dyn Io, guard: &mut MutexGuard<'_, T>, until: Until) -> Result<(), Canceled> {
        until.check(io)?;
        // Here it may still panic.
        context::current(Context::assert_may_suspend);
        // Before the mutex is unlocked, so that nobody notifies before the caller is in the queue.
        let waiters = self.waiters.lock();
        guard.unlocked(io, || wait(io, &self.waiters, waiters, |waiters| waiters, None, until))?;
        Ok(())
    }
}
