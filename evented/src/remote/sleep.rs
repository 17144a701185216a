//! The sleep of an executor in its ring, and the decision which waker has to wake it.
//!
//! A waker leaves something for the executor and then looks here. The executor announces its sleep here and then looks
//! for what was left. All of these accesses are SeqCst, both here and in the places where things are left, so one of
//! the two sees the other. Things that are left under a lock need no more than that lock, because the executor looks
//! under it.
//!
//! The models of `tests/loom_sleep.rs` run this very file under loom.

use crate::primitive::{AtomicBool, Ordering};

/// The flag. The executor sets it, and the thread that clears it decides: a waker that clears it has to wake the
/// executor; an executor that clears it goes on by itself.
#[derive(Debug)]
pub(crate) struct Sleep(AtomicBool);

impl Default for Sleep {
    fn default() -> Self {
        Self(AtomicBool::new(false))
    }
}

impl Sleep {
    /// Called after something was left for the executor. Returns true if the caller has to wake it; only one caller per
    /// sleep gets true.
    #[must_use]
    #[inline]
    pub(crate) fn end_for_waker(&self) -> bool {
        // Release: pairs with the Acquire of `end`, so that the executor sees what was left.
        self.0.load(Ordering::SeqCst) && self.0.swap(false, Ordering::Release)
    }

    /// Announces that the executor goes to sleep. Returns false if something was left for it, so that it must not
    /// sleep.
    #[must_use]
    pub(crate) fn begin(&self, has_left: impl FnOnce() -> bool) -> bool {
        self.0.store(true, Ordering::SeqCst);
        let has_left = has_left();
        if has_left {
            self.end();
        }
        !has_left
    }

    /// Takes the announcement back. Returns true if a waker has ended the sleep.
    pub(crate) fn end(&self) -> bool {
        !self.0.swap(false, Ordering::Acquire)
    }
}
