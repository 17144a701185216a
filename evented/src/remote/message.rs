//! Operations of contexts that are not fibers of the executor that performs them: plain threads,
//! pool workers, fibers of other executors.
//!
//! The caller puts the operation into a message on its own stack, hands it to an executor and
//! parks, whatever it is; the executor submits it and, at its completion, wakes the caller. The
//! message is the caller's again when it has its answer, which is the executor's last touch. An executor
//! that has nothing to do takes what another one, which has, was handed; so a message says who took it.
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
    /// Where it is in its executor's table of messages in flight; the executor's alone.
    index: AtomicUsize,
    answer: Answer,
    role: Role,
    /// The number of the executor that took it, or `NOBODY`. The executor writes it before it submits the entry, and the
    /// caller, who cancels the entry there, reads it. Relaxed: it publishes nothing, and the cancellation reaches that
    /// executor through a queue of its own, after the executor has taken this message.
    taken_by: AtomicUsize,
    unparker: Unparker,
}

/// Stands for an executor in `taken_by` while none has taken the message.
const NOBODY: usize = usize::MAX;

/// What a message is, which says who may take it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    /// Any executor may.
    Operation,
    /// Only the one that it was handed to.
    Pinned,
    /// The cancellation of what another message of the same sender asks for; that is there for as long as this one. It
    /// goes where that was taken, or may be.
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

    /// Whether another executor than number `handed_to`, to which it was handed, may take it.
    pub(super) fn may_leave(&self, handed_to: usize) -> bool {
        match self.role {
            Role::Operation => true,
            Role::Pinned => false,
            Role::Cancellation(canceled) => {
                // SAFETY: the role says that it is there.
                let canceled = unsafe { canceled.as_ref() };
                canceled.taken_by() != Some(handed_to)
            }
        }
    }

    /// Notes that executor number `executor` submits it.
    pub(crate) fn take(&self, executor: usize) {
        self.taken_by.store(executor, Ordering::Relaxed);
    }

    /// The number of the executor that has taken it.
    pub(crate) fn taken_by(&self) -> Option<usize> {
        Some(self.taken_by.load(Ordering::Relaxed)).filter(|executor| *executor != NOBODY)
    }

    /// The entry to submit; its completion carries [`user_data`](Self::user_data).
    pub(crate) fn entry(&self) -> Entry {
        self.entry.clone().user_data(self.user_data())
    }

    /// What the completion is known by.
    pub(crate) fn user_data(&self) -> u64 {
        ptr::from_ref(self) as u64 | Tag::Foreign as u64
    }

    /// The result, once there is one.
    pub(crate) fn result(&self) -> Option<i32> {
        self.answer.get()
    }

    /// Tells the caller; the message must not be touched afterwards.
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

/// Messages whose entries are in flight, for one executor to find them at its shutdown.
#[derive(Debug, Default)]
pub(crate) struct InFlight(RefCell<Vec<*const Message>>);

impl InFlight {
    pub(crate) fn add(&self, message: &Message) {
        let mut table = self.0.borrow_mut();
        message.index.store(table.len(), Ordering::Relaxed);
        table.push(message);
    }

    /// Before the message is completed, which gives it back to its sender.
    pub(crate) fn remove(&self, message: &Message) {
        let mut table = self.0.borrow_mut();
        let index = message.index.load(Ordering::Relaxed);
        table.swap_remove(index);
        if let Some(moved) = table.get(index) {
            // SAFETY: a message stays where it is until it is completed.
            unsafe { &**moved }.index.store(index, Ordering::Relaxed);
        }
    }

    /// What their completions are known by.
    pub(crate) fn user_data(&self) -> Vec<u64> {
        // SAFETY: a message stays where it is until it is completed, before which it was removed from the table.
        self.0.borrow().iter().map(|message| unsafe { &**message }.user_data()).collect()
    }
}
