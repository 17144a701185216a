//! An atomic word that says whether a thread is in a system call that its wakers have to interrupt.
//!
//! ```text
//!             enter                interrupt
//!  OUTSIDE ───────────▶ INSIDE ───────────────▶ INTERRUPTED
//!     ▲                    │                         │
//!     └───────leave────────┴─────────leave───────────┘ and the owner waits for its waker
//! ```
//!
//! The owner enters and leaves, wakers interrupt. `call.rs` says what each side does around a transition, and the
//! models of `tests/loom_call.rs` run this very file under loom.

use crate::primitive::{AtomicU32, Ordering};

/// The owner runs, or sleeps where no signal is needed to wake it.
const OUTSIDE: u32 = 0;
/// The owner is in a system call, or on its way into or out of it.
const INSIDE: u32 = 1;
/// A waker is going to interrupt the call.
const INTERRUPTED: u32 = 2;

/// The state word of a call.
#[derive(Debug)]
pub(crate) struct CallWord(AtomicU32);

impl Default for CallWord {
    fn default() -> Self {
        Self(AtomicU32::new(OUTSIDE))
    }
}

impl CallWord {
    /// Says that the owner is about to make a call. From now on its wakers signal.
    pub(crate) fn enter(&self) {
        // Release: a waker that interrupts sees which thread it is.
        self.0.store(INSIDE, Ordering::Release);
    }

    /// Claims the right to interrupt the call. Returns false if there is no call, or another waker has claimed it.
    #[must_use]
    pub(crate) fn interrupt(&self) -> bool {
        // Acquire: see `enter`. Relaxed on failure: nothing is done then.
        self.0.compare_exchange(INSIDE, INTERRUPTED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Says that the owner is back from its call. Returns true if a waker signals; the owner then has to wait until the
    /// waker has finished.
    #[must_use]
    pub(crate) fn leave(&self) -> bool {
        // Relaxed: the lock under which the waker signals hands over what the waker leaves behind.
        self.0.swap(OUTSIDE, Ordering::Relaxed) == INTERRUPTED
    }

    /// Returns true if the owner has not left the call that the caller interrupts.
    pub(crate) fn is_interrupted(&self) -> bool {
        // Relaxed: it only ends a loop.
        self.0.load(Ordering::Relaxed) == INTERRUPTED
    }
}
