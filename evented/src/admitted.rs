//! A task that was admitted and has not begun.

use iolite_io::backend::{Start, Ticket};
use iolite_io::task::Placement;

/// What a task is counted against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Async,
    Concurrent,
    /// Counted against no limit: the main task, tasks on threads of their own.
    Uncounted,
}

/// An admitted task on its way to a fiber, with the slot that its end gives back.
pub(crate) struct Admitted {
    pub(crate) start: Start,
    pub(crate) slot: Slot,
    /// It was handed to an executor that slept.
    pub(crate) handed: bool,
}

impl Admitted {
    #[inline]
    pub(crate) fn new(start: Start, slot: Slot) -> Self {
        Self { start, slot, handed: false }
    }

    /// Runs the task on the calling context to its end, at which it calls `release` with the slot.
    #[inline]
    pub(crate) fn run(self, release: impl FnOnce(Slot)) {
        let Self { start, slot, .. } = self;
        start.run_with(|| release(slot));
    }

    /// Whether it may go to another executor than the one that is about to begin it.
    #[inline]
    pub(crate) fn may_be_handed_over(&self) -> bool {
        !self.handed && self.start.options().placement == Placement::Anywhere
    }

    /// Makes the task its joiner's to begin, wherever it joins, once it is queued under `ticket`.
    #[inline]
    pub(crate) fn offer(&self, ticket: Ticket) {
        let options = self.start.options();
        if self.slot == Slot::Async && options.may_run_inline() && options.placement == Placement::Anywhere {
            self.start.offer(ticket);
        }
    }
}
