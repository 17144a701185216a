//! Coroutines: a stack, the context that is saved on it, and the name by which an overflow is reported.
#![allow(unsafe_code)]

use std::fmt;

use crate::name::NameSlot;
use crate::stack::Stack;
use crate::switch::{Main, Switch};

/// A stack and the context that is saved on it.
///
/// A coroutine stays on the thread on which it first ran. It runs until it suspends or its [`Main`] returns. Dropped
/// before it has ended, it leaks its stack, with all that is on it.
pub struct Coroutine {
    switch: Switch,
    /// Where its stack has the name of the task that it runs.
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
        // SAFETY: the stack is there, and nobody else has it. No name.
        unsafe { name.set(None) };
        Self { switch: Switch::new(stack, main, argument), name }
    }

    /// Runs the coroutine from where it suspended last. Returns when it suspends again, or has ended.
    ///
    /// # Safety
    ///
    /// The coroutine is suspended, has not ended, and stays where it is until this returns. It has run on the calling
    /// thread before, or never. The argument that it was made with is fit for its `main`.
    #[inline(always)]
    pub unsafe fn resume(&self) {
        // SAFETY: as this function's caller says.
        unsafe { self.switch.resume() };
    }

    /// Returns from the [`resume`](Self::resume) that runs the coroutine.
    ///
    /// # Safety
    ///
    /// Called by what runs on this coroutine.
    #[inline(always)]
    pub unsafe fn suspend(&self) {
        // SAFETY: as this function's caller says.
        unsafe { self.switch.suspend() };
    }

    /// Names the task that the coroutine runs from now on, for the report of an overflow.
    ///
    /// # Safety
    ///
    /// A name stays valid until another one, or none, is set, or the coroutine is resumed no more. The coroutine has not
    /// ended, and is not resumed by another thread meanwhile.
    #[inline]
    pub unsafe fn set_name(&self, name: Option<&str>) {
        // SAFETY: a coroutine has its stack until `into_stack`. The rest is as this function's caller says.
        unsafe { self.name.set(name) };
    }

    /// Where the coroutine's innermost frame begins while it is suspended, for [`prefetch`](crate::prefetch); null where
    /// that is not known.
    #[inline]
    pub fn place(&self) -> *const u8 {
        self.switch.place()
    }

    /// Returns the stack, if the coroutine has ended. Otherwise leaks it and returns `None`.
    pub fn into_stack(self) -> Option<Stack> {
        self.switch.into_stack()
    }
}
