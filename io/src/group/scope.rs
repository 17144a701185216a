//! Running the body of a scope, and waiting for its members.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use super::state::GroupShared;
use crate::Io;
use crate::context::{self, TORN_DOWN};

/// Runs the body of a scope, and then waits for the members. Tears the members down first if the body has panicked or
/// `is_failure` says that it has failed.
///
/// The members borrow from the caller of the scope, so nothing unwinds out of here while a member is left. All code of the
/// program runs in `body`, including the destructors of values that the body does not return. Once this returns, no member
/// is left, and code of the program may run again. The wait does not happen during an unwinding either, because std counts
/// panics per thread, and a wait lets other fibers of the thread run.
pub(crate) fn run_to_end<T>(
    io: &dyn Io,
    group: &Arc<GroupShared>,
    body: impl FnOnce() -> T,
    is_failure: fn(&T) -> bool,
) -> thread::Result<T> {
    let outcome = context::current(|context| {
        // Checked here, and not only in the wait, whose panic would let the members outlive the scope.
        context.assert_may_suspend();
        group.begin_body(context.unparker());
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
