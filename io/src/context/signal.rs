//! The signal that interrupts `ppoll`.
//!
//! It stays blocked except inside `ppoll`, which unblocks it atomically: a signal sent between
//! the check for a cancellation and the system call is pending by then, and none is ever lost.
#![allow(unsafe_code)]

use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{mem, ptr};

/// `SIGURG`: ignored by default, hardly used by anybody (Go's runtime preempts with it too).
pub(super) const WAKE_SIGNAL: libc::c_int = libc::SIGURG;

/// The handler that was there before, or 0; written once, before ours is installed.
static PREVIOUS: AtomicUsize = AtomicUsize::new(0);

/// Installs the handler, once per process. It does nothing but interrupt, and calls the one that
/// was there before.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // SAFETY: `sigaction` structs are plain data; the handler is async-signal-safe.
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            libc::sigaction(WAKE_SIGNAL, ptr::null(), &mut action);
            let previous = action.sa_sigaction;
            if previous != libc::SIG_DFL && previous != libc::SIG_IGN {
                PREVIOUS.store(previous, Ordering::Relaxed);
            }
            action.sa_sigaction = on_wake as extern "C" fn(_, _, _) as usize;
            // No SA_RESTART: the whole point is the EINTR.
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigaction(WAKE_SIGNAL, &action, ptr::null_mut());
        }
    });
}

extern "C" fn on_wake(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let previous = PREVIOUS.load(Ordering::Relaxed);
    if previous != 0 {
        // SAFETY: it was installed as a handler; one that takes only the number ignores the rest.
        let previous: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
            unsafe { mem::transmute(previous) };
        previous(signal, info, context);
    }
}
