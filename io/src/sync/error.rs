//! The errors of channels and queues: why an item was not sent or not received.

use std::error::Error;
use std::fmt;
use std::io;

use crate::Canceled;
use crate::cancel::{CarriesCanceled, TimedOut, WaitError};

/// The item was not sent; this error hands it back.
///
/// An error for `anyhow` or `Box<dyn Error + Send + Sync>` has to be `Sync` and `'static`, and items often are not.
/// [`SendErrorKind`] is the same error without the item:
///
/// ```
/// use std::cell::Cell;
///
/// use iolite_io::sync::{SendErrorKind, mpmc::Sender};
/// use iolite_io::Io;
///
/// fn count(io: &dyn Io, counters: &Sender<Cell<u32>>, line: &str) -> anyhow::Result<()> {
///     let start = line.trim().parse()?;
///     counters.send(io, Cell::new(start)).map_err(SendErrorKind::from)?;
///     Ok(())
/// }
/// ```
pub struct SendError<T> {
    /// The item.
    pub item: T,
    /// The reason.
    pub kind: SendErrorKind,
}

/// The reason why an item was not sent or not [put](super::Queue::put).
#[derive(Debug)]
pub enum SendErrorKind {
    /// The task was asked to stop.
    Canceled(Canceled),
    /// The channel is closed.
    Closed,
    /// There is no room (only [`Sender::try_send`](super::mpmc::Sender::try_send)).
    Full,
    /// The time of a [`timeout`](crate::Io#method.timeout) around the call is over.
    TimedOut,
}

impl From<Canceled> for SendErrorKind {
    fn from(canceled: Canceled) -> Self {
        SendErrorKind::Canceled(canceled)
    }
}

impl From<TimedOut> for SendErrorKind {
    fn from(_: TimedOut) -> Self {
        SendErrorKind::TimedOut
    }
}

impl From<WaitError> for SendErrorKind {
    fn from(error: WaitError) -> Self {
        match error {
            WaitError::Canceled(canceled) => canceled.into(),
            WaitError::TimedOut(timed_out) => timed_out.into(),
        }
    }
}

impl CarriesCanceled for SendErrorKind {
    type OrTimedOut = Self;

    fn canceled(&self) -> Option<&Canceled> {
        match self {
            SendErrorKind::Canceled(canceled) => Some(canceled),
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

impl Error for SendErrorKind {}

impl fmt::Display for SendErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendErrorKind::Canceled(canceled) => canceled.fmt(f),
            SendErrorKind::Closed => f.write_str("the channel is closed"),
            SendErrorKind::Full => f.write_str("the channel is full"),
            SendErrorKind::TimedOut => TimedOut.fmt(f),
        }
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl<T> Error for SendError<T> {}

impl<T> CarriesCanceled for SendError<T> {
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

impl<T> From<SendError<T>> for SendErrorKind {
    /// Drops the item.
    fn from(error: SendError<T>) -> Self {
        error.kind
    }
}

impl<T> From<SendError<T>> for io::Error {
    fn from(error: SendError<T>) -> Self {
        error.kind.into()
    }
}

impl From<SendErrorKind> for io::Error {
    fn from(kind: SendErrorKind) -> Self {
        match kind {
            SendErrorKind::Canceled(canceled) => canceled.into(),
            SendErrorKind::Closed => io::Error::new(io::ErrorKind::BrokenPipe, kind),
            SendErrorKind::Full => io::Error::new(io::ErrorKind::WouldBlock, kind),
            SendErrorKind::TimedOut => TimedOut.into(),
        }
    }
}

/// The reason why no item was received.
#[derive(Debug)]
pub enum RecvError {
    /// The task was asked to stop.
    Canceled(Canceled),
    /// The channel is closed and empty.
    Closed,
    /// The time of a [`timeout`](crate::Io#method.timeout) around the call is over.
    TimedOut,
}

impl From<Canceled> for RecvError {
    fn from(canceled: Canceled) -> Self {
        RecvError::Canceled(canceled)
    }
}

impl From<TimedOut> for RecvError {
    fn from(_: TimedOut) -> Self {
        RecvError::TimedOut
    }
}

impl From<WaitError> for RecvError {
    fn from(error: WaitError) -> Self {
        match error {
            WaitError::Canceled(canceled) => canceled.into(),
            WaitError::TimedOut(timed_out) => timed_out.into(),
        }
    }
}

impl CarriesCanceled for RecvError {
    type OrTimedOut = Self;

    fn canceled(&self) -> Option<&Canceled> {
        match self {
            RecvError::Canceled(canceled) => Some(canceled),
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

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Canceled(canceled) => canceled.fmt(f),
            RecvError::Closed => f.write_str("the channel is closed and empty"),
            RecvError::TimedOut => TimedOut.fmt(f),
        }
    }
}

impl Error for RecvError {}

impl From<RecvError> for io::Error {
    fn from(error: RecvError) -> Self {
        match error {
            RecvError::Canceled(canceled) => canceled.into(),
            RecvError::Closed => io::Error::new(io::ErrorKind::BrokenPipe, error),
            RecvError::TimedOut => TimedOut.into(),
        }
    }
}

/// The reason why no item was received without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// There is no item now.
    Empty,
    /// The channel is closed and empty.
    Closed,
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryRecvError::Empty => "the channel is empty",
            TryRecvError::Closed => "the channel is closed and empty",
        })
    }
}

impl Error for TryRecvError {}
