//! Cancellation: requests, cancellation points, protection and timeouts. Other docs link here.
//!
//! - A **request** ([`Task::cancel`](crate::Task::cancel), [`Group::cancel`](crate::Group::cancel))
//!   makes the task's next *cancellation point*, or the one it is blocked in, return [`Canceled`],
//!   **once**. The points after it succeed, so that clean-up code can do I/O. Every call that can
//!   block is a point, also when it would not have to block, and its documentation says so.
//! - [`recancel`](crate::Io#method.recancel) takes the `Canceled` back and re-arms it.
//! - **Tear-down is sticky**: shutdown, a dropped [`Task`](crate::Task) and a group that ends by
//!   error or panic make *every* point return `Canceled`, so that a loop with back-off cannot
//!   swallow it. Clean-up I/O then goes into `shield` plus `timeout`. [`Task::abort`](crate::Task::abort) and
//!   [`Group::abort`](crate::Group::abort) ask for the same.
//! - What nobody owns as a whole a [`CancellationToken`](crate::CancellationToken) tears down: the points in its
//!   [`run`](crate::CancellationToken::run), and those of the tasks that were started there. Tokens have children.
//! - A scope that has failed, since a member of it has panicked or, of a
//!   [`try_group`](crate::Io#method.try_group), returned an error, tears its other members and its own body down, so that
//!   the scope comes to its end and tells; what follows the body is not affected.
//! - [`shield`](crate::Io#method.shield) shields a region: the request waits and arrives after it.
//! - **Completion wins**: an operation that succeeded although it was being canceled reports its
//!   success, and the request stays pending for the next point. No byte, socket, item, permit or
//!   lock is lost.
//! - A request to a task that waits for a task or a group is **copied** to them and stays pending
//!   on the waiter, whose next point returns it.
//! - A **timeout** ([`timeout`](crate::Io#method.timeout)) is a cancellation with a scope. It nests,
//!   passes to the tasks started within it, and is told from a request by its identity: only the
//!   `timeout` whose own request comes back in the error reports that the time is over.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::incomplete::Incomplete;

/// The running task was asked to stop: what a cancellation point returns, once per request.
///
/// Return it, or hand it back with [`recancel`](crate::Io#method.recancel). It converts to
/// [`io::Error`], and [`Canceled::from_error`] gets it back. Nobody can make one, and it is handed back once:
///
/// ```compile_fail,E0382
/// use iolite_io::{Canceled, Io};
///
/// fn twice(io: &dyn Io, canceled: Canceled) {
///     io.recancel(canceled);
///     io.recancel(canceled);
/// }
/// ```
#[must_use = "a request that is dropped is forgotten: return it, or hand it back with `recancel`"]
#[derive(Debug)]
pub struct Canceled {
    cause: Cause,
}

/// Where a `Canceled` comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Somebody asked the task to stop.
    Requested,
    /// A timeout around the call has passed.
    TimedOut(TimeoutId),
    /// A member of the group whose body runs has failed.
    Aborted,
    /// The token was canceled in whose `run` the call was made, or the task was started.
    Token,
    /// The call was made inside a panic hook.
    PanicHook,
}

/// Which timeout a `Canceled` came from; unique in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeoutId(u64);

impl TimeoutId {
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Canceled {
    pub(crate) fn requested() -> Self {
        Self { cause: Cause::Requested }
    }

    pub(crate) fn timed_out(id: TimeoutId) -> Self {
        Self { cause: Cause::TimedOut(id) }
    }

    pub(crate) fn aborted() -> Self {
        Self { cause: Cause::Aborted }
    }

    pub(crate) fn in_panic_hook() -> Self {
        Self { cause: Cause::PanicHook }
    }

    pub(crate) fn of(cause: Cause) -> Self {
        Self { cause }
    }

    pub(crate) fn into_cause(self) -> Cause {
        self.cause
    }

    pub(crate) fn is_from(&self, id: TimeoutId) -> bool {
        self.cause == Cause::TimedOut(id)
    }

    /// Whether `error` carries a `Canceled`. The kernel's `ECANCELED` does not.
    pub fn is_in(error: &io::Error) -> bool {
        error.canceled().is_some()
    }

    /// Gets the `Canceled` out of an error that was made from one, also out of an
    /// [`Incomplete`].
    ///
    /// # Errors
    ///
    /// The error itself, when it is another one.
    pub fn from_error(error: io::Error) -> Result<Self, io::Error> {
        match error.downcast::<Incomplete>() {
            Ok(Incomplete { count, unwritten, source }) => {
                source.downcast::<Self>().map_err(|source| Incomplete::error(count, unwritten, source))
            }
            Err(error) => error.downcast::<Self>(),
        }
    }
}

impl fmt::Display for Canceled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.cause {
            Cause::Requested => "canceled: the task was asked to stop",
            Cause::TimedOut(_) => "canceled: a timeout around this call has passed",
            Cause::Aborted => "canceled: a member of the group has failed",
            Cause::Token => "canceled: a token around this call was canceled",
            Cause::PanicHook => "refused: this call could suspend, and a panic hook runs",
        })
    }
}

impl Error for Canceled {}

impl From<Canceled> for io::Error {
    /// Never [`io::ErrorKind::Interrupted`], which std's helpers retry.
    fn from(canceled: Canceled) -> Self {
        io::Error::other(canceled)
    }
}

/// The time given to a call or a block is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("timed out")
    }
}

impl Error for TimedOut {}

impl From<TimedOut> for io::Error {
    fn from(timed_out: TimedOut) -> Self {
        io::Error::new(io::ErrorKind::TimedOut, timed_out)
    }
}

/// Why a wait with a deadline did not get what it waited for.
#[derive(Debug)]
pub enum WaitError {
    /// The task was asked to stop.
    Canceled(Canceled),
    /// The deadline passed first.
    TimedOut(TimedOut),
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitError::Canceled(canceled) => canceled.fmt(f),
            WaitError::TimedOut(timed_out) => timed_out.fmt(f),
        }
    }
}

impl Error for WaitError {}

impl From<Canceled> for WaitError {
    fn from(canceled: Canceled) -> Self {
        WaitError::Canceled(canceled)
    }
}

impl From<TimedOut> for WaitError {
    fn from(timed_out: TimedOut) -> Self {
        WaitError::TimedOut(timed_out)
    }
}

impl From<WaitError> for io::Error {
    fn from(error: WaitError) -> Self {
        match error {
            WaitError::Canceled(canceled) => canceled.into(),
            WaitError::TimedOut(timed_out) => timed_out.into(),
        }
    }
}

/// An error type in which a `Canceled` can be recognized, so that it can pass through
/// [`timeout`](crate::Io#method.timeout). Implement it for your own error types.
#[diagnostic::on_unimplemented(
    message = "a timeout cannot look into the error `{Self}`",
    note = "the closure's error may be `std::io::Error`, `Canceled`, `Box<dyn Error + Send + Sync>`, one of this \
            library's, or your own that implements `CarriesCanceled`; `timeout_any` takes every other, such as `anyhow::Error`"
)]
pub trait CarriesCanceled: Sized {
    /// What `timeout` returns: this error, or that the time is over.
    type OrTimedOut;

    /// The `Canceled` in this error, if there is one.
    fn canceled(&self) -> Option<&Canceled>;

    /// The same error, where `timeout` passes it on.
    fn into_or_timed_out(self) -> Self::OrTimedOut;

    /// What `timeout` makes of this error when it carries its own request. What else the error says or brings back,
    /// how far the call had come or an item for instance, is to be kept.
    fn into_timed_out(self) -> Self::OrTimedOut;
}

impl CarriesCanceled for io::Error {
    type OrTimedOut = io::Error;

    fn canceled(&self) -> Option<&Canceled> {
        Incomplete::of(self).map_or(self, |incomplete| &incomplete.source).get_ref()?.downcast_ref()
    }

    fn into_or_timed_out(self) -> io::Error {
        self
    }

    fn into_timed_out(self) -> io::Error {
        match self.downcast::<Incomplete>() {
            Ok(Incomplete { count, unwritten, .. }) => Incomplete::error(count, unwritten, TimedOut.into()),
            Err(_) => TimedOut.into(),
        }
    }
}

impl CarriesCanceled for Canceled {
    type OrTimedOut = WaitError;

    fn canceled(&self) -> Option<&Canceled> {
        Some(self)
    }

    fn into_or_timed_out(self) -> WaitError {
        self.into()
    }

    fn into_timed_out(self) -> WaitError {
        TimedOut.into()
    }
}

impl CarriesCanceled for WaitError {
    type OrTimedOut = WaitError;

    fn canceled(&self) -> Option<&Canceled> {
        match self {
            WaitError::Canceled(canceled) => Some(canceled),
            WaitError::TimedOut(_) => None,
        }
    }

    fn into_or_timed_out(self) -> WaitError {
        self
    }

    fn into_timed_out(self) -> WaitError {
        TimedOut.into()
    }
}
