//! Reporting an overflow of a coroutine's stack, where otherwise a bare SIGSEGV ended the process.
#![allow(unsafe_code)]

use crate::name::NameSlot;
use crate::slabs::{Overflown, stack_of_guard};
use crate::sys::fault;

/// Has overflows of the stacks of coroutines on the calling thread reported: in one line on stderr, which names the task
/// and the size of its stack, before the process aborts.
///
/// Installs a handler of SIGSEGV and SIGBUS, once per process, which hands all other faults on to the one that was there.
/// Gives the calling thread an alternate stack for signals if it has none that is large enough. (The threads of std have
/// one, which is large enough except where the kernel saves many registers.)
pub fn prepare_thread() {
    const REPORT: fn(usize) = report_overflow;
    fault::prepare_thread(&REPORT);
}

/// Writes one line and ends the process, if the address is in the guard of a stack. Async-signal-safe: no allocation, no
/// lock.
fn report_overflow(address: usize) {
    let Some(Overflown { stack_bytes, top }) = stack_of_guard(address) else { return };
    let mut digits = [0_u8; 20];
    fault::write_stderr(b"iolite: the fiber of task `");
    // SAFETY: the stack overflowed, so something runs on it, on this thread, and it is there, as is the name that was set.
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
