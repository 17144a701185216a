//! Values on their way, which are moved from where they are to where they go, without a stop on the stack.
#![allow(unsafe_code)]

use std::fmt;
use std::mem::MaybeUninit;

/// A place for a value, such as a task's closure, that somebody takes out of it; whoever passes it on passes a
/// reference. An `Option` would do as well, but each call of its methods copies the value several times in a build
/// without optimization, and the stack of a fiber is small.
pub struct Parcel<F> {
    value: MaybeUninit<F>,
    /// Whether `value` is initialized.
    is_there: bool,
}

impl<F> fmt::Debug for Parcel<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parcel").field("is_there", &self.is_there).finish_non_exhaustive()
    }
}

impl<F> Parcel<F> {
    /// One that holds the value.
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
    /// When there is none.
    #[inline]
    pub(crate) fn take(&mut self) -> F {
        assert!(self.is_there, "what a parcel holds is taken once");
        self.is_there = false;
        // SAFETY: it was there, which `of` and `move_to` alone say, after they have written it; and it is not there any
        // more, so nobody reads or drops it again.
        unsafe { self.value.as_ptr().read() }
    }

    /// Moves what this holds to another place, which is a parcel then; this holds nothing any more.
    ///
    /// # Safety
    ///
    /// `place` is valid for writes, and is not this parcel. If it is a parcel already, it holds nothing.
    #[inline]
    pub(crate) unsafe fn move_to(&mut self, place: *mut Self) {
        assert!(self.is_there, "what a parcel holds is taken once");
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
