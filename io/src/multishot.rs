//! Operations that answer more than once.

use std::fmt;
use std::io;

use crate::Io;
use crate::descriptor::Descriptor;
use crate::net::{BufferPool, PooledBuffer};

/// What keeps arriving.
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
        /// Where buffers come from.
        pool: &'a BufferPool,
    },
}

/// One answer.
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

/// One operation that is submitted once and answers many times, for one caller after the other.
///
/// It waits in the kernel while nobody asks, and what arrives meanwhile is kept. Dropping it stops that, and drops what has
/// arrived and was not taken. Nothing that arrives after the drop is taken, whatever thread and context it happens on; the
/// drop does not suspend.
///
/// # For implementers
///
/// The source is borrowed by each call and by nothing in between: only a call of
/// [`next`](Self::next) may make the kernel look at a descriptor by its number.
pub trait Multishot: fmt::Debug + Send + Sync {
    /// The next arrival, which is waited for. `source` is the same at each call.
    ///
    /// `None` says that a single operation has to do, this time: of a kernel that knows no better, of
    /// a context for which it would bring nothing, of a pool without a free buffer. Whatever had
    /// arrived has been taken then, and nothing is asked of the kernel that could overtake it.
    ///
    /// # Cancellation
    ///
    /// A cancellation point. What arrives later is kept for the next call.
    ///
    /// # Errors
    ///
    /// The operation's, with its errno, behind what arrived before it; or
    /// [`Canceled`](crate::Canceled).
    fn next(&mut self, io: &dyn Io, source: Source<'_>) -> Option<io::Result<Arrival>>;

    /// Stops, waits until the kernel has, and hands out what had arrived and was not taken, the
    /// oldest first.
    ///
    /// # Cancellation
    ///
    /// Not a cancellation point; the kernel answers at once.
    fn stop(self: Box<Self>, io: &dyn Io) -> Vec<io::Result<Arrival>>;
}

impl Arrival {
    pub(crate) fn connection(self) -> io::Result<Descriptor> {
        match self {
            Arrival::Connection(descriptor) => Ok(descriptor),
            other => Err(wrong(&other)),
        }
    }

    /// The bytes; `None` at the end.
    pub(crate) fn bytes(self) -> io::Result<Option<PooledBuffer>> {
        match self {
            Arrival::Bytes(buffer) => Ok(Some(buffer)),
            Arrival::End => Ok(None),
            other @ Arrival::Connection(_) => Err(wrong(&other)),
        }
    }
}

/// A `Multishot` brought something that does not come from its source.
#[cold]
fn wrong(arrival: &Arrival) -> io::Error {
    io::Error::other(format!("the Io brought {arrival:?}, which does not come from what it was asked for"))
}
