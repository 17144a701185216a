//! What a wait over many queues is decided by.
//!
//! Its waiter stands in several queues at once and may be served in one of them. So each of its places there
//! points to its one [`Choice`], and who would serve such a place **decides the choice first**; where that was
//! decided already, the place is dead, and is unlinked. The waiter decides it too: when it takes something
//! itself, gives up, or is told of something that is in no queue.
//!
//! Where the waiter meets somebody whom it could serve, while others can already serve it, [`decide`] decides
//! for both at once, or for neither. That is why a choice is a lock, and not a word: the two are locked in the
//! same order by all, for some instructions, so nobody waits in a circle, and nobody has to try again.
//!
//! The models of `tests/loom_choice.rs` run this very file, and the queue's, under loom.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::{mem, ptr};

use crate::context::Unparker;
use crate::primitive::Lock;

/// Whether a wait over many queues has been decided; in its waiter's frame.
pub struct Choice {
    decided: Lock<bool>,
    unparker: Unparker,
    /// The queues in which it has places, each as the bit of its address, and [`STANDS_TWICE`]. Relaxed: only the waiter
    /// writes it, and what it says of a queue is written and read under that queue's lock.
    queues: AtomicUsize,
}

/// Two of the places may be in the same queue.
const STANDS_TWICE: usize = 1 << QUEUE_BITS;
const QUEUE_BITS: u32 = usize::BITS - 1;

impl Choice {
    /// Of a waiter that `unparker` wakes.
    pub(crate) fn new(unparker: Unparker) -> Self {
        Self { decided: Lock::new(false), unparker, queues: AtomicUsize::new(0) }
    }

    pub(crate) fn unparker(&self) -> Unparker {
        self.unparker
    }

    /// Decides it; `false`: it was decided before.
    #[must_use]
    pub(crate) fn decide(&self) -> bool {
        !mem::replace(&mut *self.decided.lock(), true)
    }

    /// Decides it if `take`, which never waits, takes something; without asking it, if it was decided before.
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

    /// Notes that the waiter is about to have a place in the queue at that address. Under its lock, by the waiter.
    pub(crate) fn stands_in(&self, address: usize) {
        // Locks are larger than 8 bytes, so their addresses differ in the bits above.
        let bit = 1 << ((address >> 3) % QUEUE_BITS as usize);
        let before = self.queues.load(Ordering::Relaxed);
        let again = if before & bit == 0 { 0 } else { STANDS_TWICE };
        self.queues.store(before | bit | again, Ordering::Relaxed);
    }

    /// Whether two of its places may be in the queue whose lock the caller holds; surely, if they are and each was
    /// [noted](Self::stands_in).
    pub(crate) fn may_stand_twice(&self) -> bool {
        self.queues.load(Ordering::Relaxed) & STANDS_TWICE != 0
    }
}

/// Why nothing was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undecided {
    /// The choice of who comes was decided elsewhere.
    Comer,
    /// The choice of who waits was.
    Waiter,
    /// Both are one, who does not serve itself.
    Same,
}

/// Decides for who comes and who waits, or for neither. `None` stands for one that waits for nothing else.
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
