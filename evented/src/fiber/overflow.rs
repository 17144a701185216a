//! Names a fiber that overflows its stack, instead of a bare SIGSEGV.
//!
//! std's own handler knows the guards of threads only. Ours runs before it, on the thread's
//! alternate stack, and hands every other fault on.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::mem;
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::{Fiber, stack};

thread_local! {
    /// The fiber that runs on this thread; null between fibers. Set by its executor, off the fiber.
    pub(super) static RUNNING: Cell<*const Fiber> = const { Cell::new(ptr::null()) };
}

/// The actions that ours replaced, for SIGSEGV and SIGBUS; leaked, written once before ours is
/// installed.
static PREVIOUS: [AtomicPtr<libc::sigaction>; 2] = [const { AtomicPtr::new(ptr::null_mut()) }; 2];

const SIGNALS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// Bytes of an alternate stack, where a thread has none.
const ALTERNATE_BYTES: usize = 64 * 1024;

/// Installs the handler, once per process, and gives the calling thread an alternate stack if it
/// has none (std's threads have).
pub(crate) fn prepare_thread() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        for (signal, previous) in SIGNALS.into_iter().zip(&PREVIOUS) {
            // SAFETY: plain data and a handler that only calls async-signal-safe functions.
            unsafe {
                let old = Box::leak(Box::new(mem::zeroed::<libc::sigaction>()));
                libc::sigaction(signal, ptr::null(), old);
                previous.store(old, Ordering::Release);
                let mut action: libc::sigaction = mem::zeroed();
                action.sa_sigaction = on_fault as extern "C" fn(_, _, _) as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                libc::sigaction(signal, &action, ptr::null_mut());
            }
        }
    });
    // SAFETY: asks for, and where there is none sets, this thread's alternate stack; the memory is
    // leaked, since the thread may fault until its very end.
    unsafe {
        let mut present: libc::stack_t = mem::zeroed();
        libc::sigaltstack(ptr::null(), &mut present);
        if present.ss_flags & libc::SS_DISABLE != 0 {
            let memory = Box::leak(vec![0_u8; ALTERNATE_BYTES].into_boxed_slice());
            let alternate = libc::stack_t { ss_sp: memory.as_mut_ptr().cast(), ss_flags: 0, ss_size: memory.len() };
            libc::sigaltstack(&alternate, ptr::null_mut());
        }
    }
}

extern "C" fn on_fault(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid `info` to a handler with SA_SIGINFO.
    let address = unsafe { (*info).si_addr() } as usize;
    match stack::stack_of_guard(address) {
        Some(bytes) => report(bytes),
        None => hand_on(signal, info, context),
    }
}

/// Writes one line and ends the process. Async-signal-safe: no allocation, no lock.
fn report(stack_bytes: usize) -> ! {
    let mut digits = [0_u8; 20];
    write_stderr(b"iolite: the fiber of task `");
    // SAFETY: the fiber overflowed, so it runs, and is there.
    match unsafe { RUNNING.get().as_ref() } {
        Some(fiber) => fiber.with_name(|name| write_stderr(name.as_bytes())),
        None => write_stderr(b"?"),
    }
    write_stderr(b"` overflowed its stack of ");
    write_stderr(decimal(stack_bytes / 1024, &mut digits));
    write_stderr(b" KiB: raise stack_size, or move large frames to the heap or to the bridge; aborting\n");
    // SAFETY: no preconditions.
    unsafe { libc::abort() }
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

fn write_stderr(bytes: &[u8]) {
    // SAFETY: the slice is readable. What cannot be written is lost; the process ends anyway.
    unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
}

fn hand_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let index = usize::from(signal == SIGNALS[1]);
    let previous = PREVIOUS[index].load(Ordering::Acquire);
    // SAFETY: stored before the handler was installed, leaked; its handler is called as its flags
    // say that it wants to be.
    unsafe {
        match (*previous).sa_sigaction {
            libc::SIG_DFL | libc::SIG_IGN => {
                // The faulting instruction runs again, and meets the default.
                libc::sigaction(signal, previous, ptr::null_mut());
            }
            handler if (*previous).sa_flags & libc::SA_SIGINFO != 0 => {
                let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                    mem::transmute(handler);
                handler(signal, info, context);
            }
            handler => {
                let handler: extern "C" fn(libc::c_int) = mem::transmute(handler);
                handler(signal);
            }
        }
    }
}
