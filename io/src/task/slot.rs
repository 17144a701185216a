//! The slot of a task's cell: its closure, and later its return value or its panic.
//!
//! Each content is put there in place and moved out of it once, so that large closures and results are not copied from
//! frame to frame. The page of the [cell](super::cell) says who may touch it when.
#![allow(unsafe_code)]

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use crate::dropping::drop_panic;
use crate::runnable::Parcel;

/// Says how a task calls its closure.
pub(crate) trait Body<F, T>: Sized {
    /// Takes the closure and calls it.
    fn call(self, closure: &mut Parcel<F>) -> T;
    /// Called for a task that never runs and whose closure goes back to its starter.
    fn refused(self) {}
}

type Panic = Box<dyn Any + Send>;

pub(super) struct Slot<B, F, T> {
    /// Says which field of `content` is initialized.
    holds: Cell<Holds>,
    content: UnsafeCell<Content<B, F, T>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Unstarted,
    Value,
    Panic,
    Nothing,
}

union Content<B, F, T> {
    unstarted: ManuallyDrop<Unstarted<B, F>>,
    value: ManuallyDrop<T>,
    panic: ManuallyDrop<Panic>,
}

/// The closure of a task that has not begun, and the body that calls it.
struct Unstarted<B, F> {
    body: B,
    closure: Parcel<F>,
}

/// Every method requires that the caller has the slot: as the page of the cell says, nobody else touches it during the
/// call.
impl<B, F, T> Slot<B, F, T> {
    /// Makes, in place, the slot of a task that will run `body` with the closure, which is taken.
    ///
    /// # Safety
    ///
    /// `place` is valid for writes.
    pub(super) unsafe fn init_unstarted(place: *mut Self, body: B, closure: &mut Parcel<F>) {
        // SAFETY: all fields are in the place, which is valid for writes. `holds` is written before a reference to the slot
        // is made, whose content needs no initialization. The closure's place is a new one.
        unsafe {
            (&raw mut (*place).holds).write(Cell::new(Holds::Unstarted));
            let unstarted = (*place).unstarted();
            (&raw mut (*unstarted).body).write(body);
            closure.move_to(&raw mut (*unstarted).closure);
        }
    }

    /// Makes, in place, the slot of a task that has ended.
    ///
    /// # Safety
    ///
    /// `place` is valid for writes.
    pub(super) unsafe fn init_finished(place: *mut Self, result: Result<T, Panic>) {
        // SAFETY: as in `init_unstarted`; the slot is whole once `holds` and, where it says so, the content is written.
        unsafe {
            (&raw mut (*place).holds).write(Cell::new(Holds::Nothing));
            match result {
                Ok(value) => (*place).put_value(value),
                Err(panic) => (*place).put_panic(panic),
            }
        }
    }

    fn unstarted(&self) -> *mut Unstarted<B, F> {
        // SAFETY: as in `value`.
        unsafe { (&raw mut (*self.content.get()).unstarted).cast() }
    }

    fn value(&self) -> *mut T {
        // SAFETY: the union is there, initialized or not, and only the address of a field is taken.
        unsafe { (&raw mut (*self.content.get()).value).cast() }
    }

    fn panic(&self) -> *mut Panic {
        // SAFETY: as in `value`.
        unsafe { (&raw mut (*self.content.get()).panic).cast() }
    }

    /// Takes the body, and moves the closure into `closure`.
    ///
    /// # Safety
    ///
    /// The caller has the slot, whose task has not begun.
    pub(super) unsafe fn take_unstarted(&self, closure: &mut Parcel<F>) -> B {
        assert_eq!(self.holds.replace(Holds::Nothing), Holds::Unstarted, "a task begins once");
        // SAFETY: the caller has the slot, and its field is this one, as was just checked; nobody reads it again. The
        // closure goes into another parcel, which is empty since it came from there; the one that stays behind is
        // empty.
        unsafe {
            let unstarted = self.unstarted();
            (*unstarted).closure.move_to(closure);
            (&raw const (*unstarted).body).read()
        }
    }

    /// Calls the closure through the body, and puts the return value where the closure was. If it unwinds, the slot is
    /// left empty.
    ///
    /// # Safety
    ///
    /// The caller has the slot, whose task has not begun.
    pub(super) unsafe fn call(&self)
    where
        B: Body<F, T>,
    {
        assert_eq!(self.holds.replace(Holds::Nothing), Holds::Unstarted, "a task begins once");
        // SAFETY: the caller has the slot, and its field is this one, as was just checked. `call` is the last to touch
        // it, before the value is written into its place.
        unsafe { self.put_value(Unstarted::call(self.unstarted())) };
    }

    /// Puts the value into the slot.
    ///
    /// # Safety
    ///
    /// The caller has the slot, and nothing is in it.
    #[inline]
    unsafe fn put_value(&self, value: T) {
        // SAFETY: the place is valid for a `T`, which is a field of the union, and the caller has the slot.
        unsafe { self.value().write(value) };
        self.holds.set(Holds::Value);
    }

    /// Puts a panic into the slot.
    ///
    /// # Safety
    ///
    /// The caller has the slot, and nothing is in it.
    pub(super) unsafe fn put_panic(&self, panic: Panic) {
        // SAFETY: as in `put_value`.
        unsafe { self.panic().write(panic) };
        self.holds.set(Holds::Panic);
    }

    /// Returns a pointer to the value, or else the panic. The caller has to read the value, which no longer belongs to
    /// the slot.
    ///
    /// # Safety
    ///
    /// The caller has the slot, whose task has ended.
    pub(super) unsafe fn take(&self) -> Result<*mut T, Panic> {
        match self.holds.replace(Holds::Nothing) {
            Holds::Value => Ok(self.value()),
            // SAFETY: the caller has the slot, and this is its field, which nobody reads again.
            Holds::Panic => Err(unsafe { self.panic().read() }),
            Holds::Unstarted | Holds::Nothing => {
                unreachable!("a task that has ended has a result until its handle takes it")
            }
        }
    }

    /// Drops the content of the slot. Returns the panic that was in it, or that a destructor has thrown.
    ///
    /// # Safety
    ///
    /// The caller has the slot.
    pub(super) unsafe fn empty(&self) -> Option<Panic> {
        let held = self.holds.replace(Holds::Nothing);
        let dropped = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: the caller has the slot; `held` names the field that is initialized, and the slot says that nothing is
            // left before a destructor can unwind, so nobody reads or drops it again.
            unsafe {
                match held {
                    Holds::Unstarted => ptr::drop_in_place(self.unstarted()),
                    Holds::Value => ptr::drop_in_place(self.value()),
                    Holds::Panic => return Some(self.panic().read()),
                    Holds::Nothing => {}
                }
            }
            None
        }));
        dropped.unwrap_or_else(Some)
    }
}

impl<B, F> Unstarted<B, F> {
    /// Calls the closure through the body. Nothing is left of either after that.
    ///
    /// # Safety
    ///
    /// `this` is valid, and nobody uses it afterwards.
    #[inline]
    unsafe fn call<T>(this: *mut Self) -> T
    where
        B: Body<F, T>,
    {
        /// Drops a closure that the body has not taken, also during unwinding.
        struct Left<F>(*mut Parcel<F>);

        impl<F> Drop for Left<F> {
            #[inline]
            fn drop(&mut self) {
                // SAFETY: it points into the argument of `call`, whose parcel is initialized and is not used any more.
                unsafe { ptr::drop_in_place(self.0) };
            }
        }

        // SAFETY: `this` is valid by this function's contract, and the body is read once.
        unsafe {
            let left = Left(&raw mut (*this).closure);
            let body = (&raw const (*this).body).read();
            body.call(&mut *left.0)
        }
    }
}

impl<B, F, T> Drop for Slot<B, F, T> {
    fn drop(&mut self) {
        // SAFETY: dropping the slot takes it exclusively, so the caller has it.
        unsafe { self.empty() }.into_iter().for_each(drop_panic);
    }
}
