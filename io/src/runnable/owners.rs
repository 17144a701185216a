//! How many own a task's cell. The models of `tests/loom_owners.rs` run this very file under loom.

use crate::primitive::{AtomicUsize, Ordering, fence};

/// The number of owners of something.
#[derive(Debug)]
pub(crate) struct Owners(AtomicUsize);

impl Owners {
    /// One.
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(1))
    }

    /// Makes it two, while nobody else knows of the first.
    pub(crate) fn pair(&self) {
        self.0.store(2, Ordering::Relaxed);
    }

    /// Counts one more.
    pub(crate) fn add(&self) {
        // Relaxed: whoever makes another owner is one.
        let owners = self.0.fetch_add(1, Ordering::Relaxed);
        if owners > usize::MAX / 2 {
            // So many were leaked.
            std::process::abort();
        }
    }

    /// Whether the caller, who owns it no longer, was the last.
    #[must_use]
    #[inline]
    pub(crate) fn remove(&self) -> bool {
        // Acquire, and the fence: what the other owners did comes before the end. Whoever finds itself
        // alone stays so: only an owner makes another.
        if self.0.load(Ordering::Acquire) == 1 {
            return true;
        }
        let last = self.0.fetch_sub(1, Ordering::Release) == 1;
        if last {
            fence(Ordering::Acquire);
        }
        last
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}
