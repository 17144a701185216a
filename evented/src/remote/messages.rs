//! The way of an operation to the executor that performs it, and the way of its result back.
//!
//! The models of `tests/loom_sleep.rs` run this very file under loom.
#![allow(unsafe_code)]

use std::ptr;

use crate::primitive::{AtomicBool, AtomicI32, AtomicPtr, Ordering};

/// A value that can be on its way, in at most one stack at a time.
pub(crate) trait Linked: Sized {
    /// The next value in the stack. The field belongs to the sender until it has pushed this value, and to the executor
    /// afterwards.
    fn next(&self) -> &AtomicPtr<Self>;
}

/// Messages on their way to an executor: a lock-free stack. Many threads push messages. The executor, or an idle one,
/// takes all of them; each message goes to one of those.
#[derive(Debug)]
pub(crate) struct Messages<M> {
    /// SeqCst on push and in `is_empty`: see [`Sleep`](super::sleep::Sleep). Release on push and Acquire in `drain`,
    /// for the messages and their links.
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
    /// The message stays in place, and is in no other stack, until `drain` has given it to `submit`.
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
        // No Release: senders need nothing from an empty stack.
        let mut newest = self.last.swap(ptr::null_mut(), Ordering::Acquire);
        let mut oldest = ptr::null_mut::<M>();
        while !newest.is_null() {
            // SAFETY: `push` put it there, and the caller of `push` promises that it stays until it is submitted,
            // below.
            let next = unsafe { (*newest).next() };
            let rest = next.swap(oldest, Ordering::Relaxed);
            oldest = newest;
            newest = rest;
        }
        while !oldest.is_null() {
            // SAFETY: the loop above has linked those that are not submitted yet, and they stay until they are.
            let message = unsafe { &*oldest };
            // This comes before `submit`: afterwards the message may be completed and gone.
            oldest = message.next().load(Ordering::Relaxed);
            submit(message);
        }
    }
}

/// The result of an operation. The executor gives it once, and the sender takes it.
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
    /// Gives the result. This is the executor's last access: afterwards this memory may be gone.
    pub(crate) fn give(&self, result: i32) {
        self.result.store(result, Ordering::Relaxed);
        // Release: pairs with the Acquire of `get`, for the result and for everything that the executor did with the
        // message.
        self.done.store(true, Ordering::Release);
    }

    /// Returns the result, once there is one; then the message belongs to the sender again.
    pub(crate) fn get(&self) -> Option<i32> {
        self.done.load(Ordering::Acquire).then(|| self.result.load(Ordering::Relaxed))
    }
}
