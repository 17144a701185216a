//! The handle of a member.

use std::fmt;

use crate::Io;
use crate::context::{REQUESTED, TORN_DOWN};
use crate::runnable::Owner;
use crate::select::Selectable;
use crate::task::{self, Finishing, Outcome};

/// A member of a group: its result, and a way to cancel it alone. Dropping it does nothing; the
/// group owns the task.
pub struct ScopedTask<'scope, T> {
    outcome: Option<Owner<dyn Outcome<T> + 'scope>>,
}

impl<T> fmt::Debug for ScopedTask<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedTask").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}

impl<'scope, T> ScopedTask<'scope, T> {
    pub(super) fn new(outcome: Owner<dyn Outcome<T> + 'scope>) -> Self {
        Self { outcome: Some(outcome) }
    }
}

impl<T> ScopedTask<'_, T> {
    /// Waits for the member to end and returns its result.
    ///
    /// # Cancellation
    ///
    /// A request does not end the wait. The request is copied to the member, the wait goes on, and the
    /// caller's next cancellation point returns it.
    ///
    /// # Panics
    ///
    /// Resumes the member's panic, which then is not the group's.
    pub fn join(mut self, io: &dyn Io) -> T {
        task::join(io, &mut self.outcome)
    }

    /// Requests cancellation of this member, once, waits for it to end and returns its result.
    ///
    /// # Cancellation
    ///
    /// As [`join`](Self::join).
    ///
    /// # Panics
    ///
    /// As [`join`](Self::join).
    pub fn cancel(self, io: &dyn Io) -> T {
        self.request_cancel();
        self.join(io)
    }

    /// Cancels this member so that every cancellation point that it reaches returns `Canceled`, waits for it to end and
    /// returns its result; see [`Task::abort`](crate::Task::abort).
    ///
    /// # Cancellation
    ///
    /// As [`join`](Self::join).
    ///
    /// # Panics
    ///
    /// As [`join`](Self::join).
    pub fn abort(self, io: &dyn Io) -> T {
        self.request_abort();
        self.join(io)
    }

    /// Requests cancellation of this member, once, and does not wait.
    pub fn request_cancel(&self) {
        if let Some(outcome) = &self.outcome {
            outcome.state().request(REQUESTED);
        }
    }

    /// Cancels this member so that every cancellation point that it reaches returns `Canceled`, and does not wait.
    pub fn request_abort(&self) {
        if let Some(outcome) = &self.outcome {
            outcome.state().request(TORN_DOWN);
        }
    }

    /// Returns true if the member has ended, so that [`join`](Self::join) would not wait.
    pub fn is_finished(&self) -> bool {
        self.outcome.as_ref().is_some_and(|outcome| outcome.is_done())
    }

    /// Returns the end of the member, to [select](crate::Io#method.select) from; see
    /// [`Task::on_finish`](crate::Task::on_finish).
    pub fn on_finish(&mut self) -> impl Selectable<Output = ()> + '_ {
        Finishing::of(self.outcome.as_deref())
    }
}

impl<T> Drop for ScopedTask<'_, T> {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome.take() {
            task::detach(outcome);
        }
    }
}
