//! Listeners, of TCP and of Unix sockets.

use std::io;

use super::incoming::Incoming;
use super::socket::{Family, Listener, Stream, TypedSocket, of_family};
use crate::Io;

impl<F: Family> TypedSocket<F, Listener> {
    /// Waits for the next connection.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; a connection that was accepted is returned nevertheless.
    ///
    /// # Errors
    ///
    /// Those of `accept`. At `EMFILE` (no free descriptor) the connection stays in the queue: back
    /// off before trying again.
    pub fn accept(&self, io: &dyn Io) -> io::Result<(TypedSocket<F, Stream>, F::Address)> {
        let (descriptor, peer) = self.accept_any(io)?;
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
