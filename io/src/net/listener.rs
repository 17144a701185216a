//! TCP listeners.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::address::{ToSocketAddrs, try_each};
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
