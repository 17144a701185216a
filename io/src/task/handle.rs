//! The handle of a task.

use std::fmt;
use std::panic::resume_unwind;

use super::cell::Outcome;
use super::finishing::Finishing;
use crate::Io;
use crate::context::{self, Context, REQUESTED, TORN_DOWN};
use crate::runnable::Owner;
use crate::select::Selectable;

/// The handle of a task started by [`spawn_async`](crate::Io#method.spawn_async) or one of its siblings. A task is a
/// unit of work with a result.
///
/// Dropping the handle requests permanent cancellation, like [`abort`](Task::abort) (see [`crate::cancel`] on
/// tear-down), but does not wait; the runtime waits for the task when it shuts down. [`detach`](Task::detach) lets the
/// task go on without a handle.
#[must_use = "dropping a task cancels it: join it, or detach it"]
pub struct Task<T> {
    pub(super) outcome: Option<Owner<dyn Outcome<T>>>,
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}

impl<T> Task<T> {
    /// Waits for the task to end and returns its result.
    ///
    /// # Cancellation
    ///
    /// A request does not end the wait: it is copied to the task, the wait goes on, and the caller's next cancellation
    /// point returns it.
    ///
    /// # Panics
    ///
    /// Resumes the panic of the task. Panics inside [`no_suspend`](crate::no_suspend).
    pub fn join(mut self, io: &dyn Io) -> T {
        join(io, &mut self.outcome)
    }

    /// Requests cancellation, once, waits for the task to end and returns its result.
    ///
    /// # Cancellation
    ///
    /// A request does not end the wait; see [`join`](Self::join).
    ///
    /// # Panics
    ///
    /// Resumes the panic of the task. Panics inside [`no_suspend`](crate::no_suspend).
    pub fn cancel(self, io: &dyn Io) -> T {
        self.request_cancel();
        self.join(io)
    }

    /// Requests permanent cancellation, waits for the task to end and returns its result.
    ///
    /// From then on, *every* cancellation point of the task returns `Canceled`, while [`cancel`](Self::cancel) ends one
    /// call. So it also stops a task that ignores the error of one call and goes on, such as a retry loop with
    /// `let _ = io.sleep(pause)`. Clean-up code of the task that waits has to run in [`shield`](crate::Io#method.shield).
    /// Nothing is unwound or killed: a task that never reaches a cancellation point goes on.
    ///
    /// # Cancellation
    ///
    /// A request does not end the wait; see [`join`](Self::join).
    ///
    /// # Panics
    ///
    /// Resumes the panic of the task. Panics inside [`no_suspend`](crate::no_suspend).
    pub fn abort(self, io: &dyn Io) -> T {
        self.request_abort();
        self.join(io)
    }

    /// Requests cancellation, once, without waiting.
    pub fn request_cancel(&self) {
        if let Some(outcome) = &self.outcome {
            outcome.state().request(REQUESTED);
        }
    }

    /// Requests permanent cancellation, like [`abort`](Self::abort), without waiting.
    pub fn request_abort(&self) {
        if let Some(outcome) = &self.outcome {
            outcome.state().request(TORN_DOWN);
        }
    }

    /// Returns true if the task has ended, so that [`join`](Self::join) would not wait.
    pub fn is_finished(&self) -> bool {
        self.outcome.as_ref().is_some_and(|outcome| outcome.is_done())
    }

    /// Returns a source that is ready once the task has ended; [`join`](Self::join) then does not wait. For
    /// [`select`](crate::Io#method.select).
    ///
    /// Requests to the waiter are not copied to the task. The wait does not begin a task of
    /// [`spawn_async`](crate::Io#method.spawn_async) that has not begun yet.
    pub fn on_finish(&mut self) -> impl Selectable<Output = ()> + '_ {
        Finishing::of(self.outcome.as_deref())
    }

    /// Lets the task go on without a handle, until it ends or the runtime shuts down. Its result is dropped, and so is
    /// its panic.
    pub fn detach(mut self) {
        if let Some(outcome) = self.outcome.take() {
            detach(outcome);
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome.take() {
            outcome.state().request(TORN_DOWN);
            detach(outcome);
        }
    }
}

/// Waits for the task and consumes the handle. If the wait panics (`no_suspend`), the handle stays in place and its
/// owner detaches it, because a result that nobody takes has to be dropped before its task leaves the group.
pub(crate) fn join<T>(io: &dyn Io, handle: &mut Option<Owner<dyn Outcome<T> + '_>>) -> T {
    let outcome = handle.as_deref().expect("a handle is consumed once");
    context::current(Context::assert_outside_no_suspend);
    outcome.wait(io);
    assert!(outcome.is_done(), "a wait for a task has ended before the task");
    let outcome = handle.take().expect("it was there");
    // SAFETY: it is done, and the only handle was taken out here.
    #[allow(unsafe_code)]
    let result = unsafe { outcome.take() };
    match result {
        // SAFETY: the result is read once, while the handle exists, whose cell holds it.
        #[allow(unsafe_code)]
        Ok(value) => unsafe { value.read() },
        Err(panic) => resume_unwind(panic),
    }
}

/// Gives up the only handle of a task.
pub(crate) fn detach<T>(handle: Owner<dyn Outcome<T> + '_>) {
    // SAFETY: handles are made in one place for each kind, one for each cell, and this one is consumed.
    #[allow(unsafe_code)]
    unsafe {
        handle.detach();
    }
}
