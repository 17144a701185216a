//! What can be waited for: sources, and the three kinds in which they come.
//!
//! A source that hands something to one of those who wait is a [`Call`](crate::sync::Call) in a queue; its server
//! decides the choice of the waiter. In the others the waiter decides its choice itself: one that is true for all who
//! look, and stays so, is a [`Fact`], and whoever brings it about wakes those who watch; one that others may take, or
//! that may pass, is [`Told`](super::Told) to all who wait, who look under its lock.
#![allow(unsafe_code)]

use crate::Io;
use crate::context::Unparker;
use crate::sync::Choice;
use crate::time::Instant;

/// One of many things to wait for with [`io.wait_any`](crate::Io#method.wait_any); see [`wait_any`](crate::wait_any)
/// for those that there are. It does nothing before.
#[must_use = "a source is there to be waited for, by io.wait_any"]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is nothing to wait for",
    note = "the participle of a call is: `event.waiting()`, `receiver.receiving()`, `task.finishing()`; an `Instant` is a \
            deadline"
)]
pub trait Source: sealed::Arm {
    /// What it comes to.
    type Output;

    /// What it came to.
    #[doc(hidden)]
    fn output(self, io: &dyn Io) -> Self::Output
    where
        Self: Sized;
}

/// Sources to wait for together: a tuple of two to eight, whose output is one of theirs
/// ([`OneOf2`](crate::wait_any::OneOf2) ...), or an array or a `Vec` of one type, whose output comes with its index.
#[diagnostic::on_unimplemented(
    message = "`{Self}` are no things to wait for",
    note = "sources come as a tuple of two to eight, an array or a `Vec`: `(event.waiting(), task.finishing())`; the \
            participle of a call is one, and so is an `Instant`"
)]
pub trait Sources: sealed::Arms {
    /// What they come to.
    type Output;

    /// What the source with that index came to.
    #[doc(hidden)]
    fn output(self, index: usize, io: &dyn Io) -> Self::Output;
}

pub(crate) mod sealed {
    use super::*;

    /// A source as the waiter sees it: it is polled first; if nothing was there, entered, looked at
    /// after each wake-up, and left.
    pub trait Arm {
        /// Takes what is there. Before it was entered.
        fn poll(&self, io: &dyn Io) -> bool;

        /// Takes what is there, if `choice` has not been decided elsewhere, and decides it; or else waits. Once.
        ///
        /// # Safety
        ///
        /// Both stay where they are until the arm has been left.
        unsafe fn enter(&self, choice: &Choice) -> bool;

        /// As [`enter`](Self::enter) of what was entered, if nobody else decides that it is there.
        fn look(&self, io: &dyn Io, choice: &Choice) -> bool {
            let _ = (io, choice);
            false
        }

        /// When it is to be looked at, without a wake-up. May change between two looks.
        fn deadline(&self) -> Option<Instant> {
            None
        }

        /// Waits no more; whether others have decided the choice for this arm.
        fn leave(&self) -> bool;
    }

    /// Arms by index, without gaps.
    pub trait Arms {
        fn arm(&self, index: usize) -> Option<&dyn Arm>;
    }
}

use sealed::{Arm, Arms};

/// Something that is there for all who look, and stays.
pub(crate) trait Fact {
    fn is_there(&self, io: &dyn Io) -> bool;

    /// From now on whoever brings it about wakes that context.
    fn watch(&self, waiter: Unparker) {
        let _ = waiter;
    }

    /// That context need not be woken any more; it may be. Also where it never watched.
    fn unwatch(&self) {}

    /// When it is there at the latest.
    fn deadline(&self) -> Option<Instant> {
        None
    }
}

impl<F: Fact> Arm for F {
    fn poll(&self, io: &dyn Io) -> bool {
        self.is_there(io)
    }

    unsafe fn enter(&self, choice: &Choice) -> bool {
        self.watch(choice.unparker());
        false
    }

    fn look(&self, io: &dyn Io, choice: &Choice) -> bool {
        self.is_there(io) && choice.decide()
    }

    fn deadline(&self) -> Option<Instant> {
        Fact::deadline(self)
    }

    fn leave(&self) -> bool {
        self.unwatch();
        false
    }
}

/// `None` is never there.
impl<A: Arm> Arm for Option<A> {
    fn poll(&self, io: &dyn Io) -> bool {
        self.as_ref().is_some_and(|arm| arm.poll(io))
    }

    unsafe fn enter(&self, choice: &Choice) -> bool {
        // SAFETY: the caller's promise; it is part of this.
        self.as_ref().is_some_and(|arm| unsafe { arm.enter(choice) })
    }

    fn look(&self, io: &dyn Io, choice: &Choice) -> bool {
        self.as_ref().is_some_and(|arm| arm.look(io, choice))
    }

    fn deadline(&self) -> Option<Instant> {
        self.as_ref().and_then(Arm::deadline)
    }

    fn leave(&self) -> bool {
        self.as_ref().is_some_and(Arm::leave)
    }
}

impl<S: Source> Source for Option<S> {
    type Output = S::Output;

    fn output(self, io: &dyn Io) -> S::Output {
        self.expect("None is never there").output(io)
    }
}

/// A source whose output is made into another one.
pub(crate) struct Map<S, F> {
    source: S,
    f: F,
}

impl<S, F> Map<S, F> {
    pub(crate) fn new<T>(source: S, f: F) -> Self
    where
        S: Source,
        F: FnOnce(S::Output) -> T,
    {
        Self { source, f }
    }
}

impl<S: Arm, F> Arm for Map<S, F> {
    fn poll(&self, io: &dyn Io) -> bool {
        self.source.poll(io)
    }

    unsafe fn enter(&self, choice: &Choice) -> bool {
        // SAFETY: the caller's promise; it is part of this.
        unsafe { self.source.enter(choice) }
    }

    fn look(&self, io: &dyn Io, choice: &Choice) -> bool {
        self.source.look(io, choice)
    }

    fn deadline(&self) -> Option<Instant> {
        self.source.deadline()
    }

    fn leave(&self) -> bool {
        self.source.leave()
    }
}

impl<S: Source, T, F: FnOnce(S::Output) -> T> Source for Map<S, F> {
    type Output = T;

    fn output(self, io: &dyn Io) -> T {
        (self.f)(self.source.output(io))
    }
}

impl<S: Arm, const N: usize> Arms for [S; N] {
    fn arm(&self, index: usize) -> Option<&dyn Arm> {
        self.get(index).map(|arm| arm as &dyn Arm)
    }
}

impl<S: Source, const N: usize> Sources for [S; N] {
    type Output = (usize, S::Output);

    fn output(self, index: usize, io: &dyn Io) -> Self::Output {
        let source = self.into_iter().nth(index).expect("it was there");
        (index, source.output(io))
    }
}

impl<S: Arm> Arms for Vec<S> {
    fn arm(&self, index: usize) -> Option<&dyn Arm> {
        self.get(index).map(|arm| arm as &dyn Arm)
    }
}

impl<S: Source> Sources for Vec<S> {
    type Output = (usize, S::Output);

    fn output(mut self, index: usize, io: &dyn Io) -> Self::Output {
        (index, self.swap_remove(index).output(io))
    }
}
