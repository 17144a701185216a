//! The run queue of one executor: fibers that can run, first come first served.
#![allow(unsafe_code)]

use std::cell::Cell;

use crate::fiber::{Fiber, FiberRef};

/// A queue that is linked through its fibers, so that queueing allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Ready {
    first: Cell<Option<FiberRef>>,
    last: Cell<Option<FiberRef>>,
    len: Cell<usize>,
}

impl Ready {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len.get() == 0
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len.get()
    }

    /// Adds a fiber; one that is queued already keeps its place.
    ///
    /// # Safety
    ///
    /// The fiber is alive until it was popped, and is queued with one executor only.
    #[inline]
    pub(super) unsafe fn push(&self, fiber: &Fiber) {
        if fiber.queued.replace(true) {
            return;
        }
        fiber.next.set(None);
        let fiber = FiberRef::new(fiber);
        match self.last.replace(Some(fiber)) {
            // SAFETY: queued fibers are alive.
            Some(last) => unsafe { last.get() }.next.set(Some(fiber)),
            None => self.first.set(Some(fiber)),
        }
        self.len.set(self.len.get() + 1);
    }

    /// The fiber that is popped next.
    #[inline]
    pub(super) fn first(&self) -> Option<FiberRef> {
        self.first.get()
    }

    #[inline]
    pub(super) fn pop(&self) -> Option<FiberRef> {
        let fiber = self.first.get()?;
        // SAFETY: queued fibers are alive.
        let links = unsafe { fiber.get() };
        links.queued.set(false);
        let next = links.next.get();
        self.first.set(next);
        if next.is_none() {
            self.last.set(None);
        }
        self.len.set(self.len.get() - 1);
        Some(fiber)
    }
}
