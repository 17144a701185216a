//! Coroutines: a stack, the context that is saved on it, and the name by which an overflow is reported.
#![allow(unsafe_code)]

use std::fmt;

use crate::name::NameSlot;
use crate::stack::Stack;
use crate::switch::{Main, Switch};

/// A stack and the context that is saved on it.
///
/// A coroutine stays on the thread on which it first ran. It runs until it suspends or its [`Main`] returns. If it is
/// dropped before it has ended, it leaks its stack and everything on it.
pub struct Coroutine {
    switch: Switch,
    /// The place on its stack with the name of the task that it runs.
    name: NameSlot,
}

impl fmt::Debug for Coroutine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coroutine").finish_non_exhaustive()
    }
}

impl Coroutine {
    /// Prepares `main(argument)` to run on `stack` when the coroutine is first resumed.
    pub fn new(stack: Stack, main: Main, argument: *const ()) -> Self {
        let name = stack.name();
        // SAFETY: the stack exists, and nobody else has it. No name is set.
        unsafe { name.set(None) };
        Self { switch: Switch::new(stack, main, argument), name }
    }

    /// Runs the coroutine from the place where it suspended last. Returns when it suspends again, or has ended.
    ///
    /// # Safety
    ///
    /// The coroutine is suspended, has not ended, and stays in place until this returns. It has run on the calling
    /// thread before, or never. The argument that it was made with is still valid for its `main`.
    #[inline(always)]
    pub unsafe fn resume(&self) {
        // SAFETY: this function's caller promises the same.
        unsafe { self.switch.resume() };
    }

    /// Returns from the [`resume`](Self::resume) that runs the coroutine.
    ///
    /// # Safety
    ///
    /// It must be called by the code that runs on this coroutine.
    #[inline(always)]
    pub unsafe fn suspend(&self) {
        // SAFETY: this function's caller promises the same.
        unsafe { self.switch.suspend() };
    }

    /// Names the task that the coroutine runs from now on, for the report of an overflow.
    ///
    /// # Safety
    ///
    /// The name stays valid until another one, or none, is set, or until the coroutine is never resumed again. The coroutine
    /// has not ended, and no other thread resumes it during the call.
    #[inline]
    pub unsafe fn set_name(&self, name: Option<&str>) {
        // SAFETY: a coroutine has its stack until `into_stack`. This function's caller promises the rest.
        unsafe { self.name.set(name) };
    }

    /// Returns the beginning of the coroutine's innermost frame while it is suspended, for
    /// [`prefetch`](crate::prefetch), or null if that is not known.
    #[inline]
    pub fn place(&self) -> *const u8 {
        self.switch.place()
    }

    /// Returns the stack, if the coroutine has ended. Otherwise leaks it and returns `None`.
    pub fn into_stack(self) -> Option<Stack> {
        self.switch.into_stack()
    }
}
