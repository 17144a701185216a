//! How an operation travels to the executor that performs it, and how its result comes back.
//!
//! The models of `tests/loom_sleep.rs` run this very file under loom.
#![allow(unsafe_code)]

use std::ptr;

use crate::primitive::{AtomicBool, AtomicI32, AtomicPtr, Ordering};

/// What can be on its way, in one stack at a time.
pub(crate) trait Linked: Sized {
    /// The next one in the stack: the sender's until it has pushed this one, the executor's afterwards.
    fn next(&self) -> &AtomicPtr<Self>;
}

/// Messages on their way to an executor: a lock-free stack, onto which many push, and of which the executor, or another
/// one that has nothing to do, takes all: each message is given to one of those.
#[derive(Debug)]
pub(crate) struct Messages<M> {
    /// SeqCst on push and in `is_empty`: see [`Sleep`](super::sleep::Sleep). Release on push, Acquire in `drain`: the
    /// messages and their links.
    last: AtomicPtr<M>,
}

impl<M> Default for Messages<M> {
    fn default() -> Self {
        Self { last: AtomicPtr::new(ptr::null_mut()) }
    }
}

impl<M: Linked> Messages<M> {
    /// # Safety
    ///
    /// The message stays where it is, and is in no stack but this one, until `drain` has given it to `submit`.
    pub(crate) unsafe fn push(&self, message: &M) {
        let pointer = ptr::from_ref(message).cast_mut();
        let mut last = self.last.load(Ordering::Relaxed);
        loop {
            message.next().store(last, Ordering::Relaxed);
            match self.last.compare_exchange_weak(last, pointer, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => last = now,
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.last.load(Ordering::SeqCst).is_null()
    }

    /// Takes all messages, oldest first.
    pub(crate) fn drain(&self, mut submit: impl FnMut(&M)) {
        if self.last.load(Ordering::Relaxed).is_null() {
            return;
        }
        // No Release: of an empty stack senders want nothing.
        let mut newest = self.last.swap(ptr::null_mut(), Ordering::Acquire);
        let mut oldest = ptr::null_mut::<M>();
        while !newest.is_null() {
            // SAFETY: `push` put it there, whose caller says that it stays until it is submitted, below.
            let next = unsafe { (*newest).next() };
            let rest = next.swap(oldest, Ordering::Relaxed);
            oldest = newest;
            newest = rest;
        }
        while !oldest.is_null() {
            // SAFETY: the loop above has linked those that are not submitted yet, which stay until they are.
            let message = unsafe { &*oldest };
            // Before `submit`: afterwards it may be completed and gone.
            oldest = message.next().load(Ordering::Relaxed);
            submit(message);
        }
    }
}

/// The result of an operation, which its executor gives, once, and its sender takes.
#[derive(Debug)]
pub(crate) struct Answer {
    result: AtomicI32,
    done: AtomicBool,
}

impl Default for Answer {
    fn default() -> Self {
        Self { result: AtomicI32::new(0), done: AtomicBool::new(false) }
    }
}

impl Answer {
    /// Gives the result. It is the executor's last touch: afterwards this may be gone.
    pub(crate) fn give(&self, result: i32) {
        self.result.store(result, Ordering::Relaxed);
        // Release: pairs with the Acquire of `get`: the result, and all that the executor did with the message.
        self.done.store(true, Ordering::Release);
    }

    /// The result, once there is one; the message is the sender's again then.
    pub(crate) fn get(&self) -> Option<i32> {
        self.done.load(Ordering::Acquire).then(|| self.result.load(Ordering::Relaxed))
    }
}
