//! Errors of starting tasks.

use std::error::Error;
use std::fmt;
use std::io;

use super::options::InvalidOption;
use super::parcel::Parcel;
use crate::cancel::{Canceled, CarriesCanceled, TimedOut};

/// No unit of concurrency is free: a limit is reached, or the system provides no more threads.
#[derive(Debug)]
pub struct ConcurrencyUnavailable {
    limit: &'static str,
    value: usize,
    cause: Option<io::Error>,
}

impl ConcurrencyUnavailable {
    /// Makes the error that the configured limit named `limit`, of `value` units, is reached.
    pub fn limit_reached(limit: &'static str, value: usize) -> Self {
        Self { limit, value, cause: None }
    }

    /// Makes the error that the system refused a unit although the limit is not reached.
    pub fn refused_by_system(limit: &'static str, value: usize, cause: io::Error) -> Self {
        Self { limit, value, cause: Some(cause) }
    }

    /// Returns the name of the limit, as in the configuration.
    pub fn limit(&self) -> &'static str {
        self.limit
    }

    /// Returns the number of units that the limit allows.
    pub fn value(&self) -> usize {
        self.value
    }
}

impl fmt::Display for ConcurrencyUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, value, cause } = self;
        match cause {
            None => write!(f, "no unit of concurrency is free: {limit} = {value} is reached"),
            Some(_) => write!(f, "no unit of concurrency is free, though {limit} = {value} is not reached"),
        }
    }
}

impl Error for ConcurrencyUnavailable {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as _)
    }
}

/// The runtime behind an `Io` has shut down, or is shutting down; `run` has returned or is about to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutDown;

impl fmt::Display for ShutDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the runtime behind this Io has shut down")
    }
}

impl Error for ShutDown {}

impl From<ShutDown> for io::Error {
    fn from(error: ShutDown) -> Self {
        io::Error::other(error)
    }
}

/// The reason why a task was not started.
#[derive(Debug)]
#[non_exhaustive]
pub enum SpawnErrorKind {
    /// A limit is reached.
    ConcurrencyUnavailable(ConcurrencyUnavailable),
    /// The caller was canceled while it waited for a slot.
    Canceled(Canceled),
    /// A [`timeout`](crate::Io#method.timeout) around the call passed while it waited for a slot. `timeout` converts
    /// `Canceled` to this.
    TimedOut(TimedOut),
    /// The runtime takes no more tasks.
    ShutDown(ShutDown),
    /// The `Io` is a borrowed decorator without a [`handle`](crate::Io::handle), which only starts members of groups.
    NoHandle,
    /// The options of the task ([`TaskBuilder`](crate::TaskBuilder)) cannot be met.
    InvalidOption(InvalidOption),
}

impl fmt::Display for SpawnErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConcurrencyUnavailable(error) => error.fmt(f),
            Self::Canceled(error) => error.fmt(f),
            Self::TimedOut(error) => error.fmt(f),
            Self::ShutDown(error) => error.fmt(f),
            Self::InvalidOption(error) => error.fmt(f),
            Self::NoHandle => {
                f.write_str("this Io is borrowed and has no handle, so it starts members of groups only: use io.group")
            }
        }
    }
}

impl Error for SpawnErrorKind {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::ConcurrencyUnavailable(error) => error.source(),
            Self::Canceled(error) => error.source(),
            Self::TimedOut(error) => error.source(),
            Self::ShutDown(error) => error.source(),
            Self::InvalidOption(error) => error.source(),
            Self::NoHandle => None,
        }
    }
}

impl From<SpawnErrorKind> for io::Error {
    fn from(kind: SpawnErrorKind) -> Self {
        match kind {
            SpawnErrorKind::Canceled(canceled) => canceled.into(),
            SpawnErrorKind::TimedOut(timed_out) => timed_out.into(),
            SpawnErrorKind::ConcurrencyUnavailable(error) => io::Error::new(io::ErrorKind::WouldBlock, error),
            SpawnErrorKind::ShutDown(error) => error.into(),
            SpawnErrorKind::InvalidOption(error) => io::Error::new(io::ErrorKind::InvalidInput, error),
            kind @ SpawnErrorKind::NoHandle => io::Error::new(io::ErrorKind::Unsupported, kind),
        }
    }
}

/// A task was not started. The error hands the closure back, so that the values that it owns, such as an accepted
/// socket, are not lost.
///
/// An error for `anyhow` or `Box<dyn Error + Send + Sync>` has to be `Sync` and `'static`, which closures seldom are.
/// [`SpawnErrorKind`] is the same error without the closure:
///
/// ```
/// use iolite_io::{Io, SpawnErrorKind, net::TcpListener};
///
/// fn accept_one(io: &dyn Io, listener: &TcpListener) -> anyhow::Result<()> {
///     let (stream, _) = listener.accept(io)?;
///     let session = io.spawn_waiting(move |io| stream.write_all(io, b"hello\n")).map_err(SpawnErrorKind::from)?;
///     session.join(io)?;
///     Ok(())
/// }
/// ```
pub struct SpawnError<F> {
    /// The closure of the task.
    pub closure: F,
    /// The reason.
    pub kind: SpawnErrorKind,
}

impl<F> Parcel<F> {
    /// Returns the handle of a started task, or an error that hands the closure back.
    #[inline]
    pub(crate) fn unless_refused<H>(&mut self, started: Result<H, SpawnErrorKind>) -> Result<H, SpawnError<F>> {
        match started {
            Ok(handle) => Ok(handle),
            Err(kind) => self.refused(kind),
        }
    }

    // Not inlined, because its stack frame is as large as two closures.
    #[cold]
    #[inline(never)]
    fn refused<H>(&mut self, kind: SpawnErrorKind) -> Result<H, SpawnError<F>> {
        Err(SpawnError { closure: self.take(), kind })
    }
}

impl<F> fmt::Debug for SpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpawnError").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl<F> fmt::Display for SpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl<F> Error for SpawnError<F> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.kind.source()
    }
}

impl<F> From<SpawnError<F>> for SpawnErrorKind {
    /// Drops the closure.
    fn from(error: SpawnError<F>) -> Self {
        error.kind
    }
}

impl<F> From<SpawnError<F>> for io::Error {
    fn from(error: SpawnError<F>) -> Self {
        error.kind.into()
    }
}

impl<F> CarriesCanceled for SpawnError<F> {
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

impl CarriesCanceled for SpawnErrorKind {
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

impl From<Canceled> for SpawnErrorKind {
    fn from(canceled: Canceled) -> Self {
        Self::Canceled(canceled)
    }
}

impl From<TimedOut> for SpawnErrorKind {
    fn from(timed_out: TimedOut) -> Self {
        Self::TimedOut(timed_out)
    }
}

impl From<InvalidOption> for SpawnErrorKind {
    fn from(error: InvalidOption) -> Self {
        Self::InvalidOption(error)
    }
}
