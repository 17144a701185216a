//! The one loop in which every wait of this crate sleeps.

use super::current::current;
use super::park::Wait;
use super::points::PassedOn;
use crate::abort::AbortOnUnwind;
use crate::cancel::Canceled;
use crate::time::Instant;

/// The reason why a wait ended before its condition was true.
#[derive(Debug)]
pub(crate) enum WaitEnd {
    Canceled(Canceled),
    TimedOut,
}

/// Waits until `ready` returns true.
///
/// This is a cancellation point, but only while `ready` returns false: completion wins. The caller checks for a request
/// before it begins.
///
/// If the deadline is already over, this lets others run once before it gives up, so that polling with such a deadline does
/// not starve the others.
pub(crate) fn wait(
    io: &(impl Wait + ?Sized),
    deadline: Option<Instant>,
    mut ready: impl FnMut() -> bool,
) -> Result<(), WaitEnd> {
    current(|context| {
        context.assert_may_suspend();
        or_abort(|| {
            let mut others_could_run = false;
            loop {
                if ready() {
                    return Ok(());
                }
                context.check_within_wait(io).map_err(WaitEnd::Canceled)?;
                let is_over = deadline.is_some_and(|deadline| deadline <= io.now());
                if is_over && others_could_run {
                    return Err(WaitEnd::TimedOut);
                }
                others_could_run = true;
                if is_over {
                    io.yield_now();
                } else {
                    io.park([deadline, context.deadline()].into_iter().flatten().min());
                }
            }
        })
    })
}

/// Waits until `ready` returns true. Requests do not end the wait. Calls `requested` once with each request to the
/// waiter (bits of [`TaskState`](super::TaskState)), so that the caller can copy it to the tasks for which it waits.
pub(crate) fn wait_uncancelable(
    io: &(impl Wait + ?Sized),
    mut ready: impl FnMut() -> bool,
    mut requested: impl FnMut(u32),
) {
    current(|context| {
        context.assert_may_suspend();
        or_abort(|| {
            let mut passed_on = PassedOn::default();
            while !ready() {
                let requests = context.requests_to_pass_on(&mut passed_on);
                if requests != 0 {
                    requested(requests);
                    if ready() {
                        return;
                    }
                }
                io.park(None);
            }
        });
    });
}

/// Runs a wait, and aborts the process if the wait panics.
///
/// `Io` is a safe trait, and may panic. But a waiter is linked from its stack frame, and members of groups borrow from it, so
/// such a frame must not be unwound.
#[inline]
pub(crate) fn or_abort<R>(wait: impl FnOnce() -> R) -> R {
    let abort = AbortOnUnwind;
    let result = wait();
    std::mem::forget(abort);
    result
}
