//! The reasons why a job did not run.

use std::error::Error;
use std::fmt;
use std::io;

use iolite_io::backend::CarriesCanceled;
use iolite_io::{Canceled, TimedOut};

/// The reason why a [`call`](crate::Bridge::call) has no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallError {
    /// The caller was asked to stop before a worker took the job, so the job never runs.
    Canceled(Canceled),
    /// A [`timeout`](iolite_io::Io#method.timeout) around the call passed before a worker took the job, so the job
    /// never runs. `timeout` makes this error from `Canceled`.
    TimedOut(TimedOut),
    /// The job ran and panicked with this message. The worker makes a new state.
    Panicked(String),
    /// The bridge is closed, and the job was not accepted.
    Closed,
    /// The worker has no state to run the job with, for this reason. The job never runs.
    State(String),
    /// The job ran, but its effects were not committed, for this reason (only from
    /// [`call_committed`](crate::Bridge::call_committed) and its keyed form).
    NotCommitted(String),
    /// The caller is itself a job of this bridge, and would wait for the worker that it occupies.
    WouldDeadlock,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Canceled(_) => f.write_str("the job did not run"),
            Self::TimedOut(timed_out) => timed_out.fmt(f),
            Self::Panicked(message) => write!(f, "the job panicked: {message}"),
            Self::Closed => f.write_str("the bridge is closed"),
            Self::State(message) => write!(f, "the worker has no state: {message}"),
            Self::NotCommitted(message) => write!(f, "the job ran and was not committed: {message}"),
            Self::WouldDeadlock => f.write_str("a job of a bridge called the same bridge and would wait for itself"),
        }
    }
}

impl Error for CallError {
    /// Makes the request of a timeout around the call visible in a boxed error.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Canceled(canceled) => Some(canceled),
            _ => None,
        }
    }
}

impl From<Canceled> for CallError {
    fn from(canceled: Canceled) -> Self {
        Self::Canceled(canceled)
    }
}

impl From<TimedOut> for CallError {
    fn from(timed_out: TimedOut) -> Self {
        Self::TimedOut(timed_out)
    }
}

impl From<CallError> for io::Error {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Canceled(canceled) => canceled.into(),
            CallError::TimedOut(timed_out) => timed_out.into(),
            error => io::Error::other(error),
        }
    }
}

impl CarriesCanceled for CallError {
    type OrTimedOut = Self;

    fn canceled(&self) -> Option<&Canceled> {
        match self {
            Self::Canceled(canceled) => Some(canceled),
            _ => None,
        }
    }

    fn into_or_timed_out(self) -> Self {
        self
    }

    fn into_timed_out(self) -> Self {
        TimedOut.into()
    }
}

/// The error of [`post`](crate::Bridge::post) and [`try_post`](crate::Bridge::try_post): a job was not accepted. It
/// returns the closure.
pub struct PostError<F> {
    /// The closure that was not accepted.
    pub closure: F,
    /// The reason why it was not accepted.
    pub kind: PostErrorKind,
}

/// The reason why a job was not accepted.
#[derive(Debug)]
#[non_exhaustive]
pub enum PostErrorKind {
    /// The queue is full. Only `try_post` returns this.
    Full,
    /// The bridge is closed.
    Closed,
    /// The caller was asked to stop while it waited for room.
    Canceled(Canceled),
    /// A [`timeout`](iolite_io::Io#method.timeout) around the call passed while the caller waited for room. `timeout`
    /// makes this error from `Canceled`.
    TimedOut(TimedOut),
    /// The queue is full, and the caller is itself a job of this bridge: it would wait for the worker that it occupies.
    WouldDeadlock,
}

impl fmt::Display for PostErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the bridge's queue is full"),
            Self::Closed => CallError::Closed.fmt(f),
            Self::Canceled(_) => f.write_str("the job was not accepted"),
            Self::TimedOut(timed_out) => timed_out.fmt(f),
            Self::WouldDeadlock => f.write_str(
                "a job of a bridge posted to the same bridge, whose queue is full, and would wait for itself",
            ),
        }
    }
}

impl Error for PostErrorKind {
    /// For the same reason as in [`CallError`].
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Canceled(canceled) => Some(canceled),
            _ => None,
        }
    }
}

impl From<Canceled> for PostErrorKind {
    fn from(canceled: Canceled) -> Self {
        Self::Canceled(canceled)
    }
}

impl From<TimedOut> for PostErrorKind {
    fn from(timed_out: TimedOut) -> Self {
        Self::TimedOut(timed_out)
    }
}

impl From<PostErrorKind> for io::Error {
    fn from(kind: PostErrorKind) -> Self {
        match kind {
            PostErrorKind::Canceled(canceled) => canceled.into(),
            PostErrorKind::TimedOut(timed_out) => timed_out.into(),
            PostErrorKind::Full => io::Error::new(io::ErrorKind::WouldBlock, PostErrorKind::Full),
            kind => io::Error::other(kind),
        }
    }
}

impl CarriesCanceled for PostErrorKind {
    type OrTimedOut = Self;

    fn canceled(&self) -> Option<&Canceled> {
        match self {
            Self::Canceled(canceled) => Some(canceled),
            _ => None,
        }
    }

    fn into_or_timed_out(self) -> Self {
        self
    }

    fn into_timed_out(self) -> Self {
        TimedOut.into()
    }
}

impl<F> fmt::Debug for PostError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostError").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl<F> fmt::Display for PostError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl<F> Error for PostError<F> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.kind.source()
    }
}

impl<F> From<PostError<F>> for io::Error {
    fn from(error: PostError<F>) -> Self {
        error.kind.into()
    }
}

impl<F> From<PostError<F>> for PostErrorKind {
    fn from(error: PostError<F>) -> Self {
        error.kind
    }
}

impl<F> CarriesCanceled for PostError<F> {
    type OrTimedOut = Self;

    fn canceled(&self) -> Option<&Canceled> {
        self.kind.canceled()
    }

    fn into_or_timed_out(self) -> Self {
        self
    }

    fn into_timed_out(self) -> Self {
        Self { kind: TimedOut.into(), ..self }
    }
}
