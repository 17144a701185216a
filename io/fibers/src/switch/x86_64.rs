//! The switch on x86-64: registers are saved by the compiler, where it has something in them.
//!
//! A suspended side is an address on its stack, above which lie
//!
//! ```text
//!   where it goes on │ rbx │ rbp │ its frames …
//! ```
//!
//! All other registers that a function has to preserve are declared as overwritten: the compiler saves
//! those that it uses, and only those. Neither side touches the control words of floating point.
#![allow(unsafe_code)]

use std::arch::asm;
use std::cell::Cell;
use std::process::abort;
use std::ptr;

use super::Main;
use crate::stack::Stack;

/// A stack and the context saved on it.
pub(crate) struct Switch {
    stack: Stack,
    main: Main,
    argument: *const (),
    /// Where the other side is suspended, while it is.
    own: Cell<*mut u8>,
    /// Where whoever resumed it waits, while it runs.
    resumer: Cell<*mut u8>,
    ended: Cell<bool>,
}

impl Switch {
    /// Prepares `main(argument)` to run on `stack` at the first resumption.
    pub(crate) fn new(stack: Stack, main: Main, argument: *const ()) -> Self {
        let base = stack.base() as *mut usize;
        // SAFETY: the two words below the base are the stack's own, which nobody uses yet. A function
        // expects the stack 8 bytes below a multiple of 16, with an address to return to on top: none,
        // at which unwinders stop.
        let own = unsafe {
            base.sub(1).write(0);
            let top = base.sub(2);
            top.write(begin as extern "sysv64" fn(_) -> _ as usize);
            top.cast::<u8>()
        };
        Self {
            stack,
            main,
            argument,
            own: Cell::new(own),
            resumer: Cell::new(ptr::null_mut()),
            ended: Cell::new(false),
        }
    }

    /// Goes on where the other side suspended; returns when it suspends again or has ended.
    ///
    /// # Safety
    ///
    /// As [`Coroutine::resume`](crate::Coroutine::resume).
    #[inline(always)]
    pub(crate) unsafe fn resume(&self) {
        // SAFETY: `own` is where it is suspended: `new` or `suspend` left it.
        unsafe { switch(self.resumer.as_ptr(), self.own.get(), self) };
    }

    /// Returns from the `resume` that runs the other side.
    ///
    /// # Safety
    ///
    /// Called by what runs on it.
    #[inline(always)]
    pub(crate) unsafe fn suspend(&self) {
        // SAFETY: `resume` left the place of the resumer, which waits there.
        unsafe { switch(self.own.as_ptr(), self.resumer.get(), self) };
    }

    /// Where its innermost frame begins while it is suspended, for hints.
    #[inline]
    pub(crate) fn place(&self) -> *const u8 {
        self.own.get()
    }

    /// The stack, if what ran on it has ended; else it is leaked.
    pub(crate) fn into_stack(self) -> Option<Stack> {
        self.ended.get().then_some(self.stack)
    }
}

/// The first frame of a stack. A panic that reached it would end the process.
extern "sysv64" fn begin(switch: *const Switch) -> ! {
    // SAFETY: `resume` passes the switch that it resumes, by a reference, and who calls it keeps that in place while it runs.
    // `main` gets the argument with which it was given to `new`; that it is still what `main` needs is a condition of
    // `resume`. It is this switch that runs, so it may suspend.
    unsafe {
        ((*switch).main)((*switch).argument);
        (*switch).ended.set(true);
        (*switch).suspend();
    }
    // It was resumed after its end.
    abort()
}

/// Saves this side, leaves its place in `save`, and goes on where `to` was saved.
///
/// # Safety
///
/// `to` was left by a switch that has not been gone back to, or is a new switch's; its stack is
/// alive, and belongs to this thread. `save` is writable.
#[inline(always)]
unsafe fn switch(save: *mut *mut u8, to: *mut u8, switch: *const Switch) {
    // SAFETY: the other side comes back with `rsp` as it was saved, so what was pushed is popped;
    // every register is restored or declared as overwritten. Memory counts as overwritten, too. On
    // the way there nothing below `rsp` is written.
    unsafe {
        asm!(
            // The compiler has these two for itself.
            "push rbp",
            "push rbx",
            "lea rax, [rip + 2f]",
            "push rax",
            "mov [rsi], rsp",
            "mov rsp, rdx",
            "pop rax",
            "jmp rax",
            "2:",
            "pop rbx",
            "pop rbp",
            // The first argument of `begin`.
            inout("rdi") switch => _,
            inout("rsi") save => _,
            inout("rdx") to => _,
            lateout("r12") _,
            lateout("r13") _,
            lateout("r14") _,
            lateout("r15") _,
            clobber_abi("sysv64"),
        );
    }
}
