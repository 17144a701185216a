//! The switch of corosensei, for every architecture that it knows, and for sanitizers.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::num::NonZeroUsize;
use std::ptr;

use corosensei::stack::{STACK_ALIGNMENT, StackPointer};
use corosensei::{Coroutine, Yielder};

use super::Main;
use crate::slabs::GUARD_BYTES;
use crate::stack::Stack;

/// A stack as corosensei takes it.
struct Memory(Stack);

// SAFETY: between `bottom` and `base` lies memory that is this stack's alone, of a multiple of the
// page size, and `GUARD_BYTES` below it are inaccessible.
unsafe impl corosensei::stack::Stack for Memory {
    fn base(&self) -> StackPointer {
        address(self.0.base())
    }

    fn limit(&self) -> StackPointer {
        address(self.0.bottom() - GUARD_BYTES)
    }
}

fn address(value: usize) -> StackPointer {
    debug_assert_eq!(value % STACK_ALIGNMENT, 0);
    NonZeroUsize::new(value).expect("mappings are not at address 0")
}

/// A stack and the context saved on it.
pub(crate) struct Switch {
    /// Not dropped, which would unwind what runs on it.
    coroutine: ManuallyDrop<RefCell<Coroutine<*const Switch, (), (), Memory>>>,
    /// Set when it first runs; valid as long as its stack.
    yielder: Cell<*const Yielder<*const Switch, ()>>,
}

impl Switch {
    /// Prepares `main(argument)` to run on `stack` at the first resumption.
    pub(crate) fn new(stack: Stack, main: Main, argument: *const ()) -> Self {
        let coroutine = Coroutine::with_stack(Memory(stack), move |yielder: &Yielder<_, ()>, switch: *const Switch| {
            // SAFETY: `resume` passes the switch that it resumes, by a reference, and its caller keeps that in place while
            // it runs. `main` gets the argument for which it was given to `new`; that it is still what `main` needs is a
            // condition of `resume`.
            unsafe {
                (*switch).yielder.set(yielder);
                main(argument);
            }
        });
        Self { coroutine: ManuallyDrop::new(RefCell::new(coroutine)), yielder: Cell::new(ptr::null()) }
    }

    /// Goes on where the other side suspended; returns when it suspends again or has ended.
    ///
    /// # Safety
    ///
    /// As [`Coroutine::resume`](crate::Coroutine::resume).
    pub(crate) unsafe fn resume(&self) {
        self.coroutine.borrow_mut().resume(self);
    }

    /// Returns from the `resume` that runs the other side.
    ///
    /// # Safety
    ///
    /// Called by what runs on it.
    pub(crate) unsafe fn suspend(&self) {
        // SAFETY: set by what runs, on this stack, which is the one that runs.
        unsafe { &*self.yielder.get() }.suspend(());
    }

    /// Where its innermost frame begins while it is suspended, for hints: not known.
    pub(crate) fn place(&self) -> *const u8 {
        ptr::null()
    }

    /// The stack, if what ran on it has ended; else it is leaked.
    pub(crate) fn into_stack(self) -> Option<Stack> {
        let coroutine = ManuallyDrop::into_inner(self.coroutine).into_inner();
        if coroutine.done() {
            return Some(coroutine.into_stack().0);
        }
        std::mem::forget(coroutine);
        None
    }
}
