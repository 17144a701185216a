//! The handle of a member.

use std::fmt;

use crate::Io;
use crate::context::{REQUESTED, TORN_DOWN};
use crate::runnable::Owner;
use crate::select::Selectable;
use crate::task::{self, Finishing, Outcome};

/// The handle of a member of a group, which gives its result and can cancel it alone. Dropping the handle does nothing,
/// because the group owns the task.
pub struct ScopedTask<'scope, T> {
    pub(super) outcome: Option<Owner<dyn Outcome<T> + 'scope>>,
}

impl<T> fmt::Debug for ScopedTask<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedTask").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}

impl<T> ScopedTask<'_, T> {
    /// Waits for the member to end and returns its result.
    ///
    /// # Cancellation
    ///
    /// A request does not end the wait: it is copied to the member, the wait goes on, and the caller's next cancellation
    /// point returns it.
    ///
    /// # Panics
    ///
    /// Resumes the panic of the member. The group then does not resume it.
    pub fn join(mut self, io: &dyn Io) -> T {
        task::join(io, &mut self.outcome)
    }

    /// Requests cancellation of this member, once, waits for it to end and returns its result.
    ///
    /// # Cancellation
    ///
    /// A request does not end the wait; see [`join`](Self::join).
    ///
    /// # Panics
    ///
    /// Resumes the panic of the member; see [`join`](Self::join).
    pub fn cancel(self, io: &dyn Io) -> T {
        self.request_cancel();
        self.join(io)
    }

    /// Requests permanent cancellation of this member, waits for it to end and returns its result; see
    /// [`Task::abort`](crate::Task::abort).
    ///
    /// # Cancellation
    ///
    /// A request does not end the wait; see [`join`](Self::join).
    ///
    /// # Panics
    ///
    /// Resumes the panic of the member; see [`join`](Self::join).
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

    /// Requests permanent cancellation of this member and does not wait.
    pub fn request_abort(&self) {
        if let Some(outcome) = &self.outcome {
            outcome.state().request(TORN_DOWN);
        }
    }

    /// Returns true if the member has ended, so that [`join`](Self::join) would not wait.
    pub fn is_finished(&self) -> bool {
        self.outcome.as_ref().is_some_and(|outcome| outcome.is_done())
    }

    /// Returns a source for [`io.select`](crate::Io#method.select) that is ready once the member has ended; see
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
