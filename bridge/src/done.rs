//! The end of a called job, as its caller sees it.
//!
//! `tests/loom_mpsc.rs` runs this very file under loom.

use super::primitive::{AtomicBool, Ordering};

/// A flag that is set when the worker has ended the job and no longer touches its frame.
#[derive(Debug)]
pub(crate) struct Done(AtomicBool);

impl Done {
    pub(crate) fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Sets the flag. This is the worker's last access: afterwards the frame, and this flag in it, may be gone.
    pub(crate) fn set(&self) {
        // Release: pairs with the Acquire of `is_set`, and publishes everything that the worker did to the frame.
        self.0.store(true, Ordering::Release);
    }

    /// Returns true if the frame belongs to the caller again.
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
