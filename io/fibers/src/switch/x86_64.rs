//! The switch on x86-64. The compiler saves those registers that it uses.
//!
//! A suspended side is an address on its stack, above which lie
//!
//! ```text
//!   where it goes on │ rbx │ rbp │ its frames …
//! ```
//!
//! All other registers that a function has to preserve are declared as overwritten, so the compiler saves those that it
//! uses, and only those. Neither side touches the control words of floating point.
#![allow(unsafe_code)]

use std::arch::asm;
use std::cell::Cell;
use std::process::abort;
use std::ptr;

use super::Main;
use crate::stack::Stack;

/// A stack and the context that is saved on it.
pub(crate) struct Switch {
    stack: Stack,
    main: Main,
    argument: *const (),
    /// The place at which the other side is suspended, while it is.
    own: Cell<*mut u8>,
    /// The place at which the resumer waits, while the other side runs.
    resumer: Cell<*mut u8>,
    ended: Cell<bool>,
}

impl Switch {
    /// Prepares `main(argument)` to run on `stack` at the first resumption.
    pub(crate) fn new(stack: Stack, main: Main, argument: *const ()) -> Self {
        let base = stack.base() as *mut usize;
        // SAFETY: the two words below the base belong to the stack, and nobody uses them yet. A function expects the
        // stack 8 bytes below a multiple of 16, with a return address on top. That address is null, at which unwinders
        // stop.
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

    /// Continues the other side where it has suspended. Returns when it suspends again or has ended.
    ///
    /// # Safety
    ///
    /// The same as for [`Coroutine::resume`](crate::Coroutine::resume).
    #[inline(always)]
    pub(crate) unsafe fn resume(&self) {
        // SAFETY: `own` is the place at which it is suspended: `new` or `suspend` left it.
        unsafe { switch(self.resumer.as_ptr(), self.own.get(), self) };
    }

    /// Returns from the `resume` that runs the other side.
    ///
    /// # Safety
    ///
    /// It must be called by the code that runs on the switch.
    #[inline(always)]
    pub(crate) unsafe fn suspend(&self) {
        // SAFETY: `resume` left the place of the resumer, which waits there.
        unsafe { switch(self.own.as_ptr(), self.resumer.get(), self) };
    }

    /// Returns the beginning of the innermost frame while the other side is suspended, for hints.
    #[inline]
    pub(crate) fn place(&self) -> *const u8 {
        self.own.get()
    }

    /// Returns the stack if the code on it has ended; otherwise leaks it.
    pub(crate) fn into_stack(self) -> Option<Stack> {
        self.ended.get().then_some(self.stack)
    }
}

/// The first frame of a stack. A panic that reached it would end the process.
extern "sysv64" fn begin(switch: *const Switch) -> ! {
    // SAFETY: `resume` passes the switch that it resumes by reference, and its caller keeps the switch in place while
    // it runs. `main` gets the argument with which it was given to `new`; `resume` requires that the argument is still
    // valid for `main`. This switch is the one that runs, so it may suspend.
    unsafe {
        ((*switch).main)((*switch).argument);
        (*switch).ended.set(true);
        (*switch).suspend();
    }
    // The coroutine was resumed after its end.
    abort()
}

/// Saves this side, stores its place in `save`, and continues where `to` was saved.
///
/// # Safety
///
/// A switch that nobody has returned to yet has left `to`, or `to` belongs to a new switch. Its stack is alive, and
/// belongs to this thread. `save` is writable.
#[inline(always)]
unsafe fn switch(save: *mut *mut u8, to: *mut u8, switch: *const Switch) {
    // SAFETY: the other side returns with `rsp` as it was saved, so what was pushed is popped. Every register is
    // restored or declared as overwritten, and memory counts as overwritten too. On the way there, nothing below `rsp`
    // is written.
    unsafe {
        asm!(
            // The compiler reserves these two for itself.
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
