//! Values that are moved from their origin to their destination without a stop on the stack.
#![allow(unsafe_code)]

use std::fmt;
use std::mem::MaybeUninit;

/// A place for a value, such as a task's closure, that its final owner takes out of it. It is passed on by reference.
/// An `Option` would also work, but each call of its methods copies the value several times in a build without
/// optimization, and the stack of a fiber is small.
pub struct Parcel<F> {
    value: MaybeUninit<F>,
    /// True if `value` is initialized.
    is_there: bool,
}

impl<F> fmt::Debug for Parcel<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parcel").field("is_there", &self.is_there).finish_non_exhaustive()
    }
}

impl<F> Parcel<F> {
    /// Makes a parcel that holds `value`.
    #[inline]
    pub(crate) fn of(value: F) -> Self {
        let mut parcel = Self { value: MaybeUninit::uninit(), is_there: false };
        // SAFETY: the place is valid for writes. Not `MaybeUninit::new`, which copies the value five times.
        unsafe { parcel.value.as_mut_ptr().write(value) };
        parcel.is_there = true;
        parcel
    }

    /// Takes the value.
    ///
    /// # Panics
    ///
    /// Panics if there is none.
    #[inline]
    pub(crate) fn take(&mut self) -> F {
        assert!(self.is_there, "the value of a parcel is taken once");
        self.is_there = false;
        // SAFETY: the value was there, which only `of` and `move_to` say, after they have written it; and it is not
        // there any more, so nobody reads or drops it again.
        unsafe { self.value.as_ptr().read() }
    }

    /// Moves the value to `place`, which then is a parcel. This parcel then holds nothing.
    ///
    /// # Safety
    ///
    /// `place` is valid for writes, and is not this parcel. If it is a parcel already, it holds nothing.
    #[inline]
    pub(crate) unsafe fn move_to(&mut self, place: *mut Self) {
        assert!(self.is_there, "the value of a parcel is taken once");
        self.is_there = false;
        // SAFETY: the value is there, and is not any more, as in `take`; the place is another one, valid for both fields.
        unsafe {
            (&raw mut (*place).value).copy_from_nonoverlapping(&raw const self.value, 1);
            (&raw mut (*place).is_there).write(true);
        }
    }
}

impl<F> Drop for Parcel<F> {
    #[inline]
    fn drop(&mut self) {
        if self.is_there {
            // SAFETY: it is there, so it was written and not taken; nobody comes after this.
            unsafe { self.value.assume_init_drop() };
        }
    }
}
