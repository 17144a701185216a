//! A lock for many readers or one writer.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};

use super::forms::{Until, uncancelable};
use crate::select::Selectable;
use crate::waiting::Semaphore;
use crate::{Canceled, Io};

/// A lock for many readers or one writer, for contexts of any kind. May be held across blocking calls; not recursive: a
/// reader that reads again can wait for a writer that waits for it.
///
/// A waiting writer keeps new readers out, so writers do not starve. Waiters are served in order of arrival, so readers
/// do not starve either. There is no poisoning.
///
/// Readers share the value, so the lock is [`Sync`] only if the value is:
///
/// ```compile_fail
/// fn shared<T: Sync>() {}
/// shared::<iolite_io::sync::RwLock<std::cell::Cell<u32>>>();
/// ```
pub struct RwLock<T: ?Sized> {
    /// A reader takes one permit, the writer all.
    free: Semaphore,
    value: UnsafeCell<T>,
}

/// All permits.
const ALL: usize = Semaphore::PERMITS_MAX;

// SAFETY: a shared lock gives access to the value only through guards. A guard for writing takes all permits, one for
// reading takes one, and both give them back when they drop. So either there is one writer, and `T: Send` lets it have
// the value on its thread, or there are readers, and `T: Sync` lets them share it. Giving back and taking permits order
// the accesses of the last holders before those of the next ones.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

impl<T> RwLock<T> {
    /// Makes an unlocked lock.
    pub const fn new(value: T) -> Self {
        Self { free: Semaphore::new(ALL), value: UnsafeCell::new(value) }
    }

    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until no context writes or waits to write, and locks for reading.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if it does not have to wait. A canceled wait does not change the lock.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn read(&self, io: &dyn Io) -> Result<RwLockReadGuard<'_, T>, Canceled> {
        self.read_until(io, Until::Canceled)
    }

    /// Locks for reading like [`read`](Self::read). Requests do not end the wait.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn read_uncancelable(&self, io: &dyn Io) -> RwLockReadGuard<'_, T> {
        uncancelable(|until| self.read_until(io, until))
    }

    /// Returns a source that locks for reading. For [`select`](crate::Io#method.select).
    pub fn on_read(&self) -> impl Selectable<Output = RwLockReadGuard<'_, T>> + '_ {
        self.free.on_acquire().map(|permit| {
            permit.forget();
            RwLockReadGuard { lock: self }
        })
    }

    /// Locks for reading if no context writes or waits.
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        self.free.try_acquire()?.forget();
        Some(RwLockReadGuard { lock: self })
    }

    /// Waits until no context reads or writes, and locks for writing.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if it does not have to wait. A canceled wait does not change the lock, and admits the
    /// readers that waited behind it.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn write(&self, io: &dyn Io) -> Result<RwLockWriteGuard<'_, T>, Canceled> {
        self.write_until(io, Until::Canceled)
    }

    /// Locks for writing like [`write`](Self::write). Requests do not end the wait.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn write_uncancelable(&self, io: &dyn Io) -> RwLockWriteGuard<'_, T> {
        uncancelable(|until| self.write_until(io, until))
    }

    /// Returns a source that locks for writing. For [`select`](crate::Io#method.select).
    pub fn on_write(&self) -> impl Selectable<Output = RwLockWriteGuard<'_, T>> + '_ {
        self.free.on_acquire_many(ALL).map(|permit| {
            permit.forget();
            RwLockWriteGuard { lock: self }
        })
    }

    /// Locks for writing if no context reads, writes or waits.
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        self.free.try_acquire_many(ALL)?.forget();
        Some(RwLockWriteGuard { lock: self })
    }

    /// Returns the value without locking, because the exclusive borrow excludes all guards.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    fn read_until(&self, io: &dyn Io, until: Until) -> Result<RwLockReadGuard<'_, T>, Canceled> {
        self.free.acquire_until(io, 1, until)?.forget();
        Ok(RwLockReadGuard { lock: self })
    }

    fn write_until(&self, io: &dyn Io, until: Until) -> Result<RwLockWriteGuard<'_, T>, Canceled> {
        self.free.acquire_until(io, ALL, until)?.forget();
        Ok(RwLockWriteGuard { lock: self })
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: fmt::Debug + ?Sized> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_read() {
            Some(guard) => f.debug_struct("RwLock").field("value", &&*guard).finish(),
            None => f.debug_struct("RwLock").field("value", &format_args!("<locked>")).finish(),
        }
    }
}

/// Holds the lock for reading until it drops. Unlocking never suspends.
#[must_use = "the lock is released when the guard drops"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this guard has a permit, so no guard has all of them, and there is no guard for writing. `get_mut`
        // and `into_inner` need the lock exclusively.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.free.add_permits(1);
    }
}

impl<T: fmt::Debug + ?Sized> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Holds the lock for writing until it drops. Unlocking never suspends.
#[must_use = "the lock is released when the guard drops"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Converts the guard to one for reading without letting a writer in between. Admits the waiting readers, up to the
    /// next writer.
    pub fn downgrade(self) -> RwLockReadGuard<'a, T> {
        let lock = self.lock;
        mem::forget(self);
        lock.free.add_permits(ALL - 1);
        RwLockReadGuard { lock }
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this guard has all permits, so there is no other guard; `get_mut` and `into_inner` need the lock
        // exclusively. `&self` excludes `deref_mut` of this guard.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, there is no other guard; `&mut self` excludes every reference that this guard gave
        // out.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.free.add_permits(ALL);
    }
}

impl<T: fmt::Debug + ?Sized> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
