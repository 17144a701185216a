//! The main task of a runtime, which borrows from its caller.
#![allow(unsafe_code)]

use std::fmt;
use std::thread;

use crate::context;
use crate::runnable::{Owner, Parcel, Start, TaskOptions};
use crate::task::{Body, Outcome, TaskCell};

impl Start {
    /// Makes a task that runs `body` and is not started through an `Io`, such as the main task of a runtime. `name` is
    /// its name in reports.
    ///
    /// # Safety
    ///
    /// The `Start` is run, or dropped, before anything ends that `body` and `T` borrow. If `body` or `T` is not `Send`,
    /// that happens on the calling thread, where the outcome is taken or dropped too.
    pub unsafe fn scoped<'a, T: 'a>(name: &str, body: impl FnOnce() -> T + 'a) -> (Self, ScopedOutcome<'a, T>) {
        let options = TaskOptions { name: Some(name.into()), ..TaskOptions::default() };
        let mut parcel = Parcel::of(AssumeSend(body));
        let (turn, cell) =
            TaskCell::new(OnItsThread, &mut parcel, None, Some(Box::new(options)), context::inheritable_scopes());
        // SAFETY: the caller promises that the turn is over before 'a ends. The result belongs to the outcome, which
        // takes it or disposes of it within 'a.
        let turn = unsafe { turn.assume_static() };
        (Self::new(turn), ScopedOutcome(Some(cell.into_outcome())))
    }
}

/// A value that stays on its thread, as the caller of [`Start::scoped`] promises.
struct AssumeSend<T>(T);

// SAFETY: the caller of `Start::scoped`, which alone makes these, promises that a body or a result that is not `Send`
// is called, taken and dropped on the thread that made it.
unsafe impl<T> Send for AssumeSend<T> {}

/// The body of a [`Start::scoped`].
struct OnItsThread;

impl<F: FnOnce() -> T, T> Body<AssumeSend<F>, AssumeSend<T>> for OnItsThread {
    fn call(self, closure: &mut Parcel<AssumeSend<F>>) -> AssumeSend<T> {
        AssumeSend(closure.take().0())
    }
}

/// The result of a [`Start::scoped`].
pub struct ScopedOutcome<'a, T>(Option<Owner<dyn Outcome<AssumeSend<T>> + 'a>>);

impl<T> fmt::Debug for ScopedOutcome<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedOutcome").field("done", &self.is_done()).finish()
    }
}

impl<T> ScopedOutcome<'_, T> {
    /// Returns true if the task has ended.
    pub fn is_done(&self) -> bool {
        self.0.as_ref().is_some_and(|outcome| outcome.is_done())
    }

    /// Returns the result of the task, which has to have ended.
    ///
    /// # Panics
    ///
    /// Panics if the task has not ended.
    pub fn take(mut self) -> thread::Result<T> {
        assert!(self.is_done(), "the result of a task that has not ended");
        let outcome = self.0.take().expect("it is consumed here");
        // SAFETY: the task is done, as was just checked, and `scoped` made one handle, which is consumed here; the
        // result is read once.
        unsafe { outcome.take().map(|value| value.read().0) }
    }
}

impl<T> Drop for ScopedOutcome<'_, T> {
    fn drop(&mut self) {
        if let Some(outcome) = self.0.take() {
            // SAFETY: `scoped` made one handle, which is consumed here: `take` leaves none.
            unsafe { outcome.detach() };
        }
    }
}
