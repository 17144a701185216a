//! The switch of corosensei, for every architecture that it knows, and for sanitizers.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::num::NonZeroUsize;
use std::ptr;

use corosensei::stack::{STACK_ALIGNMENT, Stack, StackPointer};
use corosensei::{Coroutine, Yielder};

use super::Main;
use crate::fiber::stack::{FiberStack, GUARD_BYTES};

// SAFETY: between `bottom` and `base` lies memory that is this stack's alone, of a multiple of the
// page size, and `GUARD_BYTES` below it are inaccessible.
unsafe impl Stack for FiberStack {
    fn base(&self) -> StackPointer {
        address(FiberStack::base(self))
    }

    fn limit(&self) -> StackPointer {
        address(self.bottom() - GUARD_BYTES)
    }
}

fn address(value: usize) -> StackPointer {
    debug_assert_eq!(value % STACK_ALIGNMENT, 0);
    NonZeroUsize::new(value).expect("mappings are not at address 0")
}

/// A stack and the context saved on it.
pub(crate) struct Strand {
    coroutine: RefCell<Coroutine<*const Strand, (), (), FiberStack>>,
    /// Set when it first runs; valid as long as its stack.
    yielder: Cell<*const Yielder<*const Strand, ()>>,
}

impl Strand {
    /// Prepares `main(argument)` to run on `stack` when the strand is first resumed.
    pub(crate) fn new(stack: FiberStack, main: Main, argument: *const ()) -> Self {
        let coroutine = Coroutine::with_stack(stack, move |yielder: &Yielder<_, ()>, strand: *const Strand| {
            // SAFETY: `resume` passes the strand that it resumes, by a reference, and who calls it keeps that in place
            // while it runs. `main` gets the argument for which it was given to `new`; that it is still what `main` needs is
            // a condition of `resume`.
            unsafe {
                (*strand).yielder.set(yielder);
                main(argument);
            }
        });
        Self { coroutine: RefCell::new(coroutine), yielder: Cell::new(ptr::null()) }
    }

    /// Goes on where the strand suspended; returns when it suspends again or has ended.
    ///
    /// # Safety
    ///
    /// It is suspended, has not ended, and stays in place until this returns. On the thread on which
    /// it ran before. What it was made with is fit for its `main`.
    pub(crate) unsafe fn resume(&self) {
        self.coroutine.borrow_mut().resume(self);
    }

    /// Returns from the `resume` that runs the strand.
    ///
    /// # Safety
    ///
    /// Called by what runs on it.
    pub(crate) unsafe fn suspend(&self) {
        // SAFETY: set by the strand, on this stack, which is the one that runs.
        unsafe { &*self.yielder.get() }.suspend(());
    }

    /// Where its innermost frame begins while it is suspended, for hints: not known.
    pub(crate) fn place(&self) -> *const u8 {
        ptr::null()
    }

    /// The stack, if what ran on it has ended; else it is leaked.
    pub(crate) fn into_stack(self) -> Option<FiberStack> {
        let coroutine = self.coroutine.into_inner();
        if coroutine.done() {
            return Some(coroutine.into_stack());
        }
        std::mem::forget(coroutine);
        None
    }
}
