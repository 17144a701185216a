//! What is told to all who wait, and taken by whoever comes first, as a source.
#![allow(unsafe_code)]

use std::cell::Cell;

use super::Selectable;
use super::sealed::Arm;
use crate::Io;
use crate::context::Unparker;
use crate::sealed::Token;
use crate::time::Instant;
use crate::waiting::Choice;

/// Something that wakes all who wait for it, of whom each looks whether it is there for it, too.
pub(crate) trait Told {
    type Output;

    /// Takes it, if it is there and `comer` has not been decided elsewhere, which it decides. If it is not, `comer` is
    /// woken when that may have changed, once.
    fn take(&self, comer: Option<&Choice>) -> Option<Self::Output>;

    /// That context need not be woken any more.
    fn forget(&self, waiter: Unparker);

    /// When it is to be looked at, without a wake-up. May change; who waits is woken when it comes to be earlier.
    fn deadline(&self) -> Option<Instant> {
        None
    }
}

/// Its being told, to be waited for.
pub(crate) struct Telling<T: Told> {
    told: T,
    taken: Cell<Option<T::Output>>,
    /// Who may be woken; `None` before it waits.
    waiter: Cell<Option<Unparker>>,
}

impl<T: Told> Telling<T> {
    pub(crate) fn of(told: T) -> Self {
        Self { told, taken: Cell::new(None), waiter: Cell::new(None) }
    }

    fn take(&self, comer: Option<&Choice>) -> bool {
        let taken = self.told.take(comer);
        let is_taken = taken.is_some();
        self.taken.set(taken);
        is_taken
    }
}

impl<T: Told> Arm for Telling<T> {
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
        self.told.deadline()
    }

    fn leave(&self) -> bool {
        if let Some(waiter) = self.waiter.get() {
            self.told.forget(waiter);
        }
        false
    }
}

impl<T: Told> Selectable for Telling<T> {
    type Output = T::Output;

    fn output(self, _: usize, _: &dyn Io, _: Token) -> T::Output {
        self.taken.into_inner().expect("it was taken")
    }
}
