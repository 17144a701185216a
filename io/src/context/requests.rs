//! The requests to a task, and where they reach it.
//!
//! A canceler writes its request and then looks where the task runs; the task says where it runs and then looks for
//! requests. All of these accesses are SeqCst, so one of the two sees the other: the task finds the request before it
//! parks, or the canceler finds the context to wake. What the canceler did before comes before what the task does about
//! it.
//!
//! The models of `tests/loom_requests.rs` run this very file under loom.
#![allow(unsafe_code)]

use std::ptr;

use crate::context::{Unparker, WakeBlock};
use crate::primitive::{AtomicPtr, AtomicU32, Ordering};

/// Set by a request, cleared when it is delivered.
pub(crate) const REQUESTED: u32 = 1;
/// Set by tear-down, never cleared.
pub(crate) const STICKY: u32 = 2;
/// Set by the shutdown of the task's runtime, beside `STICKY`, for the task's group to know.
pub(crate) const SHUT_DOWN: u32 = 4;
/// Counts the requests, in the bits above.
const ONE: u32 = 8;

/// The words of one task.
#[derive(Debug)]
pub(crate) struct Requests {
    /// `REQUESTED | STICKY | SHUT_DOWN`, which cancelers set, `REQUESTED` cleared by the task, and how often that was
    /// requested.
    word: AtomicU32,
    /// Where the task runs: null before and after.
    block: AtomicPtr<WakeBlock>,
}

impl Requests {
    /// Of a word that is 0 and a null pointer: a constant, which loom's atomics cannot be.
    pub(crate) const fn new(word: AtomicU32, block: AtomicPtr<WakeBlock>) -> Self {
        Self { word, block }
    }

    /// Adds a request; whom the caller has to wake.
    #[must_use]
    pub(crate) fn add(&self, bits: u32) -> Option<Unparker> {
        let request = |word: u32| Some((word | bits).wrapping_add(ONE));
        let _ = self.word.fetch_update(Ordering::SeqCst, Ordering::Relaxed, request);
        let block = self.block.load(Ordering::SeqCst);
        // SAFETY: `begin` made it of an `Unparker`.
        (!block.is_null()).then(|| unsafe { Unparker::from_ptr(block) })
    }

    /// Those that are pending. For the task itself.
    #[inline]
    pub(crate) fn pending(&self) -> u32 {
        self.word.load(Ordering::SeqCst) & (REQUESTED | STICKY)
    }

    /// Whether the task is torn down, and how many requests it has had. For what runs on its context, on top of it.
    pub(crate) fn sticky_and_count(&self) -> (u32, u32) {
        let word = self.word.load(Ordering::SeqCst);
        (word & STICKY, word / ONE)
    }

    /// Clears the one-shot bit; what was pending. For the task itself.
    pub(crate) fn take(&self) -> u32 {
        // Acquire: what the canceler did before. Release: a canceler whose update comes later sees where the task runs.
        self.word.fetch_and(!REQUESTED, Ordering::AcqRel) & (REQUESTED | STICKY)
    }

    /// Makes a request pending that was delivered. For the task itself, which tells nobody anything by that.
    pub(crate) fn rearm(&self) {
        self.word.fetch_or(REQUESTED, Ordering::Relaxed);
    }

    /// The task runs on `context` from now on.
    pub(crate) fn begin(&self, context: Unparker) {
        self.block.store(context.as_ptr(), Ordering::SeqCst);
    }

    /// The task has ended. A canceler that does not see it leaves a token for nothing; blocks live for ever.
    pub(crate) fn end(&self) {
        self.block.store(ptr::null_mut(), Ordering::Relaxed);
    }

    /// Whether the task has begun and has not ended. For anybody.
    pub(crate) fn is_running(&self) -> bool {
        !self.block.load(Ordering::Relaxed).is_null()
    }

    /// Whether its runtime has torn it down. For anybody, after its end.
    pub(crate) fn were_shut_down(&self) -> bool {
        self.word.load(Ordering::Relaxed) & SHUT_DOWN != 0
    }

    /// Whether there was ever a request, or the task has given one back. For anybody.
    pub(crate) fn were_any(&self) -> bool {
        self.word.load(Ordering::Relaxed) != 0
    }
}
