//! How what ends, a runtime for instance, sees that nothing is left, while others still begin.
//!
//! Whoever begins something counts it first, in a [`Count`] or by a permit of a
//! [`Semaphore`](crate::sync::Semaphore), and then looks whether the end has [begun](Closing::has_begun); if so, it
//! takes back what it counted. Whoever waits for the end sees that it has begun, and then that nothing is counted. All
//! of these accesses are SeqCst, so one of the two sees the other. Likewise with whoever ends something: it counts that
//! out and then looks whether it has to wake those who wait for the end.
//!
//! The models of `tests/loom_closing.rs` run this very file under loom, and the semaphore's word.

use crate::primitive::{AtomicBool, AtomicUsize, Ordering};

/// Whether the end has begun. It does once.
#[derive(Debug)]
pub struct Closing(AtomicBool);

impl Default for Closing {
    fn default() -> Self {
        Self(AtomicBool::new(false))
    }
}

impl Closing {
    /// Begins the end; `false`: it had begun before.
    pub fn begin(&self) -> bool {
        !self.0.swap(true, Ordering::SeqCst)
    }

    /// Whether the end has begun. Whoever asks in order to begin something has counted it before.
    #[inline]
    pub fn has_begun(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// How many things have begun and have not ended.
#[derive(Debug)]
pub struct Count(AtomicUsize);

impl Count {
    /// With that many.
    pub fn new(count: usize) -> Self {
        Self(AtomicUsize::new(count))
    }

    /// Counts one more.
    #[inline]
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Counts one out; whether it was the last. What was done to those before comes before that.
    #[inline]
    pub fn remove(&self) -> bool {
        self.0.fetch_sub(1, Ordering::SeqCst) == 1
    }

    /// Whether there is none. Whoever asks has seen that the end has begun.
    pub fn is_zero(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}
