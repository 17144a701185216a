//! A mutex that may be held across suspensions.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::fmt;
use std::ops::{Deref, DerefMut};

use super::forms::{Until, uncancelable};
use crate::context;
use crate::select::Selectable;
use crate::waiting::Semaphore;
use crate::{Canceled, Io};

/// Mutual exclusion between contexts of any kind. May be held across blocking calls; not recursive.
///
/// Waiters get the mutex in order of arrival, so none starves. There is no poisoning: a panic of the holder unlocks the
/// mutex.
///
/// A mutex does not make a value [`Send`] that is not:
///
/// ```compile_fail
/// fn shared<T: Sync>() {}
/// shared::<iolite_io::sync::Mutex<std::rc::Rc<()>>>();
/// ```
///
/// A guard is shared only if the value may be:
///
/// ```compile_fail
/// fn shared<T: Sync>() {}
/// shared::<iolite_io::sync::MutexGuard<'static, std::cell::Cell<u32>>>();
/// ```
pub struct Mutex<T: ?Sized> {
    /// Has one permit, which the holder takes.
    free: Semaphore,
    value: UnsafeCell<T>,
}

// SAFETY: a shared mutex gives access to the value only through a guard. A guard is made only from the one permit,
// which its drop gives back, so one thread at a time has the value, and `T: Send` lets the value move to that thread.
// Giving back and taking the permit order the accesses of one holder before those of the next.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    /// Makes an unlocked mutex.
    pub const fn new(value: T) -> Self {
        Self { free: Semaphore::new(1), value: UnsafeCell::new(value) }
    }

    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the mutex and locks it.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if the mutex is free. A canceled wait does not change the mutex.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    #[inline]
    pub fn lock(&self, io: &dyn Io) -> Result<MutexGuard<'_, T>, Canceled> {
        self.lock_until(io, Until::Canceled)
    }

    /// Waits for the mutex and locks it. Requests do not end the wait.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    #[inline]
    pub fn lock_uncancelable(&self, io: &dyn Io) -> MutexGuard<'_, T> {
        uncancelable(|until| self.lock_until(io, until))
    }

    /// Returns a source that locks the mutex. For [`select`](crate::Io#method.select).
    pub fn on_lock(&self) -> impl Selectable<Output = MutexGuard<'_, T>> + '_ {
        self.free.on_acquire().map(|permit| {
            permit.forget();
            MutexGuard { mutex: self }
        })
    }

    /// Locks the mutex if it is free.
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.free.try_acquire()?.forget();
        Some(MutexGuard { mutex: self })
    }

    /// Returns the value without locking, because the exclusive borrow excludes all guards.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    #[inline]
    fn lock_until(&self, io: &dyn Io, until: Until) -> Result<MutexGuard<'_, T>, Canceled> {
        self.free.acquire_until(io, 1, until)?.forget();
        Ok(MutexGuard { mutex: self })
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: fmt::Debug + ?Sized> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_lock() {
            Some(guard) => f.debug_struct("Mutex").field("value", &&*guard).finish(),
            None => f.debug_struct("Mutex").field("value", &format_args!("<locked>")).finish(),
        }
    }
}

/// Holds the lock until it drops. Unlocking never suspends.
#[must_use = "the mutex is unlocked when the guard drops"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
}

// SAFETY: a shared guard gives a shared reference to the value and nothing else, and `T: Sync` lets several threads
// have one.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<T: ?Sized> MutexGuard<'_, T> {
    /// Runs `f` while the mutex is unlocked, and locks it again. Requests do not end the wait for the lock.
    ///
    /// `f` and the code after it must not unwind, because the guard claims to hold the lock the whole time: a panic
    /// ends the process.
    pub(super) fn unlocked<R>(&mut self, io: &dyn Io, f: impl FnOnce() -> R) -> R {
        context::or_abort(|| {
            self.mutex.free.add_permits(1);
            let result = f();
            self.mutex.free.acquire_uncancelable(io).forget();
            result
        })
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this guard has the only permit, so there is no other guard, and `get_mut` and `into_inner` need the
        // mutex exclusively. `&self` excludes `deref_mut` of this guard.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, there is no other guard; `&mut self` excludes every reference that this guard gave
        // out.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.free.add_permits(1);
    }
}

impl<T: fmt::Debug + ?Sized> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
