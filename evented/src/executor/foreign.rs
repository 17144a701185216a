//! Operations of contexts that are not fibers of the executor that performs them: plain threads,
//! pool workers, fibers of other executors.
//!
//! The caller puts the operation into a message on its own stack, hands it to an executor and
//! parks, whatever it is; the executor submits it and, at its completion, wakes the caller. The
//! message is the caller's again when `done` is set, which is the executor's last touch.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicUsize, Ordering};

use io_uring::squeue::Entry;
use iolite_io::backend::Unparker;

use super::completion::Tag;

/// One submission entry and, later, its result.
#[derive(Debug)]
#[repr(align(8))]
pub(crate) struct Message {
    entry: Entry,
    next: AtomicPtr<Message>,
    /// Where it is in its executor's table of messages in flight; the executor's alone.
    index: AtomicUsize,
    result: AtomicI32,
    /// Release by the executor, after its last touch; Acquire by the caller.
    done: AtomicBool,
    unparker: Unparker,
}

impl Message {
    pub(crate) fn new(entry: Entry, unparker: Unparker) -> Self {
        Self {
            entry,
            next: AtomicPtr::new(ptr::null_mut()),
            index: AtomicUsize::new(0),
            result: AtomicI32::new(0),
            done: AtomicBool::new(false),
            unparker,
        }
    }

    /// The entry to submit; its completion carries [`user_data`](Self::user_data).
    pub(super) fn entry(&self) -> Entry {
        self.entry.clone().user_data(self.user_data())
    }

    /// What the completion is known by.
    pub(crate) fn user_data(&self) -> u64 {
        ptr::from_ref(self) as u64 | Tag::Foreign as u64
    }

    /// The result, once there is one.
    pub(crate) fn result(&self) -> Option<i32> {
        self.done.load(Ordering::Acquire).then(|| self.result.load(Ordering::Relaxed))
    }

    /// Tells the caller; the message must not be touched afterwards.
    pub(crate) fn complete(&self, result: i32) {
        let unparker = self.unparker;
        self.result.store(result, Ordering::Relaxed);
        self.done.store(true, Ordering::Release);
        unparker.unpark();
    }
}

/// Messages whose entries are in flight, for one executor to find them at its shutdown.
#[derive(Debug, Default)]
pub(crate) struct InFlight(RefCell<Vec<*const Message>>);

impl InFlight {
    pub(super) fn add(&self, message: &Message) {
        let mut table = self.0.borrow_mut();
        message.index.store(table.len(), Ordering::Relaxed);
        table.push(message);
    }

    /// Before the message is completed, which gives it back to its sender.
    pub(super) fn remove(&self, message: &Message) {
        let mut table = self.0.borrow_mut();
        let index = message.index.load(Ordering::Relaxed);
        table.swap_remove(index);
        if let Some(moved) = table.get(index) {
            // SAFETY: a message stays where it is until it is completed.
            unsafe { &**moved }.index.store(index, Ordering::Relaxed);
        }
    }

    /// What their completions are known by.
    pub(super) fn user_data(&self) -> Vec<u64> {
        // SAFETY: a message stays where it is until it is completed, before which it was removed from the table.
        self.0.borrow().iter().map(|message| unsafe { &**message }.user_data()).collect()
    }
}

/// Messages on their way to an executor.
#[derive(Debug)]
pub(crate) struct Messages(AtomicPtr<Message>);

impl Default for Messages {
    fn default() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }
}

impl Messages {
    pub(super) fn push(&self, message: &Message) {
        let pointer = ptr::from_ref(message).cast_mut();
        let mut first = self.0.load(Ordering::Relaxed);
        loop {
            message.next.store(first, Ordering::Relaxed);
            // SeqCst: pairs with the executor's look after it announced its sleep.
            match self.0.compare_exchange_weak(first, pointer, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => first = now,
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        // SeqCst: see `push`.
        self.0.load(Ordering::SeqCst).is_null()
    }

    /// Takes all messages, oldest first.
    pub(super) fn drain(&self, mut submit: impl FnMut(&Message)) {
        if self.0.load(Ordering::Relaxed).is_null() {
            return;
        }
        let mut newest = self.0.swap(ptr::null_mut(), Ordering::AcqRel);
        let mut oldest = ptr::null_mut::<Message>();
        while !newest.is_null() {
            // SAFETY: it was pushed and has not been submitted, so it is not completed and stays where it is. Whoever pushes
            // another one looks at the head of the stack alone, which was taken.
            let next = unsafe { &(*newest).next };
            let rest = next.swap(oldest, Ordering::Relaxed);
            oldest = newest;
            newest = rest;
        }
        while !oldest.is_null() {
            // SAFETY: it was pushed and has not been submitted, so it is not completed and stays where it is.
            let message = unsafe { &*oldest };
            // Before `submit`: afterwards it may be completed and gone.
            oldest = message.next.load(Ordering::Relaxed);
            submit(message);
        }
    }
}
