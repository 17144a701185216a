//! Multishot operations: their subjects and their completions.

use std::io;

use crate::descriptor::Descriptor;
use crate::pool::{BufferPool, PooledBuffer};

/// The subject of a multishot operation.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Source<'a> {
    /// Connections to a listener: [`Arrival::Connection`].
    Connections {
        /// A listener.
        listener: &'a Descriptor,
    },
    /// Bytes from a peer, in order: [`Arrival::Bytes`], and [`Arrival::End`].
    Bytes {
        /// A connected socket.
        socket: &'a Descriptor,
        /// The pool that the buffers come from.
        pool: &'a BufferPool,
    },
}

/// One completion of a multishot operation.
#[derive(Debug)]
#[non_exhaustive]
pub enum Arrival {
    /// A connection.
    Connection(Descriptor),
    /// Some bytes, at least one.
    Bytes(PooledBuffer),
    /// The peer has finished.
    End,
}

impl Arrival {
    pub(crate) fn connection(self) -> io::Result<Descriptor> {
        match self {
            Arrival::Connection(descriptor) => Ok(descriptor),
            other => Err(wrong(&other)),
        }
    }

    /// Returns the bytes, or `None` at the end.
    pub(crate) fn bytes(self) -> io::Result<Option<PooledBuffer>> {
        match self {
            Arrival::Bytes(buffer) => Ok(Some(buffer)),
            Arrival::End => Ok(None),
            other @ Arrival::Connection(_) => Err(wrong(&other)),
        }
    }
}

/// Makes the error for a `Multishot` that delivered something that does not come from its source.
#[cold]
fn wrong(arrival: &Arrival) -> io::Error {
    io::Error::other(format!("the Io delivered {arrival:?}, which does not fit the operation"))
}
