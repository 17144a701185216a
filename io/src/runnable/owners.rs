//! The count of the owners of a task's cell. The models of `tests/loom_owners.rs` run this very file under loom.

use crate::primitive::{AtomicUsize, Ordering, fence};

/// Counts the owners of an object.
#[derive(Debug)]
pub(crate) struct Owners(AtomicUsize);

impl Owners {
    /// Makes a count of one.
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(1))
    }

    /// Sets the count to two. Called while no other thread knows of the first owner.
    pub(crate) fn pair(&self) {
        self.0.store(2, Ordering::Relaxed);
    }

    /// Adds an owner.
    pub(crate) fn add(&self) {
        // Relaxed: only an owner makes another owner.
        let owners = self.0.fetch_add(1, Ordering::Relaxed);
        if owners > usize::MAX / 2 {
            // So many owners can only have been leaked.
            std::process::abort();
        }
    }

    /// Removes the caller, which is no longer an owner. Returns true if it was the last.
    #[must_use]
    #[inline]
    pub(crate) fn remove(&self) -> bool {
        // Acquire, and the fence: the accesses of the other owners happen before the end. An owner that is alone stays
        // alone, because only an owner makes another one.
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
