//! The requests to a task, and where they reach it.
//!
//! A canceler writes its request and then checks where the task runs; the task says where it runs and then checks for
//! requests. All of these accesses are SeqCst, so one of the two sees the other: the task finds the request before it
//! parks, or the canceler finds the context to wake. The actions of the canceler before its request happen before the
//! reaction of the task.
//!
//! The models of `tests/loom_requests.rs` run this very file under loom.
#![allow(unsafe_code)]

use std::ptr;

use crate::context::{Unparker, WakeBlock};
use crate::primitive::{AtomicPtr, AtomicU32, Ordering};

/// Set by a request, and cleared when the request is delivered.
pub(crate) const REQUESTED: u32 = 1;
/// Set by a tear-down, and never cleared.
pub(crate) const TORN_DOWN: u32 = 2;
/// Set beside `TORN_DOWN` when the runtime of the task shuts down. The task's group reads it.
pub(crate) const SHUT_DOWN: u32 = 4;
/// The unit in which the bits above count the requests.
const COUNT_UNIT: u32 = 8;

/// The words of one task.
#[derive(Debug)]
pub(crate) struct Requests {
    /// The flags `REQUESTED`, `TORN_DOWN` and `SHUT_DOWN`, which cancelers set, and the count of requests. The task clears
    /// `REQUESTED`.
    word: AtomicU32,
    /// The wake block of the context on which the task runs. Null before it begins and after it has ended.
    block: AtomicPtr<WakeBlock>,
}

impl Requests {
    /// Makes the words of a task from a word that is 0 and a null pointer. The caller makes these, since loom's atomics
    /// cannot be made in a constant.
    pub(crate) const fn new(word: AtomicU32, block: AtomicPtr<WakeBlock>) -> Self {
        Self { word, block }
    }

    /// Adds a request and returns the context that the caller has to wake.
    #[must_use]
    pub(crate) fn add(&self, bits: u32) -> Option<Unparker> {
        let request = |word: u32| Some((word | bits).wrapping_add(COUNT_UNIT));
        let _ = self.word.fetch_update(Ordering::SeqCst, Ordering::Relaxed, request);
        let block = self.block.load(Ordering::SeqCst);
        // SAFETY: `begin` made it of an `Unparker`.
        (!block.is_null()).then(|| unsafe { Unparker::from_ptr(block) })
    }

    /// Returns the pending requests. Only the task itself calls this.
    #[inline]
    pub(crate) fn pending(&self) -> u32 {
        self.word.load(Ordering::SeqCst) & (REQUESTED | TORN_DOWN)
    }

    /// Returns whether the task is torn down, and how many requests it has had. A task on top of it calls this.
    pub(crate) fn sticky_and_count(&self) -> (u32, u32) {
        let word = self.word.load(Ordering::SeqCst);
        (word & TORN_DOWN, word / COUNT_UNIT)
    }

    /// Clears `REQUESTED` and returns what was pending. Only the task itself calls this.
    pub(crate) fn take(&self) -> u32 {
        // Acquire: receives what the canceler did before. Release: a canceler whose update comes later sees where the task runs.
        self.word.fetch_and(!REQUESTED, Ordering::AcqRel) & (REQUESTED | TORN_DOWN)
    }

    /// Makes a request pending again that was delivered. Only the task itself calls this, so nothing is published.
    pub(crate) fn rearm(&self) {
        self.word.fetch_or(REQUESTED, Ordering::Relaxed);
    }

    /// Notes that the task runs on `context` from now on.
    pub(crate) fn begin(&self, context: Unparker) {
        self.block.store(context.as_ptr(), Ordering::SeqCst);
    }

    /// Notes that the task has ended. A canceler that does not see this leaves a token for nothing, which is harmless: wake
    /// blocks are never freed.
    pub(crate) fn end(&self) {
        self.block.store(ptr::null_mut(), Ordering::Relaxed);
    }

    /// Returns true if the task has begun and has not ended. Anybody may call this.
    pub(crate) fn is_running(&self) -> bool {
        !self.block.load(Ordering::Relaxed).is_null()
    }

    /// Returns true if the task's runtime has torn it down. Anybody may call this after the task has ended.
    pub(crate) fn were_shut_down(&self) -> bool {
        self.word.load(Ordering::Relaxed) & SHUT_DOWN != 0
    }

    /// Returns true if there was ever a request, or the task has given one back. Anybody may call this.
    pub(crate) fn were_any(&self) -> bool {
        self.word.load(Ordering::Relaxed) != 0
    }
}
