//! The report of an overflow of a coroutine's stack, which would otherwise end the process with a bare SIGSEGV.
#![allow(unsafe_code)]

use crate::name::NameSlot;
use crate::slabs::{Overflown, stack_of_guard};
use crate::sys::fault;

/// Prepares the calling thread so that overflows of the stacks of its coroutines are reported: in one line on stderr,
/// which names the task and the size of its stack, before the process aborts.
///
/// It installs a handler of SIGSEGV and SIGBUS, once per process, which passes all other faults on to the previous
/// handler. It gives the calling thread an alternate stack for signals if it has none that is large enough. (The
/// threads of std have one, which is large enough except where the kernel saves many registers.)
pub fn prepare_thread() {
    const REPORT: fn(usize) = report_overflow;
    fault::prepare_thread(&REPORT);
}

/// Writes one line and ends the process if the address is in the guard of a stack. Async-signal-safe: it neither
/// allocates nor locks.
fn report_overflow(address: usize) {
    let Some(Overflown { stack_bytes, top }) = stack_of_guard(address) else { return };
    let mut digits = [0_u8; 20];
    fault::write_stderr(b"iolite: the fiber of task `");
    // SAFETY: the stack overflowed, so a coroutine runs on it, on this thread. So the stack exists, and so does its name.
    let name = unsafe { NameSlot::below(top).get() };
    fault::write_stderr(name.unwrap_or(b"?"));
    fault::write_stderr(b"` overflowed its stack of ");
    fault::write_stderr(decimal(stack_bytes / 1024, &mut digits));
    fault::write_stderr(b" KiB: raise stack_size, or move large frames to the heap or to the bridge; aborting\n");
    fault::abort()
}

fn decimal(mut value: usize, digits: &mut [u8; 20]) -> &[u8] {
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return &digits[first..];
        }
    }
}
