//! Cancellation: requests, cancellation points, shields and timeouts. Other documentation links here.
//!
//! - A **request** ([`Task::cancel`](crate::Task::cancel), [`Group::cancel`](crate::Group::cancel)) makes the task's
//!   next *cancellation point*, or the one in which it is blocked, return [`Canceled`] **once**. Later points succeed,
//!   so that clean-up code can do I/O. Every call that can block is a point, even when it does not have to block, and
//!   its documentation says so.
//! - [`recancel`](crate::Io#method.recancel) takes a `Canceled` back and re-arms the request.
//! - **Tear-down is permanent**: shutdown, a dropped [`Task`](crate::Task) and a group that ends by error or panic make
//!   *every* later point return `Canceled`, so that a loop with back-off cannot swallow it. Wrap clean-up
//!   I/O in `shield`, with a `timeout` inside. [`Task::abort`](crate::Task::abort) and [`Group::abort`](crate::Group::abort) request the
//!   same.
//! - A [`CancellationToken`](crate::CancellationToken) tears down work that has no single owner. Once it is canceled,
//!   every point inside its [`run`](crate::CancellationToken::run), and in the tasks that were started there, returns
//!   `Canceled`. Tokens have children.
//! - A scope fails when one of its members panics or, in a [`try_group`](crate::Io#method.try_group), returns an error.
//!   It then tears down its other members and its own body, so that the scope can end and report the failure. The code
//!   after the scope is not affected.
//! - [`shield`](crate::Io#method.shield) shields a region: a request waits until the region ends and is delivered after
//!   it.
//! - **Completion wins**: an operation that succeeds while it is being canceled reports its success, and the request
//!   stays pending for the next point. No byte, socket, item, permit or lock is lost.
//! - A request to a task that waits for a task or a group is **copied** to them and also stays pending on the waiter,
//!   whose next point returns it.
//! - A **timeout** ([`timeout`](crate::Io#method.timeout)) is a cancellation with a scope. Timeouts nest, and the tasks
//!   started within one inherit it; a task that was started outside and is only waited for does not. Each timeout has an identity, which its `Canceled` carries. Only the `timeout` that
//!   finds its own identity in the error returns `TimedOut`; the others pass the error on.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::incomplete::Incomplete;

/// The running task was asked to stop. A cancellation point returns this error once for each request.
///
/// Return it, or hand it back with [`recancel`](crate::Io#method.recancel). It converts to [`io::Error`], and
/// [`Canceled::from_error`] gets it back. Programs cannot create one, and cannot hand one back twice:
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

/// The origin of a `Canceled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The task was asked to stop.
    Requested,
    /// A timeout around the call has passed.
    TimedOut(TimeoutId),
    /// The call was made in the body of a group, and a member of that group has failed.
    Aborted,
    /// A token was canceled, and the call was made, or its task was started, inside the token's `run`.
    Token,
    /// The call was made inside a panic hook.
    PanicHook,
}

/// Identifies the timeout from which a `Canceled` came; unique in the process.
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

    /// Returns true if `error` carries a `Canceled`. The kernel's `ECANCELED` does not count.
    pub fn is_in(error: &io::Error) -> bool {
        error.canceled().is_some()
    }

    /// Extracts the `Canceled` from an error that was made from one, also from an [`Incomplete`].
    ///
    /// # Errors
    ///
    /// Returns `error` unchanged if it carries no `Canceled`.
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
    /// Never makes an [`io::ErrorKind::Interrupted`], because the helpers of std retry after that one.
    fn from(canceled: Canceled) -> Self {
        io::Error::other(canceled)
    }
}

/// The time limit of a call or a block has passed.
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

/// The reason why a wait with a deadline ended without success.
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
    /// The error that `timeout` returns: this error, or [`TimedOut`].
    type OrTimedOut;

    /// Returns the `Canceled` that this error carries, if there is one.
    fn canceled(&self) -> Option<&Canceled>;

    /// Converts an error that `timeout` passes on unchanged.
    fn into_or_timed_out(self) -> Self::OrTimedOut;

    /// Converts an error that carries the timeout's own request. Keep the rest of the error, such as a
    /// number of bytes or an item.
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
