//! The end of a runtime, or of a similar object: how it sees that nothing is left while other threads still begin
//! things.
//!
//! A thread that begins something counts it first, in a [`Count`] or by a permit of a
//! [`Semaphore`](crate::sync::Semaphore), and then checks whether the end has [begun](Closing::has_begun). If so, it
//! takes back what it counted. A thread that waits for the end sees that the end has begun, and then that nothing is
//! counted. All of these accesses are SeqCst, so one of the two threads sees the other. The same holds for a thread
//! that ends something: it removes it from the count and then checks whether it has to wake those that wait for the
//! end.
//!
//! The models of `tests/loom_closing.rs` run this very file under loom, and the semaphore's word.

use crate::primitive::{AtomicBool, AtomicUsize, Ordering};

/// Says whether the end has begun. It begins once.
#[derive(Debug)]
pub struct Closing(AtomicBool);

impl Default for Closing {
    fn default() -> Self {
        Self(AtomicBool::new(false))
    }
}

impl Closing {
    /// Begins the end. Returns false if it had begun before.
    pub fn begin(&self) -> bool {
        !self.0.swap(true, Ordering::SeqCst)
    }

    /// Returns true if the end has begun. A caller that asks in order to begin something has counted it before.
    #[inline]
    pub fn has_begun(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Counts the things that have begun and have not ended.
#[derive(Debug)]
pub struct Count(AtomicUsize);

impl Count {
    /// Makes a counter that starts at `count`.
    pub fn new(count: usize) -> Self {
        Self(AtomicUsize::new(count))
    }

    /// Adds one.
    #[inline]
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Removes one. Returns true if it was the last. Everything that was done before an earlier removal happens before
    /// a removal that returns true.
    #[inline]
    pub fn remove(&self) -> bool {
        self.0.fetch_sub(1, Ordering::SeqCst) == 1
    }

    /// Returns true if the count is zero. The caller has seen that the end has begun.
    pub fn is_zero(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}
