//! A task that was admitted and has not begun.

use iolite_io::backend::{Slot, Start, Ticket};
use iolite_io::task::Placement;

/// An admitted task on its way to a fiber, with the slot that it returns at its end.
pub(crate) struct Admitted {
    pub(crate) start: Start,
    pub(crate) slot: Slot,
    /// Set if the task was handed to an executor that slept.
    pub(crate) handed: bool,
}

impl Admitted {
    #[inline]
    pub(crate) fn new(start: Start, slot: Slot) -> Self {
        Self { start, slot, handed: false }
    }

    /// Runs the task on the calling context to its end, and then calls `release` with the slot.
    #[inline]
    pub(crate) fn run(self, release: impl FnOnce(Slot)) {
        let Self { start, slot, .. } = self;
        start.run_with(|| release(slot));
    }

    /// Returns true if another executor may take the task from the one that is about to begin it.
    #[inline]
    pub(crate) fn may_be_handed_over(&self) -> bool {
        !self.handed && self.start.options().placement == Placement::Anywhere
    }

    /// Allows the task's joiner to begin it, on any context, once the task is queued under `ticket`.
    #[inline]
    pub(crate) fn offer(&self, ticket: Ticket) {
        let options = self.start.options();
        if self.slot == Slot::Async && options.may_run_inline() && options.placement == Placement::Anywhere {
            self.start.offer(ticket);
        }
    }
}
