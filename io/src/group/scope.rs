//! Scopes: a body with a group, and the wait for the members at its end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use super::handle::Group;
use super::shared::GroupShared;
use crate::Io;
use crate::context::{self, TORN_DOWN};
use crate::task::TaskIo;

impl<'io> dyn Io + 'io {
    /// Runs `body` with a group of tasks that may borrow from outside of it, and returns when all
    /// of them have ended. The body's value is always returned.
    ///
    /// If the body returns an error or panics, the members are canceled, and every cancellation point that they reach from
    /// then on returns `Canceled`. If it succeeds, this waits for them, however long they run: to stop them and still
    /// succeed, [cancel](Group::cancel) the group before the body returns.
    ///
    /// # Cancellation
    ///
    /// A request to the caller does not end the final wait. The request is copied to the members, and
    /// the caller's next cancellation point returns it.
    ///
    /// # Errors
    ///
    /// The body's.
    ///
    /// # Panics
    ///
    /// Resumes the body's panic, or else the first panic of a member whose handle was dropped. When such a member panics,
    /// the other members and the body are canceled, and each of their cancellation points returns `Canceled` from then on,
    /// so that the scope ends. A group that [contains](Group::contain_panics) the panics of its members goes on instead.
    pub fn group<'env, T, E>(
        &'env self,
        body: impl for<'scope> FnOnce(&'scope Group<'scope, 'env>) -> Result<T, E>,
    ) -> Result<T, E> {
        run_scope(self, body)
    }
}

/// Runs `body` with a group and waits for the members.
fn run_scope<'env, T, E>(
    io: &'env (dyn Io + 'env),
    body: impl for<'scope> FnOnce(&'scope Group<'scope, 'env>) -> Result<T, E>,
) -> Result<T, E> {
    let group = Group::new(TaskIo::Borrowed(io));
    let outcome = run_to_end(io, group.shared(), || body(&group), Result::is_err);
    group.shared().or_panic(outcome)
}

/// Runs the body of a scope, and then waits for the members, which are torn down if the body has panicked or
/// `is_failure` says that it has failed.
///
/// The members borrow from the scope's caller, so nothing unwinds out of here while there are any. All code that is the
/// program's runs in `body`, the destructors of what it does not return included: when this returns, no member
/// is left, and the program's code may run again. The wait does not happen in an unwinding either: std's panic count
/// belongs to the thread, and a wait lets other fibers of the thread run.
pub(crate) fn run_to_end<T>(
    io: &dyn Io,
    group: &Arc<GroupShared>,
    body: impl FnOnce() -> T,
    is_failure: fn(&T) -> bool,
) -> thread::Result<T> {
    let outcome = context::current(|context| {
        // Asserted here, and not only by the wait for the members: they would outlive the scope.
        context.assert_may_suspend();
        group.set_body(context.unparker());
        let _body = context.push_body(group.clone());
        catch_unwind(AssertUnwindSafe(body))
    });
    context::or_abort(|| {
        if outcome.as_ref().map_or(true, is_failure) {
            group.request(TORN_DOWN);
        }
        group.wait(io);
    });
    outcome
}
