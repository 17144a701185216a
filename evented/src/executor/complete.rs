//! Queueing entries, and handling their completions.
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
    /// The slot, and everything that the entry points to, stay in place until `slot.result()` returns a result.
    #[inline]
    pub(crate) unsafe fn submit(&self, slot: &OpSlot, entry: Entry) {
        slot.begin();
        self.received.set(0);
        // SAFETY: this function's caller ensures that the memory that the entry points to, and the slot that its user
        // data names, stay in place until there is a result, which is after the completion was reaped.
        unsafe { self.push(entry.user_data(slot.user_data(Tag::Operation))) };
    }

    /// Queues the cancellation of a submitted operation. Its own completion has to be awaited too: the user data names
    /// a place on a stack, where another operation could be by the time the kernel looks it up.
    ///
    /// # Safety
    ///
    /// The slot stays in place until both `slot.result()` and `slot.cancellation()` return a result.
    pub(crate) unsafe fn submit_cancellation(&self, slot: &OpSlot) {
        slot.begin_cancellation();
        let entry = opcode::AsyncCancel::new(slot.user_data(Tag::Operation)).build();
        // SAFETY: the entry itself points to nothing. Its user data names the slot, and this function's caller ensures
        // that the slot stays until the completion was reaped.
        unsafe { self.push(entry.user_data(slot.user_data(Tag::Cancellation))) };
    }

    /// # Safety
    ///
    /// Everything that the entry points to stays valid until its completion was reaped.
    #[inline]
    pub(super) unsafe fn push(&self, entry: Entry) -> Pushed {
        self.in_flight.set(self.in_flight.get() + 1);
        // SAFETY: this function's caller ensures that everything that the entry points to stays valid until its
        // completion was reaped.
        unsafe { self.ring.push(&entry) }
    }

    /// Handles a completion: makes a fiber ready, or wakes another context.
    #[inline]
    pub(super) fn complete(&self, user_data: u64, result: i32, flags: u32) {
        let pointer = user_data & !TAG_MASK;
        match user_data & TAG_MASK {
            tag if tag == Tag::Foreign as u64 => {
                self.in_flight.set(self.in_flight.get() - 1);
                // SAFETY: the tag says that the user data is that of a message, and this is its one completion: its
                // sender keeps the message in place until `complete` has told it.
                let message = unsafe { &*(pointer as *const Message) };
                self.foreign.remove(message);
                message.complete(result);
            }
            tag if tag == Tag::Multishot as u64 => {
                // SAFETY: the tag says that the user data is that of a multishot operation.
                unsafe { self.complete_multishot(pointer, result, flags) };
            }
            tag if tag == Tag::MultishotCancellation as u64 => self.complete_multishot_cancellation(pointer, result),
            _ if user_data == EVENT => self.event.armed.set(false),
            tag if tag == Tag::Own as u64 => self.in_flight.set(self.in_flight.get() - 1),
            tag => {
                self.in_flight.set(self.in_flight.get() - 1);
                // SAFETY: the tag says that the user data is that of a slot, and the frame that contains the slot waits
                // for this completion.
                let slot = unsafe { &*(pointer as *const OpSlot) };
                if tag == Tag::Cancellation as u64 {
                    slot.end_cancellation(result);
                } else {
                    slot.end(result, flags);
                }
                // SAFETY: the slot's fiber has queued the entry in the ring of its own executor, which is this one. The
                // fiber is live, since one of its frames waits for this completion.
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
        // SAFETY: the buffer is a field of the executor, which ends only after the read has.
        unsafe { self.ring.push(&entry.user_data(EVENT)) };
    }
}
