//! How an executor queues entries, and what their completions do.
#![allow(unsafe_code)]

use io_uring::squeue::Entry;
use io_uring::{opcode, types};

use super::slots::OpSlot;
use super::state::Executor;
use crate::remote::{EVENT, Message, TAG_MASK, Tag};
use crate::ring::Pushed;

impl Executor {
    /// Queues an operation of the calling fiber.
    ///
    /// # Safety
    ///
    /// The slot, and what the entry points to, stay in place until `slot.result()` is there.
    #[inline]
    pub(crate) unsafe fn submit(&self, slot: &OpSlot, entry: Entry) {
        slot.begin();
        self.received.set(0);
        // SAFETY: what the entry points to, and the slot that its user data names, stay until the result is there, as this
        // function's caller sees to; it is there when the completion was reaped.
        unsafe { self.push(entry.user_data(slot.user_data(Tag::Operation))) };
    }

    /// Queues the cancellation of a submitted operation. Its completion is waited for too: the user
    /// data names a place on a stack, where another operation could be by the time the kernel
    /// looks.
    ///
    /// # Safety
    ///
    /// The slot stays in place until both `slot.result()` and `slot.cancellation()` are there.
    pub(crate) unsafe fn submit_cancellation(&self, slot: &OpSlot) {
        slot.begin_cancellation();
        let entry = opcode::AsyncCancel::new(slot.user_data(Tag::Operation)).build();
        // SAFETY: the entry itself points to nothing. Its user data names the slot, which stays until the completion was
        // reaped, as this function's caller sees to.
        unsafe { self.push(entry.user_data(slot.user_data(Tag::Cancellation))) };
    }

    /// # Safety
    ///
    /// What the entry points to stays valid until its completion was reaped.
    #[inline]
    pub(super) unsafe fn push(&self, entry: Entry) -> Pushed {
        self.in_flight.set(self.in_flight.get() + 1);
        // SAFETY: what the entry points to stays valid until its completion was reaped, as this function's caller sees
        // to.
        unsafe { self.ring.push(&entry) }
    }

    /// Does what a completion is for: it makes a fiber ready, or tells a foreign context.
    #[inline]
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
            tag if tag == Tag::Multishot as u64 => {
                // SAFETY: the user data is that of a multishot operation, by its tag.
                unsafe { self.complete_multishot(pointer, result, flags) };
            }
            tag if tag == Tag::MultishotCancellation as u64 => self.complete_multishot_cancellation(pointer, result),
            _ if user_data == EVENT => self.event.armed.set(false),
            tag if tag == Tag::Own as u64 => self.in_flight.set(self.in_flight.get() - 1),
            tag => {
                self.in_flight.set(self.in_flight.get() - 1);
                // SAFETY: the user data is that of a slot, by its tag, and the frame that has it waits for this completion.
                let slot = unsafe { &*(pointer as *const OpSlot) };
                if tag == Tag::Cancellation as u64 {
                    slot.end_cancellation(result);
                } else {
                    slot.end(result, flags);
                }
                // SAFETY: this is the executor in whose ring the slot's fiber has queued the entry, its own; and the fiber
                // is live, since a frame of it waits for this completion.
                self.make_ready(unsafe { slot.fiber().get() });
            }
        }
    }

    /// Keeps a read of the wake-up event in flight.
    pub(super) fn arm_event(&self) {
        if self.event.armed.replace(true) {
            return;
        }
        let fd = types::Fd(self.inbox.event_number());
        let entry = opcode::Read::new(fd, self.event.count.get().cast(), size_of::<u64>() as u32).build();
        // SAFETY: the buffer is a field of the executor, which ends only when the read has.
        unsafe { self.ring.push(&entry.user_data(EVENT)) };
    }
}
