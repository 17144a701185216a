//! A lock that many may read or one may write.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};

use super::forms::{Until, uncancelable};
use crate::select::Selectable;
use crate::waiting::Semaphore;
use crate::{Canceled, Io};

/// Many readers or one writer, of any kind of context. May be held over blocking calls; not
/// recursive: a reader that reads again can wait for a writer that waits for it.
///
/// A waiting writer keeps new readers out, so that writers do not starve; those who wait are served
/// in the order in which they came, so that readers do not starve either. It has no poison.
///
/// Readers share the value, so it has to be [`Sync`] for the lock to be:
///
/// ```compile_fail
/// fn shared<T: Sync>() {}
/// shared::<iolite_io::sync::RwLock<std::cell::Cell<u32>>>();
/// ```
pub struct RwLock<T: ?Sized> {
    /// A reader has one permit, the writer all.
    free: Semaphore,
    value: UnsafeCell<T>,
}

/// All permits.
const ALL: usize = Semaphore::PERMITS_MAX;

// SAFETY: a shared lock gives access to the value through guards alone. A guard for writing is made of all permits, one for
// reading of one, and both give them back when they drop: so there is one writer, and `T: Send` lets it have the value on
// its thread, or there are readers, and `T: Sync` lets them share it. Giving permits back and taking them order what the
// last holders did before what the next ones do.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

impl<T> RwLock<T> {
    /// Makes an unlocked lock.
    pub const fn new(value: T) -> Self {
        Self { free: Semaphore::new(ALL), value: UnsafeCell::new(value) }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until nobody writes, nor waits to write, and locks for reading.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if it need not wait. A canceled wait leaves the lock as it was.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn read(&self, io: &dyn Io) -> Result<RwLockReadGuard<'_, T>, Canceled> {
        self.read_until(io, Until::Canceled)
    }

    /// As [`read`](Self::read), whatever is requested meanwhile.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn read_uncancelable(&self, io: &dyn Io) -> RwLockReadGuard<'_, T> {
        uncancelable(|until| self.read_until(io, until))
    }

    /// The lock for reading, as one of many things to [wait for](crate::Io#method.select).
    pub fn on_read(&self) -> impl Selectable<Output = RwLockReadGuard<'_, T>> + '_ {
        self.free.on_acquire().map(|permit| {
            permit.forget();
            RwLockReadGuard { lock: self }
        })
    }

    /// Locks for reading if nobody writes, nor waits.
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        self.free.try_acquire()?.forget();
        Some(RwLockReadGuard { lock: self })
    }

    /// Waits until nobody reads or writes, and locks for writing.
    ///
    /// # Cancellation
    ///
    /// A cancellation point, even if it need not wait. A canceled wait leaves the lock as it was, and lets
    /// in the readers that waited behind it.
    ///
    /// # Errors
    ///
    /// [`Canceled`].
    pub fn write(&self, io: &dyn Io) -> Result<RwLockWriteGuard<'_, T>, Canceled> {
        self.write_until(io, Until::Canceled)
    }

    /// As [`write`](Self::write), whatever is requested meanwhile.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point.
    pub fn write_uncancelable(&self, io: &dyn Io) -> RwLockWriteGuard<'_, T> {
        uncancelable(|until| self.write_until(io, until))
    }

    /// The lock for writing, as one of many things to [wait for](crate::Io#method.select).
    pub fn on_write(&self) -> impl Selectable<Output = RwLockWriteGuard<'_, T>> + '_ {
        self.free.on_acquire_many(ALL).map(|permit| {
            permit.forget();
            RwLockWriteGuard { lock: self }
        })
    }

    /// Locks for writing if nobody reads or writes, nor waits.
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        self.free.try_acquire_many(ALL)?.forget();
        Some(RwLockWriteGuard { lock: self })
    }

    /// The value, without locking: the exclusive borrow is lock enough.
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

/// The lock for reading, held until this drops. Unlocking never suspends.
#[must_use = "the lock is released when the guard drops"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this guard has a permit, so nobody has all of them, and no guard for writing is there. `get_mut` and
        // `into_inner` need the lock exclusively.
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

/// The lock for writing, held until this drops. Unlocking never suspends.
#[must_use = "the lock is released when the guard drops"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Goes on reading, without letting a writer in between. Lets in the readers that wait, up to the next
    /// writer.
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
        // SAFETY: this guard has all permits, so no other guard is there; `get_mut` and `into_inner` need the lock
        // exclusively. `&self` keeps `deref_mut` of this one away.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`, there is no other guard; `&mut self` keeps every reference out that this one gave.
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
