//! Sources, the arms of which they consist, and the three kinds of arms.
//!
//! - An arm that hands something to one of its waiters is a [`Call`](crate::sync::Call) in a queue; the context
//!   that serves the waiter decides the waiter's choice.
//! - A [`Fact`] is true for everyone who looks, and stays true. The waiter decides its own choice, and the context that
//!   makes the fact true wakes the waiters.
//! - A [`Polled`](super::Polled) object can be taken by others, or its state can pass. All waiters poll it under its
//!   lock, and each decides its own choice.
//!
//! A wait numbers the arms of its source in order, across nested tuples, arrays and `Vec`s. The arm that was taken is
//! named by that number, and keeps what it was given until [`Selectable::output`] asks for it.
#![allow(unsafe_code)]

use crate::Io;
use crate::context::Unparker;
use crate::sealed::Token;
use crate::time::Instant;
use crate::waiting::Choice;

/// Something to wait for with [`io.select`](crate::Io#method.select). The module [`select`](mod@crate::select) lists
/// all sources. A source does nothing before it is waited for.
///
/// Sources can be combined: a tuple of two to eight sources is a source with the output of one of them
/// ([`OneOf2`](crate::select::OneOf2) ...); an array or a `Vec` of one type is a source whose output comes with its
/// index; and `None` is a source that is never ready. Combinations may be nested.
///
/// Only this crate implements it, and only [`io.select`](crate::Io#method.select) can take something from a source: the
/// hidden methods require a value that no other code can make. A concrete source cannot get around that,
///
/// ```compile_fail,E0061
/// use iolite_io::{Io, sync::Mutex, select::Selectable};
///
/// fn lock_without_waiting(io: &dyn Io, mutex: &Mutex<u32>) {
///     let guard = mutex.on_lock().output(0, io);
/// }
/// ```
///
/// nor can several together,
///
/// ```compile_fail,E0061
/// use iolite_io::{Io, sync::RwLock, select::Selectable};
///
/// fn two_writers(io: &dyn Io, lock: &RwLock<u32>) {
///     let (_, guard) = [lock.on_write()].output(0, io);
/// }
/// ```
///
/// nor can generic code, whose bounds bring the methods of all supertraits:
///
/// ```compile_fail,E0061
/// use iolite_io::{Io, select::Selectable};
///
/// fn take<S: Selectable>(io: &dyn Io, source: S) -> S::Output {
///     source.output(0, io)
/// }
/// ```
///
/// ```compile_fail,E0061
/// use iolite_io::select::Selectable;
///
/// fn look<S: Selectable>(source: &S) {
///     source.visit(&mut |_| true);
/// }
/// ```
///
/// The type of that value has no name outside of the crate:
///
/// ```compile_fail,E0603
/// use iolite_io::sealed::Token;
/// ```
///
/// and the same holds for the traits that a source outside of the crate would have to implement:
///
/// ```compile_fail,E0603
/// use iolite_io::select::{sealed::Arms, Selectable};
/// ```
#[must_use = "a source does nothing until it is passed to `io.select`"]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be selected",
    note = "the `on_` form of a call can be selected: `event.on_wait()`, `receiver.on_recv()`, `task.on_finish()`; an \
            `Instant` is one, and so is a tuple of two to eight sources, an array or a `Vec`"
)]
pub trait Selectable: sealed::Arms {
    /// The output of the wait.
    type Output;

    /// Returns a source whose output is the result of `f` on the output of this one. `f` runs after the wait, and does
    /// not run for a source that lost.
    ///
    /// ```
    /// use std::time::Duration;
    /// use iolite_io::{Canceled, Io, sync::{RecvError, mpmc::Receiver}, select::{OneOf2, Selectable}};
    ///
    /// enum Next { Job(String), NoMore, Idle }
    ///
    /// fn next(io: &dyn Io, urgent: &Receiver<String>, usual: &Receiver<String>) -> Result<Next, Canceled> {
    ///     let job = |job: Result<String, RecvError>| job.map_or(Next::NoMore, Next::Job);
    ///     let idle_at = io.now() + Duration::from_secs(10);
    ///     let jobs = [urgent, usual].map(|jobs| jobs.on_recv().map(job));
    ///     match io.select((jobs, idle_at.map(|()| Next::Idle)))? {
    ///         OneOf2::First((_, next)) | OneOf2::Second(next) => Ok(next),
    ///     }
    /// }
    /// ```
    fn map<T, F>(self, f: F) -> Map<Self, F>
    where
        Self: Sized,
        F: FnOnce(Self::Output) -> T,
    {
        Map { source: self, f }
    }

    /// Returns the output of the arm with the number `arm`, which was taken.
    #[doc(hidden)]
    fn output(self, arm: usize, io: &dyn Io, token: Token) -> Self::Output
    where
        Self: Sized;
}

pub(crate) mod sealed {
    use super::*;

    /// The parts of a source.
    pub trait Arms {
        /// Returns the number of arms.
        fn count(&self, token: Token) -> usize {
            let _ = token;
            1
        }

        /// Polls the arms in order until one has something to take, and returns the number of that arm.
        ///
        /// Most waits find something at once, so this form avoids the indirect calls of a visitor.
        fn poll_all(&self, io: &dyn Io, token: Token) -> Option<usize>;

        /// Calls `visitor` with each arm in order until it returns true. Returns true if it did.
        fn visit(&self, visitor: &mut dyn FnMut(&dyn Arm) -> bool, token: Token) -> bool;
    }

    /// A part of a source as the waiter sees it. The waiter polls the arm first; if there was nothing to take, it
    /// enters the arm, looks at it after each wake-up, and leaves it.
    ///
    /// No bound of the public API leads to this trait, so its methods require no token.
    pub trait Arm {
        /// Takes the output if it is ready. Called before the arm is entered.
        fn poll(&self, io: &dyn Io) -> bool;

        /// Takes the output if it is ready and `choice` has not been decided elsewhere, and decides `choice`; otherwise
        /// begins to wait. Called once.
        ///
        /// # Safety
        ///
        /// The arm and `choice` stay where they are until [`leave`](Self::leave) has returned.
        unsafe fn enter(&self, choice: &Choice) -> bool;

        /// Checks an entered arm again, as [`enter`](Self::enter) does, if nobody else decides for it.
        fn look(&self, io: &dyn Io, choice: &Choice) -> bool {
            let _ = (io, choice);
            false
        }

        /// Returns the instant at which the arm is to be looked at without a wake-up. May change between two looks.
        fn deadline(&self) -> Option<Instant> {
            None
        }

        /// Ends the wait. Returns true if others have decided the choice for this arm. Also called if the arm was never
        /// entered.
        fn leave(&self) -> bool;
    }
}

use sealed::{Arm, Arms};

/// A condition that is true for everyone who looks, and stays true.
pub(crate) trait Fact {
    fn is_there(&self, io: &dyn Io) -> bool;

    /// Registers `waiter` to be woken by the context that makes the condition true.
    fn watch(&self, waiter: Unparker) {
        let _ = waiter;
    }

    /// Withdraws the registration; a late wake-up is allowed. Also called if there was none.
    fn unwatch(&self) {}

    /// Returns the instant at which the condition becomes true at the latest.
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

/// A source of one arm.
impl<A: Arm> Arms for A {
    #[inline]
    fn poll_all(&self, io: &dyn Io, _: Token) -> Option<usize> {
        self.poll(io).then_some(0)
    }

    fn visit(&self, visitor: &mut dyn FnMut(&dyn Arm) -> bool, _: Token) -> bool {
        visitor(self)
    }
}

/// `None` is never ready.
impl<S: Arms> Arms for Option<S> {
    fn count(&self, token: Token) -> usize {
        self.as_ref().map_or(0, |source| source.count(token))
    }

    #[inline]
    fn poll_all(&self, io: &dyn Io, token: Token) -> Option<usize> {
        self.as_ref()?.poll_all(io, token)
    }

    fn visit(&self, visitor: &mut dyn FnMut(&dyn Arm) -> bool, token: Token) -> bool {
        self.as_ref().is_some_and(|source| source.visit(visitor, token))
    }
}

impl<S: Selectable> Selectable for Option<S> {
    type Output = S::Output;

    fn output(self, arm: usize, io: &dyn Io, token: Token) -> S::Output {
        self.expect("None has no arm").output(arm, io, token)
    }
}

/// A source that converts the output of another one; from [`Selectable::map`].
#[derive(Debug)]
pub struct Map<S, F> {
    source: S,
    f: F,
}

impl<S: Arms, F> Arms for Map<S, F> {
    fn count(&self, token: Token) -> usize {
        self.source.count(token)
    }

    #[inline]
    fn poll_all(&self, io: &dyn Io, token: Token) -> Option<usize> {
        self.source.poll_all(io, token)
    }

    fn visit(&self, visitor: &mut dyn FnMut(&dyn Arm) -> bool, token: Token) -> bool {
        self.source.visit(visitor, token)
    }
}

impl<S: Selectable, T, F: FnOnce(S::Output) -> T> Selectable for Map<S, F> {
    type Output = T;

    fn output(self, arm: usize, io: &dyn Io, token: Token) -> T {
        (self.f)(self.source.output(arm, io, token))
    }
}

impl<S: Arms, const N: usize> Arms for [S; N] {
    fn count(&self, token: Token) -> usize {
        self.iter().map(|source| source.count(token)).sum()
    }

    #[inline]
    fn poll_all(&self, io: &dyn Io, token: Token) -> Option<usize> {
        poll_each(self, io, token)
    }

    fn visit(&self, visitor: &mut dyn FnMut(&dyn Arm) -> bool, token: Token) -> bool {
        self.iter().any(|source| source.visit(visitor, token))
    }
}

impl<S: Selectable, const N: usize> Selectable for [S; N] {
    type Output = (usize, S::Output);

    fn output(self, arm: usize, io: &dyn Io, token: Token) -> Self::Output {
        let (index, arm) = place_of(&self, arm, token);
        let source = self.into_iter().nth(index).expect("it has that arm");
        (index, source.output(arm, io, token))
    }
}

impl<S: Arms> Arms for Vec<S> {
    fn count(&self, token: Token) -> usize {
        self.iter().map(|source| source.count(token)).sum()
    }

    #[inline]
    fn poll_all(&self, io: &dyn Io, token: Token) -> Option<usize> {
        poll_each(self, io, token)
    }

    fn visit(&self, visitor: &mut dyn FnMut(&dyn Arm) -> bool, token: Token) -> bool {
        self.iter().any(|source| source.visit(visitor, token))
    }
}

impl<S: Selectable> Selectable for Vec<S> {
    type Output = (usize, S::Output);

    fn output(mut self, arm: usize, io: &dyn Io, token: Token) -> Self::Output {
        let (index, arm) = place_of(&self, arm, token);
        (index, self.swap_remove(index).output(arm, io, token))
    }
}

#[inline]
fn poll_each<S: Arms>(sources: &[S], io: &dyn Io, token: Token) -> Option<usize> {
    let mut before = 0;
    for source in sources {
        if let Some(arm) = source.poll_all(io, token) {
            return Some(before + arm);
        }
        before += source.count(token);
    }
    None
}

/// Returns the index of the source that has the arm with the number `arm`, and the number of that arm within the
/// source.
fn place_of<S: Arms>(sources: &[S], arm: usize, token: Token) -> (usize, usize) {
    let mut arm = arm;
    for (index, source) in sources.iter().enumerate() {
        match arm.checked_sub(source.count(token)) {
            None => return (index, arm),
            Some(rest) => arm = rest,
        }
    }
    unreachable!("the sources have fewer arms")
}
