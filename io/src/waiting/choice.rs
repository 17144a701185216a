//! The choice that decides a wait in several queues.
//!
//! The waiter stands in several queues at once and may be served in one of them. So each of its places points to its
//! one [`Choice`], and a context that is about to serve such a place **decides the choice first**. If the choice was
//! decided before, the place is dead, and is unlinked. The waiter decides its choice, too: when it takes something
//! itself, when it gives up, or when something arrives that is in no queue.
//!
//! A waiter may meet another one that it could serve while others can already serve itself. Then [`decide`] decides for
//! both at once, or for neither. That is why a choice is a lock and not a word: every context locks two choices in the
//! same order and for a few instructions, so there is no deadlock, and no context has to try again.
//!
//! The models of `tests/loom_choice.rs` run this very file, and the queue's, under loom.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fmt, mem, ptr};

use crate::context::Unparker;
use crate::primitive::Lock;

/// Says whether a wait in several queues has been decided. It lives in the waiter's frame.
pub struct Choice {
    decided: Lock<bool>,
    unparker: Unparker,
    /// A bit for the address of each queue in which the waiter has places, and [`STANDS_TWICE`]. Relaxed: only the waiter
    /// writes this, and what it says of a queue is written and read under that queue's lock.
    queues: AtomicUsize,
}

// Written by hand: under loom, a lock has no `Debug`.
impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Choice").finish_non_exhaustive()
    }
}

/// Set when two of the places may be in the same queue.
const STANDS_TWICE: usize = 1 << QUEUE_BITS;
const QUEUE_BITS: u32 = usize::BITS - 1;

impl Choice {
    /// Makes the choice of a waiter that `unparker` wakes.
    pub(crate) fn new(unparker: Unparker) -> Self {
        Self { decided: Lock::new(false), unparker, queues: AtomicUsize::new(0) }
    }

    pub(crate) fn unparker(&self) -> Unparker {
        self.unparker
    }

    /// Decides the choice. Returns false if it was decided before.
    #[must_use]
    pub(crate) fn decide(&self) -> bool {
        !mem::replace(&mut *self.decided.lock(), true)
    }

    /// Calls `take`, which must not wait, unless the choice was decided before, and decides it if `take` took something.
    #[must_use]
    pub(crate) fn decide_if<T>(&self, take: impl FnOnce() -> Option<T>) -> Option<T> {
        let mut decided = self.decided.lock();
        if *decided {
            return None;
        }
        let taken = take();
        *decided = taken.is_some();
        taken
    }

    pub(crate) fn is_decided(&self) -> bool {
        *self.decided.lock()
    }

    /// Notes that the waiter is about to have a place in the queue at that address. The waiter calls this and holds the
    /// queue's lock.
    pub(crate) fn stands_in(&self, address: usize) {
        // Locks are larger than 8 bytes, so their addresses differ in the bits above.
        let bit = 1 << ((address >> 3) % QUEUE_BITS as usize);
        let before = self.queues.load(Ordering::Relaxed);
        let again = if before & bit == 0 { 0 } else { STANDS_TWICE };
        self.queues.store(before | bit | again, Ordering::Relaxed);
    }

    /// Returns true if two of the places may be in the queue whose lock the caller holds. If they are, and each was
    /// [noted](Self::stands_in), this returns true.
    pub(crate) fn may_stand_twice(&self) -> bool {
        self.queues.load(Ordering::Relaxed) & STANDS_TWICE != 0
    }
}

/// The reason why nothing was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undecided {
    /// The choice of the caller was decided elsewhere.
    Comer,
    /// The choice of the waiter was decided elsewhere.
    Waiter,
    /// Caller and waiter are the same, and a waiter does not serve itself.
    Same,
}

/// Decides for the caller and for the waiter, or for neither. `None` stands for one that waits for nothing else.
#[inline]
pub(crate) fn decide(comer: Option<&Choice>, waiter: Option<&Choice>) -> Result<(), Undecided> {
    match (comer, waiter) {
        (None, None) => Ok(()),
        (Some(comer), None) => comer.decide().then_some(()).ok_or(Undecided::Comer),
        (None, Some(waiter)) => waiter.decide().then_some(()).ok_or(Undecided::Waiter),
        (Some(comer), Some(waiter)) => decide_both(comer, waiter),
    }
}

#[cold]
fn decide_both(comer: &Choice, waiter: &Choice) -> Result<(), Undecided> {
    if ptr::eq(comer, waiter) {
        return Err(Undecided::Same);
    }
    let (mut comers, mut waiters);
    if comer.decided.comes_before(&waiter.decided) {
        comers = comer.decided.lock();
        waiters = waiter.decided.lock();
    } else {
        waiters = waiter.decided.lock();
        comers = comer.decided.lock();
    }
    match (*comers, *waiters) {
        (true, _) => Err(Undecided::Comer),
        (false, true) => Err(Undecided::Waiter),
        (false, false) => {
            (*comers, *waiters) = (true, true);
            Ok(())
        }
    }
}
