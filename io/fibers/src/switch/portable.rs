//! The switch of corosensei, for every architecture that it supports, and for sanitizers.
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

/// A stack in the form that corosensei needs.
struct Memory(Stack);

// SAFETY: the memory between `bottom` and `base` belongs to this stack alone and is a multiple of the page size, and
// the `GUARD_BYTES` below it are inaccessible.
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

/// A stack and the context that is saved on it.
pub(crate) struct Switch {
    /// It is never dropped, because that would unwind the code on it.
    coroutine: ManuallyDrop<RefCell<Coroutine<*const Switch, (), (), Memory>>>,
    /// Set when the coroutine first runs, and valid for as long as its stack.
    yielder: Cell<*const Yielder<*const Switch, ()>>,
}

impl Switch {
    /// Prepares `main(argument)` to run on `stack` at the first resumption.
    pub(crate) fn new(stack: Stack, main: Main, argument: *const ()) -> Self {
        let coroutine = Coroutine::with_stack(Memory(stack), move |yielder: &Yielder<_, ()>, switch: *const Switch| {
            // SAFETY: `resume` passes the switch that it resumes by reference, and its caller keeps the switch in place
            // while it runs. `main` gets the argument that was given to `new` together with it; `resume` requires that
            // the argument is still valid for `main`.
            unsafe {
                (*switch).yielder.set(yielder);
                main(argument);
            }
        });
        Self { coroutine: ManuallyDrop::new(RefCell::new(coroutine)), yielder: Cell::new(ptr::null()) }
    }

    /// Continues the other side where it has suspended. Returns when it suspends again or has ended.
    ///
    /// # Safety
    ///
    /// The same as for [`Coroutine::resume`](crate::Coroutine::resume).
    pub(crate) unsafe fn resume(&self) {
        self.coroutine.borrow_mut().resume(self);
    }

    /// Returns from the `resume` that runs the other side.
    ///
    /// # Safety
    ///
    /// It must be called by the code that runs on the switch.
    pub(crate) unsafe fn suspend(&self) {
        // SAFETY: the code that runs has set it, on this stack, which is the one that runs.
        unsafe { &*self.yielder.get() }.suspend(());
    }

    /// Returns the beginning of the innermost frame while the other side is suspended, for hints: here it is not known.
    pub(crate) fn place(&self) -> *const u8 {
        ptr::null()
    }

    /// Returns the stack if the code on it has ended; otherwise leaks it.
    pub(crate) fn into_stack(self) -> Option<Stack> {
        let coroutine = ManuallyDrop::into_inner(self.coroutine).into_inner();
        if coroutine.done() {
            return Some(coroutine.into_stack().0);
        }
        std::mem::forget(coroutine);
        None
    }
}
