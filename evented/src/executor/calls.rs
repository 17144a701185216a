//! Whether a fiber may make a call that does not wait, in place of an operation of the ring.

use super::state::Executor;

/// With more fibers than these, what is at hand must not overtake what was waited for.
const CROWD: usize = 128;

/// How many bytes fibers receive by calls in a row while others could run: what takes about as long as half a turn.
const BYTES_IN_A_ROW: usize = 512 << 10;

/// What a call costs in itself, in bytes.
const BYTES_PER_CALL: usize = 4 << 10;

impl Executor {
    /// Whether there are so many fibers that they get in each other's way.
    #[inline]
    pub(crate) fn is_crowded(&self) -> bool {
        self.live.borrow().len() > CROWD
    }

    /// Whether the fiber that runs is the only one that could: a call that does not wait is the shorter way for it then,
    /// where for many the ring is, which takes all of theirs at once.
    #[inline]
    pub(crate) fn is_alone(&self) -> bool {
        self.ready.is_empty()
            && self.overdue.get().is_none()
            && !self.ring.has_queued()
            && !self.inbox.has_woken()
            && !self.seems_to_have_unstarted()
    }

    /// Whether the fiber that runs may receive `bytes` by a call in place of an operation, which counts them.
    ///
    /// A fiber that is alone always may. One of several may receive some in a row: it drains a stream without an operation
    /// and two switches for each piece, and gives way with the first operation that it queues. In a crowd nobody may, so
    /// that what is at hand does not overtake what was waited for.
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
