//! Whether an executor sleeps in its ring, and who of those that leave something for it has to wake it.
//!
//! A waker leaves its thing and then looks here; the executor announces itself here and then looks for things. All of
//! these accesses are SeqCst, here and in what things are left in, so one of the two sees the other. What is left under
//! a lock needs no more than that lock, under which the executor looks.
//!
//! The models of `tests/loom_sleep.rs` run this very file under loom.

use crate::primitive::{AtomicBool, Ordering};

/// The flag. Set by the executor; whoever clears it decides: a waker that does has to wake the executor, an executor
/// that does goes on by itself.
#[derive(Debug)]
pub(crate) struct Sleep(AtomicBool);

impl Default for Sleep {
    fn default() -> Self {
        Self(AtomicBool::new(false))
    }
}

impl Sleep {
    /// After something was left for the executor: whether the caller has to wake it. One is told so per sleep.
    #[must_use]
    #[inline]
    pub(crate) fn end_for_waker(&self) -> bool {
        // Release: pairs with the Acquire of `end`: what was left is seen.
        self.0.load(Ordering::SeqCst) && self.0.swap(false, Ordering::Release)
    }

    /// Announces that the executor goes to sleep; `false` when something was left for it, so that it must not.
    #[must_use]
    pub(crate) fn begin(&self, has_left: impl FnOnce() -> bool) -> bool {
        self.0.store(true, Ordering::SeqCst);
        let has_left = has_left();
        if has_left {
            self.end();
        }
        !has_left
    }

    /// Takes the announcement back; whether a waker has ended the sleep.
    pub(crate) fn end(&self) -> bool {
        !self.0.swap(false, Ordering::Acquire)
    }
}
