//! Sources that wake all their waiters; the first waiter that polls takes the output.
#![allow(unsafe_code)]

use std::cell::Cell;

use super::Selectable;
use super::sealed::Arm;
use crate::Io;
use crate::context::Unparker;
use crate::sealed::Token;
use crate::time::Instant;
use crate::waiting::Choice;

/// An object for which several contexts wait. A change wakes all of them, and each polls whether something is left for
/// it.
pub(crate) trait Polled {
    type Output;

    /// Takes the output if there is one and decides `comer`, unless `comer` was decided elsewhere. If there is none,
    /// the next change wakes the context of `comer`, once.
    fn take(&self, comer: Option<&Choice>) -> Option<Self::Output>;

    /// Stops waking the context of `waiter`.
    fn forget(&self, waiter: Unparker);

    /// Returns the instant at which waiters have to poll again without a change. When it becomes earlier, they are
    /// woken.
    fn deadline(&self) -> Option<Instant> {
        None
    }
}

/// A [`Polled`] as a source.
pub(crate) struct OnPolled<T: Polled> {
    polled: T,
    taken: Cell<Option<T::Output>>,
    /// The context that may be woken; `None` before it waits.
    waiter: Cell<Option<Unparker>>,
}

impl<T: Polled> OnPolled<T> {
    pub(crate) fn of(polled: T) -> Self {
        Self { polled, taken: Cell::new(None), waiter: Cell::new(None) }
    }

    fn take(&self, comer: Option<&Choice>) -> bool {
        let taken = self.polled.take(comer);
        let is_taken = taken.is_some();
        self.taken.set(taken);
        is_taken
    }
}

impl<T: Polled> Arm for OnPolled<T> {
    fn poll(&self, _: &dyn Io) -> bool {
        self.take(None)
    }

    unsafe fn enter(&self, choice: &Choice) -> bool {
        self.waiter.set(Some(choice.unparker()));
        self.take(Some(choice))
    }

    fn look(&self, _: &dyn Io, choice: &Choice) -> bool {
        self.take(Some(choice))
    }

    fn deadline(&self) -> Option<Instant> {
        self.polled.deadline()
    }

    fn leave(&self) -> bool {
        if let Some(waiter) = self.waiter.get() {
            self.polled.forget(waiter);
        }
        false
    }
}

impl<T: Polled> Selectable for OnPolled<T> {
    type Output = T::Output;

    fn output(self, _: usize, _: &dyn Io, _: Token) -> T::Output {
        self.taken.into_inner().expect("it was taken")
    }
}
