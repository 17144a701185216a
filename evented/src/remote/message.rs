//! Operations of contexts that are not fibers of the executor that performs them: plain threads, pool workers, and
//! fibers of other executors.
//!
//! The caller puts the operation into a message on its own stack, hands the message to an executor and parks, in
//! whatever way it parks. The executor submits the operation and, at its completion, wakes the caller. The message
//! belongs to the caller again when it has its result, which is the executor's last access. An idle executor takes
//! messages that were handed to a busy one, so a message records the executor that has taken it.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use io_uring::squeue::Entry;
use iolite_io::backend::Unparker;

use super::messages::{Answer, Linked};
use super::user_data::Tag;

/// One submission entry and, later, its result.
#[derive(Debug)]
#[repr(align(8))]
pub(crate) struct Message {
    entry: Entry,
    next: AtomicPtr<Message>,
    /// The message's index in its executor's table of messages in flight. Only the executor uses it.
    index: AtomicUsize,
    answer: Answer,
    role: Role,
    /// The number of the executor that has taken the message, or `NOBODY`. The executor writes it before it submits the
    /// entry. The caller reads it, because it cancels the entry there. Relaxed: it publishes nothing, and the
    /// cancellation reaches that executor through a queue of its own, after the executor has taken this message.
    taken_by: AtomicUsize,
    unparker: Unparker,
}

/// The value of `taken_by` while no executor has taken the message.
const NOBODY: usize = usize::MAX;

/// The kind of a message, which decides which executor may take it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    /// Any executor may take it.
    Operation,
    /// Only the executor that it was handed to may take it.
    Pinned,
    /// The cancellation of the operation in another message of the same sender, which exists for as long as this one.
    /// It goes to the executor that has taken the other message, or may take it.
    Cancellation(NonNull<Message>),
}

impl Message {
    pub(crate) fn new(entry: Entry, unparker: Unparker, role: Role) -> Self {
        Self {
            entry,
            role,
            taken_by: AtomicUsize::new(NOBODY),
            next: AtomicPtr::new(ptr::null_mut()),
            index: AtomicUsize::new(0),
            answer: Answer::default(),
            unparker,
        }
    }

    /// Returns true if an executor other than number `handed_to`, to which it was handed, may take the message.
    pub(super) fn may_leave(&self, handed_to: usize) -> bool {
        match self.role {
            Role::Operation => true,
            Role::Pinned => false,
            Role::Cancellation(canceled) => {
                // SAFETY: the role says that the other message exists.
                let canceled = unsafe { canceled.as_ref() };
                canceled.taken_by() != Some(handed_to)
            }
        }
    }

    /// Notes that executor number `executor` submits it.
    pub(crate) fn take(&self, executor: usize) {
        self.taken_by.store(executor, Ordering::Relaxed);
    }

    /// Returns the number of the executor that has taken it.
    pub(crate) fn taken_by(&self) -> Option<usize> {
        Some(self.taken_by.load(Ordering::Relaxed)).filter(|executor| *executor != NOBODY)
    }

    /// Returns the entry to submit; its completion carries [`user_data`](Self::user_data).
    pub(crate) fn entry(&self) -> Entry {
        self.entry.clone().user_data(self.user_data())
    }

    /// Returns the user data that identifies the completion.
    pub(crate) fn user_data(&self) -> u64 {
        ptr::from_ref(self) as u64 | Tag::Foreign as u64
    }

    /// Returns the result, once there is one.
    pub(crate) fn result(&self) -> Option<i32> {
        self.answer.get()
    }

    /// Gives the result to the caller. The message must not be touched afterwards.
    pub(crate) fn complete(&self, result: i32) {
        let unparker = self.unparker;
        self.answer.give(result);
        unparker.unpark();
    }
}

impl Linked for Message {
    fn next(&self) -> &AtomicPtr<Self> {
        &self.next
    }
}

/// The messages whose entries are in flight. An executor needs them at its shutdown.
#[derive(Debug, Default)]
pub(crate) struct InFlight(RefCell<Vec<*const Message>>);

impl InFlight {
    pub(crate) fn add(&self, message: &Message) {
        let mut table = self.0.borrow_mut();
        message.index.store(table.len(), Ordering::Relaxed);
        table.push(message);
    }

    /// Removes a message. To be called before the message is completed, which gives it back to its sender.
    pub(crate) fn remove(&self, message: &Message) {
        let mut table = self.0.borrow_mut();
        let index = message.index.load(Ordering::Relaxed);
        table.swap_remove(index);
        if let Some(moved) = table.get(index) {
            // SAFETY: a message stays in place until it is completed.
            unsafe { &**moved }.index.store(index, Ordering::Relaxed);
        }
    }

    /// Returns the user data of their completions.
    pub(crate) fn user_data(&self) -> Vec<u64> {
        // SAFETY: a message stays in place until it is completed, and it is removed from the table before that.
        self.0.borrow().iter().map(|message| unsafe { &**message }.user_data()).collect()
    }
}
