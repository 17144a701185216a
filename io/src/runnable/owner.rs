//! Ownership of a task's cell, which is shared by its runner, its handle, and each
//! [`TaskRef`](crate::backend::TaskRef).
//!
//! It works like `Arc`, but is made with both of the owners that every task has, and the last one frees without an
//! atomic update: a task that is spawned and joined takes one update instead of three.
#![allow(unsafe_code)]

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;

use super::owners::Owners;

/// An object that counts its owners.
pub(crate) trait Owned {
    fn owners(&self) -> &Owners;
}

/// One of the owners of a `C`. The last one drops it.
pub(crate) struct Owner<C: Owned + ?Sized>(NonNull<C>);

// SAFETY: another thread that gets an owner gets a `&C`, so `C` is `Sync`, and may be the one that drops it, so `C` is
// `Send`. The count is atomic, and `remove` makes what the other owners did happen before the drop.
unsafe impl<C: Owned + Send + Sync + ?Sized> Send for Owner<C> {}
// SAFETY: a thread that shares an owner can clone it, and so gets an owner: the same bounds, for the same reasons.
unsafe impl<C: Owned + Send + Sync + ?Sized> Sync for Owner<C> {}

impl<C: Owned> Owner<C> {
    /// Makes the only owner of the value that `init` writes to the place that it is given, which is valid for writes.
    ///
    /// # Safety
    ///
    /// `init` initializes the place, with [`Owners`] that are new, unless it unwinds.
    #[inline]
    pub(crate) unsafe fn new(init: impl FnOnce(*mut C)) -> Self {
        let mut place = Box::new_uninit();
        init(place.as_mut_ptr());
        // SAFETY: `init` has initialized it, by this function's contract.
        Self(NonNull::from(Box::leak(unsafe { place.assume_init() })))
    }

    /// Makes the two owners of the value that `init` writes.
    ///
    /// # Safety
    ///
    /// The same as for [`new`](Self::new).
    #[inline]
    pub(crate) unsafe fn pair(init: impl FnOnce(*mut C)) -> (Self, Self) {
        // SAFETY: the caller's promise is that of `new`.
        let one = unsafe { Self::new(init) };
        one.owners().pair();
        let other = Self(one.0);
        (one, other)
    }
}

impl<C: Owned + ?Sized> Owner<C> {
    /// Converts the owner to one of the same value under another type.
    ///
    /// # Safety
    ///
    /// `unsize` does nothing but coerce the pointer.
    #[inline]
    pub(crate) unsafe fn unsize<D: Owned + ?Sized>(self, unsize: impl FnOnce(NonNull<C>) -> NonNull<D>) -> Owner<D> {
        Owner(unsize(ManuallyDrop::new(self).0))
    }

    /// Returns the address of the value.
    pub(crate) fn address(&self) -> *const () {
        self.0.as_ptr().cast_const().cast()
    }
}

impl<C: Owned + ?Sized> Deref for Owner<C> {
    type Target = C;

    #[inline]
    fn deref(&self) -> &C {
        // SAFETY: the pointer is that of the box in `new`, which only the last owner's drop frees, and this owner has not
        // been dropped; no `&mut` to the value is made before that.
        unsafe { self.0.as_ref() }
    }
}

impl<C: Owned + ?Sized> Clone for Owner<C> {
    fn clone(&self) -> Self {
        self.owners().add();
        Self(self.0)
    }
}

impl<C: Owned + ?Sized> Drop for Owner<C> {
    #[inline]
    fn drop(&mut self) {
        if self.owners().remove() {
            // SAFETY: the pointer came from `Box::leak` in `new`, unsized at most; `remove` says that no other owner is
            // left, so nobody frees it again or looks at it.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ptr::NonNull;
    use std::sync::Arc;
    use std::thread;

    use super::{Owned, Owner};
    use crate::runnable::owners::Owners;

    struct Value {
        owners: Owners,
        dropped: Arc<()>,
    }

    impl Owned for Value {
        fn owners(&self) -> &Owners {
            &self.owners
        }
    }

    fn pair(dropped: &Arc<()>) -> (Owner<Value>, Owner<Value>) {
        let value = Value { owners: Owners::new(), dropped: dropped.clone() };
        // SAFETY: the place is initialized, with owners that are new.
        unsafe { Owner::pair(|place: *mut Value| place.write(value)) }
    }

    fn alone(dropped: &Arc<()>) -> Owner<Value> {
        let value = Value { owners: Owners::new(), dropped: dropped.clone() };
        // SAFETY: the place is initialized, with owners that are new.
        unsafe { Owner::new(|place: *mut Value| place.write(value)) }
    }

    #[test]
    fn the_last_owner_drops_it() {
        let dropped = Arc::new(());
        let (one, other) = pair(&dropped);
        let third = one.clone();
        drop(other);
        drop(one);
        assert_eq!(Arc::strong_count(&third.dropped), 2);
        drop(third);
        assert_eq!(Arc::strong_count(&dropped), 1);
        drop(alone(&dropped));
        assert_eq!(Arc::strong_count(&dropped), 1);
    }

    #[test]
    fn owners_on_two_threads_drop_it_once() {
        let dropped = Arc::new(());
        for _ in 0..1000 {
            let (one, other) = pair(&dropped);
            let thread = thread::spawn(move || drop(other));
            drop(one);
            thread.join().expect("it drops what it has");
            assert_eq!(Arc::strong_count(&dropped), 1);
        }
    }

    #[test]
    fn it_can_be_seen_as_a_trait() {
        let dropped = Arc::new(());
        let owner = alone(&dropped);
        // SAFETY: the closure returns its argument, coerced to the trait.
        let owner: Owner<dyn Owned> = unsafe { owner.unsize(|pointer| pointer as NonNull<dyn Owned>) };
        assert_eq!(owner.owners().count(), 1);
        drop(owner);
        assert_eq!(Arc::strong_count(&dropped), 1);
    }
}
