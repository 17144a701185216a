//! Listeners, of TCP and of Unix sockets.

use std::io;
use std::time::Duration;

use super::incoming::{Incoming, has_no_room};
use super::socket::{Family, Listener, Stream, TypedSocket, of_family};
use crate::Io;
use crate::operation::{Attempt, Operation};

impl<F: Family> TypedSocket<F, Listener> {
    /// Waits for the next connection.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; a connection that was accepted is returned nevertheless.
    ///
    /// # Errors
    ///
    /// Those of `accept`. When the system has no room for another connection (`EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`),
    /// the connection stays in the queue, and the error is returned after a pause of 10 ms, which is a cancellation
    /// point, too: a loop that goes on after errors does not spin. [`incoming`](Self::incoming) pauses longer each time.
    pub fn accept(&self, io: &dyn Io) -> io::Result<(TypedSocket<F, Stream>, F::Address)> {
        match self.accept_any(io) {
            Ok((descriptor, peer)) => Ok((TypedSocket::from(descriptor), of_family::<F>(peer)?)),
            Err(error) => Err(after_a_pause(io, error)),
        }
    }

    /// As [`accept`](Self::accept), if somebody waits to be accepted.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point. A loop that does nothing else lets no other task of its executor run.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when nobody waits; those of `accept`, without a pause.
    /// [`io::ErrorKind::Unsupported`] of a listener in blocking mode, in which [std](Self::from_std) makes them:
    /// only in non-blocking mode, in which this library makes them, `accept` surely returns at once.
    pub fn try_accept(&self, io: &dyn Io) -> io::Result<(TypedSocket<F, Stream>, F::Address)> {
        let attempt = Attempt::Accept { listener: self.descriptor() };
        let (descriptor, peer) = io.operate(Operation::Attempt(attempt))?.accepted()?;
        Ok((TypedSocket::from(descriptor), of_family::<F>(peer)?))
    }

    /// The connections as they come. For servers that accept many: where `io` can, the kernel is asked
    /// once and accepts by itself, so that some connections may be accepted before they are asked
    /// for (on `evented` up to about a thousand, and none where the process may have fewer than 4,096
    /// descriptors). Elsewhere it does what [`accept`](Self::accept) does.
    pub fn incoming(&self, io: &dyn Io) -> Incoming<'_, F> {
        Incoming::new(io, self)
    }
}

/// How long a call pauses that has found no room.
const PAUSE: Duration = Duration::from_millis(10);

/// The error of an `accept`, returned when it makes sense to call it again.
#[cold]
fn after_a_pause(io: &dyn Io, error: io::Error) -> io::Error {
    match has_no_room(&error).then(|| io.sleep(PAUSE)) {
        Some(Err(canceled)) => canceled.into(),
        _ => error,
    }
}
