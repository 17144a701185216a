//! A mutex that its holder may lock again.
#![allow(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::forms::{Until, uncancelable};
use crate::context::{self, Context};
use crate::waiting::Semaphore;
use crate::{Canceled, Io};

/// A mutex that its holder may lock again. It is free when all guards are gone.
///
/// The holder is a context: a task, together with the inline children that run on top of it, or a plain thread. Several
/// guards can exist at once, so a guard gives only shared access; put a [`Cell`](std::cell::Cell) or
/// [`RefCell`](std::cell::RefCell) into the mutex to change the value.
///
/// Waiters get the mutex in order of arrival, and there is no poisoning. A leaked guard keeps the mutex locked for all
/// other contexts.
///
/// A guard stays on the thread that locked:
///
/// ```compile_fail
/// fn moves<T: Send>() {}
/// moves::<iolite_io::sync::ReentrantMutexGuard<'static, u32>>();
/// ```
///
/// and a mutex does not make a value [`Send`] that is not:
///
/// ```compile_fail
/// fn shared<T: Sync>() {}
/// shared::<iolite_io::sync::ReentrantMutex<std::rc::Rc<()>>>();
/// ```
pub struct ReentrantMutex<T: ?Sized> {
    /// Has one permit, which the holder takes.
    free: Semaphore,
    /// The number of the context that holds the mutex, or 0. Written only by the holder, so a context that finds its
    /// own number here holds the mutex. Relaxed, because `free` orders the accesses of holders.
    holder: AtomicU64,
    /// The number of guards. Used only by the holder; Relaxed, like `holder`.
    guards: AtomicUsize,
    value: T,
}

// SAFETY: the value is reached by the context that holds the only permit. A context does not change its thread, its
// number is never used again, and guards are not `Send`: so the value is reached from one thread at a time, even
// through references that came from a leaked guard; the accesses of the last holder happen before.
unsafe impl<T: ?Sized + Send> Sync for ReentrantMutex<T> {}

impl<T> ReentrantMutex<T> {
    /// Makes an unlocked mutex.
    pub const fn new(value: T) -> Self {
        Self { free: Semaphore::new(1), holder: AtomicU64::new(0), guards: AtomicUsize::new(0), value }
    }

    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T: ?Sized> ReentrantMutex<T> {
    /// Locks the mutex; waits while another context holds it.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if it does not have to wait. A canceled wait does not change the mutex.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn lock(&self, io: &dyn Io) -> Result<ReentrantMutexGuard<'_, T>, Canceled> {
        self.lock_until(io, Until::Canceled)
    }

    /// Locks the mutex; waits while another context holds it. Requests do not end the wait.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn lock_uncancelable(&self, io: &dyn Io) -> ReentrantMutexGuard<'_, T> {
        uncancelable(|until| self.lock_until(io, until))
    }

    /// Locks the mutex if it is free or held by the caller.
    pub fn try_lock(&self) -> Option<ReentrantMutexGuard<'_, T>> {
        if !self.is_held() {
            self.free.try_acquire()?.forget();
        }
        Some(self.locked())
    }

    /// Returns the value without locking, because the exclusive borrow excludes all guards.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.value
    }

    fn lock_until(&self, io: &dyn Io, until: Until) -> Result<ReentrantMutexGuard<'_, T>, Canceled> {
        if self.is_held() {
            until.check(io)?;
        } else {
            self.free.acquire_until(io, 1, until)?.forget();
        }
        Ok(self.locked())
    }

    /// Returns true if the calling context holds the mutex.
    fn is_held(&self) -> bool {
        self.holder.load(Ordering::Relaxed) == caller()
    }

    /// Makes one more guard for the caller, which has the permit.
    fn locked(&self) -> ReentrantMutexGuard<'_, T> {
        self.holder.store(caller(), Ordering::Relaxed);
        self.guards.fetch_add(1, Ordering::Relaxed);
        ReentrantMutexGuard { mutex: self, stays: PhantomData }
    }
}

fn caller() -> u64 {
    context::current(Context::id).get()
}

impl<T: Default> Default for ReentrantMutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for ReentrantMutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: fmt::Debug + ?Sized> fmt::Debug for ReentrantMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_lock() {
            Some(guard) => f.debug_struct("ReentrantMutex").field("value", &&*guard).finish(),
            None => f.debug_struct("ReentrantMutex").field("value", &format_args!("<locked>")).finish(),
        }
    }
}

/// Holds one of the holder's locks until it drops. Unlocking never suspends.
#[must_use = "the mutex is unlocked when the guard drops"]
pub struct ReentrantMutexGuard<'a, T: ?Sized> {
    mutex: &'a ReentrantMutex<T>,
    /// Not `Send`.
    stays: PhantomData<*const ()>,
}

impl<T: ?Sized> Deref for ReentrantMutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.mutex.value
    }
}

impl<T: ?Sized> Drop for ReentrantMutexGuard<'_, T> {
    fn drop(&mut self) {
        if self.mutex.guards.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.mutex.holder.store(0, Ordering::Relaxed);
            self.mutex.free.add_permits(1);
        }
    }
}

impl<T: fmt::Debug + ?Sized> fmt::Debug for ReentrantMutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
