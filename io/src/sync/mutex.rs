//! A mutex that may be held over suspensions.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::fmt;
use std::ops::{Deref, DerefMut};

use super::queue::{Queue, Until, Waited, wait};
use crate::cancel::{TimedOut, WaitError};
use crate::primitive::Lock;
use crate::time::Instant;
use crate::{Canceled, Io};

/// Mutual exclusion between contexts of any kind. May be held over blocking calls; not recursive.
///
/// It is handed to the longest waiting, so nobody starves. It has no poison: a panic while it is
/// held unlocks it.
#[derive(Default)]
pub struct Mutex<T: ?Sized> {
    state: Lock<State>,
    value: UnsafeCell<T>,
}

#[derive(Debug, Default)]
struct State {
    /// Somebody holds it, or was handed it.
    locked: bool,
    waiters: Queue<()>,
}

// SAFETY: as std's mutex: the value is reached by the holder of the lock only.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    /// Makes an unlocked mutex.
    pub const fn new(value: T) -> Self {
        Self { state: Lock::new(State { locked: false, waiters: Queue::new() }), value: UnsafeCell::new(value) }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the mutex and locks it.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, also when the mutex is free. A canceled wait leaves it as it was.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn lock(&self, io: &dyn Io) -> Result<MutexGuard<'_, T>, Canceled> {
        io.check_cancel()?;
        match self.acquire(io, Until::Canceled) {
            Waited::Canceled(_, canceled) => Err(canceled),
            _ => Ok(MutexGuard { mutex: self }),
        }
    }

    /// Waits for the mutex and locks it, whatever is requested meanwhile.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn lock_uncancelable(&self, io: &dyn Io) -> MutexGuard<'_, T> {
        self.acquire(io, Until::Served);
        MutexGuard { mutex: self }
    }

    /// As [`lock`](Self::lock), until `deadline`.
    ///
    /// # Cancellation
    ///
    /// As `lock`.
    ///
    /// # Errors
    ///
    /// [`WaitError`].
    pub fn lock_deadline(&self, io: &dyn Io, deadline: Instant) -> Result<MutexGuard<'_, T>, WaitError> {
        io.check_cancel()?;
        match self.acquire(io, Until::Deadline(deadline)) {
            Waited::Served(_) => Ok(MutexGuard { mutex: self }),
            Waited::Canceled(_, canceled) => Err(canceled.into()),
            Waited::TimedOut(_) => Err(TimedOut.into()),
        }
    }

    /// Locks the mutex if it is free.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let mut state = self.state.lock();
        if state.locked {
            return None;
        }
        state.locked = true;
        Some(MutexGuard { mutex: self })
    }

    /// The value, without locking: the exclusive borrow is lock enough.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    fn acquire(&self, io: &dyn Io, until: Until) -> Waited<()> {
        let mut state = self.state.lock();
        if !state.locked {
            state.locked = true;
            return Waited::Served(None);
        }
        wait(io, &self.state, state, |state| &mut state.waiters, None, until)
    }

    fn unlock(&self) {
        let mut state = self.state.lock();
        // Handed over: it stays locked, for the longest waiting.
        let next = state.waiters.release();
        state.locked = next.is_some();
        drop(state);
        if let Some(next) = next {
            next.wake();
        }
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

/// The lock, held until this drops. Unlocking never suspends.
#[must_use]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
}

// SAFETY: a guard gives shared access to the value, so `T: Sync` is what sharing it needs.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard holds the lock, and is borrowed exclusively.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.mutex.unlock();
    }
}

impl<T: fmt::Debug + ?Sized> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
