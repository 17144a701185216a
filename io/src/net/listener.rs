//! TCP listeners.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::address::{ToSocketAddrs, try_each};
use super::incoming::Incoming;
use super::stream::TcpStream;
use crate::Io;
use crate::descriptor::Descriptor;
use crate::operation::Operation;

/// How to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// How many connections may wait to be accepted; the kernel caps it (`net.core.somaxconn`).
    pub backlog: u32,
    /// `SO_REUSEADDR`: bind although connections of an earlier listener linger.
    pub reuse_address: bool,
    /// `SO_REUSEPORT`: let several listeners share the address.
    pub reuse_port: bool,
}

impl Default for ListenOptions {
    /// A backlog of 4,096, the address reused and the port not.
    fn default() -> Self {
        Self { backlog: 4096, reuse_address: true, reuse_port: false }
    }
}

/// A socket that accepts TCP connections.
#[derive(Debug)]
pub struct TcpListener(Descriptor);

impl TcpListener {
    /// Listens on the first of the addresses that can be bound; port 0 lets the system choose.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Those of the lookup, `socket`, `bind` and `listen`.
    pub fn bind(io: &dyn Io, addresses: impl ToSocketAddrs) -> io::Result<Self> {
        Self::bind_with(io, addresses, &ListenOptions::default())
    }

    /// As [`bind`](Self::bind), with options.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// As `bind`.
    pub fn bind_with(io: &dyn Io, addresses: impl ToSocketAddrs, options: &ListenOptions) -> io::Result<Self> {
        try_each(io, addresses, |address| io.operate(Operation::Listen { address, options })?.opened().map(Self))
    }

    /// Makes a listener for each executor ([`Backend::executors`](crate::Backend::executors)), all on
    /// the first of the addresses that can be bound: the kernel spreads the connections over them
    /// (`SO_REUSEPORT`). With port 0 the system chooses one for all.
    ///
    /// Each is accepted from on an executor of its own, and a connection stays where it was accepted:
    ///
    /// ```
    /// use iolite_io::net::{ListenOptions, TcpListener};
    /// use iolite_io::{Io, Placement};
    ///
    /// fn serve(io: &dyn Io) -> std::io::Result<()> {
    ///     io.group(|group| {
    ///         let listeners = TcpListener::bind_each(io, "127.0.0.1:0", &ListenOptions::default())?;
    ///         for (number, listener) in listeners.into_iter().enumerate() {
    ///             let acceptor = group.task().placement(Placement::Executor(number));
    ///             acceptor.spawn_concurrent(move |io| accept(io, &listener))?;
    ///         }
    ///         Ok(group.wait(io)?)
    ///     })
    /// }
    ///
    /// fn accept(io: &dyn Io, listener: &TcpListener) -> std::io::Result<()> {
    ///     io.group(|group| {
    ///         loop {
    ///             let (stream, _) = listener.accept(io)?;
    ///             let connection = group.task().placement(Placement::Here);
    ///             connection.spawn_waiting(io, move |io| stream.write_all(io, b"hello"))?;
    ///         }
    ///     })
    /// }
    /// ```
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn bind_each(io: &dyn Io, addresses: impl ToSocketAddrs, options: &ListenOptions) -> io::Result<Vec<Self>> {
        let executors = io.backend().executors;
        let options = ListenOptions { reuse_port: options.reuse_port || executors > 1, ..options.clone() };
        let first = Self::bind_with(io, addresses, &options)?;
        let address = first.local_addr(io)?;
        let others = (1..executors).map(|_| Self::bind_with(io, address, &options));
        std::iter::once(Ok(first)).chain(others).collect()
    }

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
    pub fn accept(&self, io: &dyn Io) -> io::Result<(TcpStream, SocketAddr)> {
        let (descriptor, peer) = io.operate(Operation::Accept { listener: &self.0 })?.accepted()?;
        Ok((TcpStream::from(descriptor), peer))
    }

    /// The connections as they come. For servers that accept many: where `io` can, the kernel is asked
    /// once and accepts by itself, so that some connections may be accepted before they are asked
    /// for (on `evented` up to about a thousand, and none where the process may have fewer than 4,096
    /// descriptors). Elsewhere it does what [`accept`](Self::accept) does.
    pub fn incoming(&self, io: &dyn Io) -> Incoming<'_> {
        Incoming::new(io, self)
    }

    /// The address it listens on, with the port that the system chose.
    ///
    /// # Cancellation
    ///
    /// A cancellation point.
    ///
    /// # Errors
    ///
    /// Those of `getsockname`.
    pub fn local_addr(&self, io: &dyn Io) -> io::Result<SocketAddr> {
        io.operate(Operation::LocalAddress { socket: &self.0 })?.address()
    }

    /// Closes it and reports what went wrong; dropping closes too.
    ///
    /// # Cancellation
    ///
    /// A cancellation point; the listener is closed in any case.
    ///
    /// # Errors
    ///
    /// Those of `close`.
    pub fn close(self, io: &dyn Io) -> io::Result<()> {
        io.operate(Operation::Close { descriptor: self.0 })?.done()
    }

    pub(super) fn descriptor(&self) -> &Descriptor {
        &self.0
    }
}

impl From<std::net::TcpListener> for TcpListener {
    fn from(listener: std::net::TcpListener) -> Self {
        Self(Descriptor::from(OwnedFd::from(listener)))
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
