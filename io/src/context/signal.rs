//! The signal that interrupts `ppoll`.
//!
//! It stays blocked except inside `ppoll`, which unblocks it atomically: a signal sent between
//! the check for a cancellation and the system call is pending by then, and none is ever lost.

use std::sync::Once;

use crate::signal::handler::{self, Interrupted};

/// `SIGURG`: ignored by default, hardly used by anybody (Go's runtime preempts with it too).
pub(crate) const WAKE_SIGNAL: i32 = libc::SIGURG;

/// Installs the handler, once per process and for good. It does nothing but interrupt.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // It does not fail for a signal that there is and that may have a handler.
        let _ = handler::install(WAKE_SIGNAL, Interrupted::Fails);
    });
}
