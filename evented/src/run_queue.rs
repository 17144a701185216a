//! The run queue of one executor: the fibers that can run, in first-in-first-out order.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ptr;

use iolite_io::backend::WakeBlock;

use crate::fiber::{Fiber, FiberRef};

/// A queue that is linked through its fibers, so queueing allocates nothing.
#[derive(Debug)]
pub(crate) struct RunQueue {
    first: Cell<Option<FiberRef>>,
    last: Cell<Option<FiberRef>>,
    len: Cell<usize>,
    /// The address of the waker that wakes this queue's fibers from other threads. On the executor's own thread, the
    /// waker finds the queue by this address.
    waker: *const (),
}

thread_local! {
    /// The queue of the executor that runs on this thread.
    static CURRENT: Cell<*const RunQueue> = const { Cell::new(ptr::null()) };
}

/// Makes `queue` the run queue of the calling thread, and returns the previous one.
///
/// # Safety
///
/// The queue stays in place until another one is set.
pub(crate) unsafe fn set_current(queue: *const RunQueue) -> *const RunQueue {
    CURRENT.replace(queue)
}

/// Calls `f` with the queue of the calling thread, if its fibers are woken by `waker`.
#[inline]
pub(crate) fn with_current_of<R>(waker: *const (), f: impl FnOnce(&RunQueue) -> R) -> Option<R> {
    // SAFETY: it is null, or a queue that stays in place until another one is set, as the caller of `set_current`
    // promises.
    let queue = unsafe { CURRENT.get().as_ref() }?;
    ptr::eq(queue.waker, waker).then(|| f(queue))
}

impl RunQueue {
    /// Makes an empty queue of fibers that `waker` wakes from other threads.
    pub(crate) fn new(waker: *const ()) -> Self {
        Self { first: Cell::new(None), last: Cell::new(None), len: Cell::new(0), waker }
    }

    /// Queues the fiber of a woken block and returns true if it is parked; otherwise returns false.
    ///
    /// # Safety
    ///
    /// The block has no owner, or its owner is a fiber of this queue's executor, live or idle.
    #[inline]
    pub(crate) unsafe fn make_block_ready(&self, block: &WakeBlock) -> bool {
        // SAFETY: this function's caller promises that the fiber belongs to this executor, which keeps it, live or
        // idle.
        block.owner() != 0 && unsafe { self.make_ready(FiberRef::of_block(block).get()) }
    }

    /// Queues a fiber and returns true if it is parked; otherwise returns false.
    ///
    /// # Safety
    ///
    /// The same as for [`push`](Self::push).
    #[inline]
    pub(crate) unsafe fn make_ready(&self, fiber: &Fiber) -> bool {
        let parked = fiber.parked.replace(false);
        if parked {
            // SAFETY: this function's caller promises the same.
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

    /// Adds a fiber. A fiber that is already queued keeps its place.
    ///
    /// # Safety
    ///
    /// The fiber is alive until it was popped, and is queued with only one executor.
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

    /// Returns the fiber that is popped next.
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
