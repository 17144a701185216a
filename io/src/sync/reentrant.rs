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

/// A mutex that its holder may lock again; it is free when all guards are gone.
///
/// The holder is a context: a task, with the inline children that run on top of it, or a plain
/// thread. Several guards can be there at once, so a guard gives shared access only; put a
/// [`Cell`](std::cell::Cell) or [`RefCell`](std::cell::RefCell) into it to change the value.
///
/// It is handed to the longest waiting, and has no poison. A leaked guard keeps it locked for all other contexts.
///
/// A guard stays with who locked:
///
/// ```compile_fail
/// fn moves<T: Send>() {}
/// moves::<iolite_io::sync::ReentrantMutexGuard<'static, u32>>();
/// ```
///
/// and what is not [`Send`] does not become so in a mutex:
///
/// ```compile_fail
/// fn shared<T: Sync>() {}
/// shared::<iolite_io::sync::ReentrantMutex<std::rc::Rc<()>>>();
/// ```
pub struct ReentrantMutex<T: ?Sized> {
    /// Has one permit, which the holder has.
    free: Semaphore,
    /// The context that holds it, or 0. Written by the holder only, so that a context that finds itself
    /// here holds it; Relaxed, since `free` orders what holders do.
    holder: AtomicU64,
    /// How many guards there are. Used by the holder only; Relaxed, as `holder`.
    guards: AtomicUsize,
    value: T,
}

// SAFETY: the value is reached by the context that holds the only permit. Contexts do not change their
// threads and have numbers of their own for ever, and guards are not `Send`: so it is reached from one
// thread at a time, also by references that came from a leaked guard; what the last holder did happens
// before.
unsafe impl<T: ?Sized + Send> Sync for ReentrantMutex<T> {}

impl<T> ReentrantMutex<T> {
    /// Makes an unlocked mutex.
    pub const fn new(value: T) -> Self {
        Self { free: Semaphore::new(1), holder: AtomicU64::new(0), guards: AtomicUsize::new(0), value }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T: ?Sized> ReentrantMutex<T> {
    /// Locks the mutex, waiting while another context holds it.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if it need not wait. A canceled wait leaves it as it was.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn lock(&self, io: &dyn Io) -> Result<ReentrantMutexGuard<'_, T>, Canceled> {
        self.lock_until(io, Until::Canceled)
    }

    /// As [`lock`](Self::lock), whatever is requested meanwhile.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn lock_uncancelable(&self, io: &dyn Io) -> ReentrantMutexGuard<'_, T> {
        uncancelable(|until| self.lock_until(io, until))
    }

    /// Locks the mutex if it is free or the caller's.
    pub fn try_lock(&self) -> Option<ReentrantMutexGuard<'_, T>> {
        if !self.is_held() {
            self.free.try_acquire()?.forget();
        }
        Some(self.locked())
    }

    /// The value, without locking: the exclusive borrow is lock enough.
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

    /// Whether the calling context holds it.
    fn is_held(&self) -> bool {
        self.holder.load(Ordering::Relaxed) == caller()
    }

    /// Makes one more guard for the caller, who holds the permit.
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

/// One of the holder's locks, held until this drops. Unlocking never suspends.
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
