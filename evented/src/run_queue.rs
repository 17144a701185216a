//! The run queue of one executor: fibers that can run, first come first served.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ptr;

use iolite_io::backend::WakeBlock;

use crate::fiber::{Fiber, FiberRef};

/// A queue that is linked through its fibers, so that queueing allocates nothing.
#[derive(Debug)]
pub(crate) struct RunQueue {
    first: Cell<Option<FiberRef>>,
    last: Cell<Option<FiberRef>>,
    len: Cell<usize>,
    /// The address of what wakes the fibers of this queue from other threads, by which that finds the queue on this one.
    waker: *const (),
}

thread_local! {
    /// The queue of the executor that runs on this thread.
    static CURRENT: Cell<*const RunQueue> = const { Cell::new(ptr::null()) };
}

/// Makes `queue` the one of the calling thread, and returns the previous one.
///
/// # Safety
///
/// The queue stays where it is until another one is set.
pub(crate) unsafe fn set_current(queue: *const RunQueue) -> *const RunQueue {
    CURRENT.replace(queue)
}

/// Calls `f` with the queue of the calling thread, if its fibers are woken by `waker`.
#[inline]
pub(crate) fn with_current_of<R>(waker: *const (), f: impl FnOnce(&RunQueue) -> R) -> Option<R> {
    // SAFETY: null, or a queue that stays until another one is set, as the caller of `set_current` says.
    let queue = unsafe { CURRENT.get().as_ref() }?;
    ptr::eq(queue.waker, waker).then(|| f(queue))
}

impl RunQueue {
    /// An empty queue of fibers that `waker` wakes from other threads.
    pub(crate) fn new(waker: *const ()) -> Self {
        Self { first: Cell::new(None), last: Cell::new(None), len: Cell::new(0), waker }
    }

    /// Queues the fiber of a woken block, if it is parked; else returns false.
    ///
    /// # Safety
    ///
    /// The block's owner is none, or a fiber of this queue's executor, live or idle.
    #[inline]
    pub(crate) unsafe fn make_block_ready(&self, block: &WakeBlock) -> bool {
        // SAFETY: the fiber is of this executor, as this function's caller says, which keeps it, live or idle.
        block.owner() != 0 && unsafe { self.make_ready(FiberRef::of_block(block).get()) }
    }

    /// Queues a fiber, if it is parked; else returns false.
    ///
    /// # Safety
    ///
    /// As [`push`](Self::push).
    #[inline]
    pub(crate) unsafe fn make_ready(&self, fiber: &Fiber) -> bool {
        let parked = fiber.parked.replace(false);
        if parked {
            // SAFETY: as this function's caller says.
            unsafe { self.push(fiber) };
        }
        parked
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len.get() == 0
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }

    /// Adds a fiber; one that is queued already keeps its place.
    ///
    /// # Safety
    ///
    /// The fiber is alive until it was popped, and is queued with one executor only.
    #[inline]
    pub(crate) unsafe fn push(&self, fiber: &Fiber) {
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
    pub(crate) fn first(&self) -> Option<FiberRef> {
        self.first.get()
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<FiberRef> {
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
