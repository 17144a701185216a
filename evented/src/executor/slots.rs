//! The places where completions of an executor's own entries store their results.

use std::cell::{Cell, UnsafeCell};
use std::ptr;

use io_uring::cqueue;
use iolite_io::backend::WakeBlock;

use crate::fiber::FiberRef;
use crate::remote::Tag;

/// The place where an operation of a fiber stores its result. It lives on the fiber's stack until the completions of
/// both the operation and its cancellation, if there is one, were reaped.
#[repr(align(8))]
pub(crate) struct OpSlot {
    fiber: FiberRef,
    result: Cell<Option<i32>>,
    /// The flags of the completion.
    flags: Cell<u32>,
    /// The result of the cancellation that was submitted last.
    cancellation: Cell<Option<i32>>,
}

impl OpSlot {
    /// Makes the slot of an operation of the calling fiber, which has this block.
    pub(crate) fn new(block: &WakeBlock) -> Self {
        Self {
            fiber: FiberRef::of_block(block),
            result: Cell::new(None),
            flags: Cell::new(0),
            cancellation: Cell::new(None),
        }
    }

    pub(super) fn begin(&self) {
        self.result.set(None);
    }

    pub(super) fn end(&self, result: i32, flags: u32) {
        self.result.set(Some(result));
        self.flags.set(flags);
    }

    pub(super) fn begin_cancellation(&self) {
        self.cancellation.set(None);
    }

    pub(super) fn end_cancellation(&self, result: i32) {
        self.cancellation.set(Some(result));
    }

    pub(super) fn fiber(&self) -> FiberRef {
        self.fiber
    }

    /// Returns the result of the operation once it has ended.
    pub(crate) fn result(&self) -> Option<i32> {
        self.result.get()
    }

    /// Returns true if the socket had more bytes when the operation received from it.
    pub(crate) fn left_more(&self) -> bool {
        cqueue::sock_nonempty(self.flags.get())
    }

    /// Returns the result of the cancellation that was submitted last, once it has ended.
    pub(crate) fn cancellation(&self) -> Option<i32> {
        self.cancellation.get()
    }

    pub(super) fn user_data(&self, tag: Tag) -> u64 {
        ptr::from_ref(self) as u64 | tag as u64
    }
}

/// The read that waits for a wake-up.
#[derive(Default)]
pub(super) struct EventRead {
    pub(super) armed: Cell<bool>,
    /// The kernel writes it while the read is armed.
    pub(super) count: UnsafeCell<u64>,
}
