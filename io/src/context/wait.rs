//! The one loop in which every wait of the vocabulary sleeps.

use super::current::current;
use super::park::Wait;
use super::points::PassedOn;
use crate::cancel::Canceled;
use crate::time::Instant;

/// Why a wait ended before its condition was true.
#[derive(Debug)]
pub(crate) enum WaitEnd {
    Canceled(Canceled),
    TimedOut,
}

/// Waits until `ready`. A cancellation point, but only for as long as it is not ready: completion
/// wins. The caller checks for a request before it begins.
///
/// Where the deadline has passed before it could park, it lets others run once, as a wait would have: whoever asks again
/// and again with such a deadline must not keep them from what it asks for.
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

/// Waits until `ready`, whatever is requested meanwhile; `requested` is called with each request
/// to the waiter (bits of [`TaskState`](super::TaskState)), once, for it to copy them to what it waits for.
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

/// Runs a wait. `Io` is a safe trait, and waiters are linked from their stack frames, which members
/// of groups borrow: a panic of an `Io` that would unwind such a frame ends the process.
#[inline]
pub(crate) fn or_abort<R>(wait: impl FnOnce() -> R) -> R {
    struct Abort;
    impl Drop for Abort {
        fn drop(&mut self) {
            std::process::abort();
        }
    }
    let abort = Abort;
    let result = wait();
    std::mem::forget(abort);
    result
}
