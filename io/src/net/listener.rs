//! Listeners of TCP and Unix sockets.

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
    /// A cancellation point; a connection that was accepted is still returned.
    ///
    /// # Errors
    ///
    /// The errors of `accept`. When the system has no room for another connection (`EMFILE`, `ENFILE`, `ENOBUFS`,
    /// `ENOMEM`), the connection stays in the queue, and the error is returned after a pause of 10 ms, which is a
    /// cancellation point too, so that a loop that goes on after errors does not spin. [`incoming`](Self::incoming)
    /// pauses longer each time.
    pub fn accept(&self, io: &dyn Io) -> io::Result<(TypedSocket<F, Stream>, F::Address)> {
        match self.accept_any(io) {
            Ok((descriptor, peer)) => Ok((TypedSocket::from(descriptor), of_family::<F>(peer)?)),
            Err(error) => Err(after_a_pause(io, error)),
        }
    }

    /// Accepts a connection like [`accept`](Self::accept), but returns an error instead of waiting.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point. A loop that does nothing else lets no other task of its executor run.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if there is no connection; the errors of `accept`, without a pause.
    /// [`io::ErrorKind::Unsupported`] for a listener in blocking mode, such as [std](Self::from_std) makes: only in
    /// non-blocking mode, in which this library makes listeners, is `accept` certain to return at once.
    pub fn try_accept(&self, io: &dyn Io) -> io::Result<(TypedSocket<F, Stream>, F::Address)> {
        let attempt = Attempt::Accept { listener: self.descriptor() };
        let (descriptor, peer) = io.operate(Operation::Attempt(attempt))?.accepted()?;
        Ok((TypedSocket::from(descriptor), of_family::<F>(peer)?))
    }

    /// Returns the connections as they arrive. For servers that accept many connections.
    ///
    /// If `io` supports it, the kernel is asked once and then accepts on its own, so that some connections may be
    /// accepted before the program asks for them (on `evented` up to about a thousand, and none if the process may have
    /// fewer than 4,096 descriptors). Otherwise it does the same as [`accept`](Self::accept).
    pub fn incoming(&self, io: &dyn Io) -> Incoming<'_, F> {
        Incoming::new(io, self)
    }
}

/// The pause of a call that has found no room.
const PAUSE: Duration = Duration::from_millis(10);

/// Returns the error of an `accept` once it makes sense to call it again.
#[cold]
fn after_a_pause(io: &dyn Io, error: io::Error) -> io::Error {
    match has_no_room(&error).then(|| io.sleep(PAUSE)) {
        Some(Err(canceled)) => canceled.into(),
        _ => error,
    }
}
