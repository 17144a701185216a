//! Decides whether a fiber may make a system call that does not wait, instead of an operation of the ring.

use super::state::Executor;

/// With more fibers than this, a result that is at hand must not overtake the results that other fibers wait for.
const CROWD: usize = 128;

/// The number of bytes that fibers may receive with consecutive calls while others could run: this takes about half a
/// turn.
const BYTES_IN_A_ROW: usize = 512 << 10;

/// The cost of a call itself, expressed in bytes.
const BYTES_PER_CALL: usize = 4 << 10;

impl Executor {
    /// Returns true if there are so many fibers that they delay each other.
    #[inline]
    pub(crate) fn is_crowded(&self) -> bool {
        self.live.borrow().len() > CROWD
    }

    /// Returns true if the running fiber is the only one that could run. A call that does not wait is faster for it
    /// then. With many fibers the ring is faster, because it takes the operations of all of them at once.
    #[inline]
    pub(crate) fn is_alone(&self) -> bool {
        self.ready.is_empty()
            && self.overdue.get().is_none()
            && !self.ring.has_queued()
            && !self.inbox.has_woken()
            && !self.seems_to_have_unstarted()
    }

    /// Returns true if the running fiber may receive `bytes` with a call instead of an operation, and counts the bytes.
    ///
    /// A fiber that is alone always may. If there are several, one may receive a limited number in a row: it drains a
    /// stream without an operation and two switches for each piece, and yields with the first operation that it queues.
    /// In a crowd no fiber may, so that bytes that are at hand do not overtake those that other fibers wait for.
    #[inline]
    pub(crate) fn may_receive(&self, bytes: usize) -> bool {
        let received = self.received.get();
        let may = received < BYTES_IN_A_ROW && !self.is_crowded() || self.is_alone();
        if may {
            self.received.set(received.saturating_add(bytes.max(BYTES_PER_CALL)));
        }
        may
    }
}
