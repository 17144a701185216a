//! Entries in flight: what their user data says, and what their completions do.
#![allow(unsafe_code)]

use std::cell::{Cell, UnsafeCell};
use std::ptr;

use io_uring::squeue::Entry;
use io_uring::{cqueue, opcode, types};
use iolite_io::backend::WakeBlock;

use super::Executor;
use super::foreign::Message;
use crate::fiber::FiberRef;
use crate::ring::Pushed;

/// What a completion's user data points to, in its lowest bits; the rest is the pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(super) enum Tag {
    /// An operation of a fiber: an [`OpSlot`].
    Operation = 0,
    /// The cancellation of one: the same slot.
    Cancellation = 1,
    /// A [`Message`].
    Foreign = 2,
    /// The executor's own: the wake-up event, or something nobody waits for.
    Own = 3,
    /// One that completes more than once: a [`Standing`](super::standing::Standing).
    Standing = 4,
    /// The cancellation of one, which is counted nowhere: the same, which may be gone.
    StandingCancellation = 5,
}

const TAG_MASK: u64 = 7;
const EVENT: u64 = 8 | Tag::Own as u64;
pub(super) const NOBODY: u64 = Tag::Own as u64;

/// Where an operation of a fiber leaves its result; lives on the fiber's stack until both its
/// completion and that of its cancellation, if there is one, were reaped.
#[repr(align(8))]
pub(crate) struct OpSlot {
    fiber: FiberRef,
    result: Cell<Option<i32>>,
    /// The completion's.
    flags: Cell<u32>,
    /// Of the last cancellation.
    cancellation: Cell<Option<i32>>,
}

impl OpSlot {
    /// The result of the operation, once it has ended.
    pub(crate) fn result(&self) -> Option<i32> {
        self.result.get()
    }

    /// Whether a socket had more when the operation received from it.
    pub(crate) fn left_more(&self) -> bool {
        cqueue::sock_nonempty(self.flags.get())
    }

    /// The result of the cancellation that was submitted last, once it has ended.
    pub(crate) fn cancellation(&self) -> Option<i32> {
        self.cancellation.get()
    }

    fn user_data(&self, tag: Tag) -> u64 {
        ptr::from_ref(self) as u64 | tag as u64
    }
}

/// The read that waits for a wake-up.
#[derive(Default)]
pub(super) struct EventRead {
    pub(super) armed: Cell<bool>,
    /// Written by the kernel while armed.
    count: UnsafeCell<u64>,
}

impl Executor {
    /// Queues an operation of the calling fiber.
    ///
    /// # Safety
    ///
    /// The slot, and what the entry points to, stay in place until `slot.result()` is there.
    pub(crate) unsafe fn submit(&self, slot: &OpSlot, entry: Entry) {
        slot.result.set(None);
        self.received.set(0);
        // SAFETY: what the entry points to, and the slot that its user data names, stay until the result is there, as this
        // function's caller sees to; it is there when the completion was reaped.
        unsafe { self.push(entry.user_data(slot.user_data(Tag::Operation))) };
    }

    /// Makes the slot of an operation of the calling fiber.
    pub(crate) fn slot(block: &WakeBlock) -> OpSlot {
        OpSlot {
            fiber: FiberRef::of_block(block),
            result: Cell::new(None),
            flags: Cell::new(0),
            cancellation: Cell::new(None),
        }
    }

    /// Queues the cancellation of a submitted operation. Its completion is waited for too: the user
    /// data names a place on a stack, where another operation could be by the time the kernel
    /// looks.
    ///
    /// # Safety
    ///
    /// The slot stays in place until both `slot.result()` and `slot.cancellation()` are there.
    pub(crate) unsafe fn submit_cancellation(&self, slot: &OpSlot) {
        slot.cancellation.set(None);
        let entry = opcode::AsyncCancel::new(slot.user_data(Tag::Operation)).build();
        // SAFETY: the entry itself points to nothing. Its user data names the slot, which stays until the completion was
        // reaped, as this function's caller sees to.
        unsafe { self.push(entry.user_data(slot.user_data(Tag::Cancellation))) };
    }

    /// # Safety
    ///
    /// What the entry points to stays valid until its completion was reaped.
    pub(super) unsafe fn push(&self, entry: Entry) -> Pushed {
        self.in_flight.set(self.in_flight.get() + 1);
        // SAFETY: what the entry points to stays valid until its completion was reaped, as this function's caller sees
        // to.
        unsafe { self.ring.push(&entry) }
    }

    /// Does what a completion is for: it makes a fiber ready, or tells a foreign context.
    pub(super) fn complete(&self, user_data: u64, result: i32, flags: u32) {
        let pointer = user_data & !TAG_MASK;
        match user_data & TAG_MASK {
            tag if tag == Tag::Foreign as u64 => {
                self.in_flight.set(self.in_flight.get() - 1);
                // SAFETY: the user data is that of a message, by its tag, and this is its one completion: its sender keeps
                // it in place until `complete` has told it.
                let message = unsafe { &*(pointer as *const Message) };
                self.foreign.remove(message);
                message.complete(result);
            }
            tag if tag == Tag::Standing as u64 => {
                // SAFETY: the user data is that of a standing operation, by its tag.
                unsafe { self.complete_standing(pointer, result, flags) };
            }
            tag if tag == Tag::StandingCancellation as u64 => self.complete_standing_cancellation(pointer, result),
            _ if user_data == EVENT => self.event.armed.set(false),
            tag if tag == Tag::Own as u64 => self.in_flight.set(self.in_flight.get() - 1),
            tag => {
                self.in_flight.set(self.in_flight.get() - 1);
                // SAFETY: the user data is that of a slot, by its tag, and the frame that has it waits for this completion.
                let slot = unsafe { &*(pointer as *const OpSlot) };
                if tag == Tag::Cancellation as u64 {
                    slot.cancellation.set(Some(result));
                } else {
                    slot.result.set(Some(result));
                    slot.flags.set(flags);
                }
                // SAFETY: this is the executor in whose ring the slot's fiber has queued the entry, its own; and the fiber
                // is live, since a frame of it waits for this completion.
                self.make_ready(unsafe { slot.fiber.get() });
            }
        }
    }

    /// Keeps a read of the wake-up event in flight.
    pub(super) fn arm_event(&self) {
        if self.event.armed.replace(true) {
            return;
        }
        let fd = types::Fd(self.remote.event_number());
        let entry = opcode::Read::new(fd, self.event.count.get().cast(), size_of::<u64>() as u32).build();
        // SAFETY: the buffer is a field of the executor, which ends only when the read has.
        unsafe { self.ring.push(&entry.user_data(EVENT)) };
    }
}
