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

use std::{mem, ptr};

use super::primitive::Lock;
use crate::context::Unparker;

/// Whether a wait over many queues has been decided; in its waiter's frame.
pub struct Choice {
    decided: Lock<bool>,
    unparker: Unparker,
}

impl Choice {
    /// Of a waiter that `unparker` wakes.
    pub(crate) fn new(unparker: Unparker) -> Self {
        Self { decided: Lock::new(false), unparker }
    }

    pub(crate) fn unparker(&self) -> Unparker {
        self.unparker
    }

    /// Decides it; `false`: it was decided before.
    #[must_use]
    pub(crate) fn decide(&self) -> bool {
        !mem::replace(&mut *self.decided.lock(), true)
    }

    pub(crate) fn is_decided(&self) -> bool {
        *self.decided.lock()
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
